"""An example extension of lmbridge: a provider that answers by rules."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from lmbridge.extending import (
    ChatRequest,
    Event,
    ExtensionContext,
    ExtensionManifest,
    Finished,
    Instance,
    Manifest,
    ModelInfo,
    PlainProvider,
    ProviderNeedsKey,
    ProviderState,
    Setting,
    Started,
    TextDelta,
    Usage,
)


class RulesProvider(PlainProvider):
    """One model, `parrot`: it gives the answer of the rule that fits, or repeats what was said."""

    manifest = Manifest(
        id="rules",
        display_name="Rules",
        runs="local",
        description="Answers by rules, without a model.",
        settings=(
            Setting("answers", "list", "Rules, each `what is said=what is answered`.", ()),
            Setting("token", "secret", "What this provider wants to see before it answers."),
        ),
    )

    async def models(self) -> Sequence[ModelInfo]:
        """The parrot, for who has the token."""
        return [ModelInfo("parrot", self.id, tools=False, vision=False)] if self.settings["token"] else []

    async def probe(self) -> ProviderState:
        """Whether it could answer."""
        if self.settings["token"]:
            return ProviderState(self.id, "ready", "with its token")
        return ProviderState(
            self.id, "needs_key", "It has no token.", "Give it one: `lmbridge providers set rules token -`."
        )

    @asynccontextmanager
    async def chat(self, instance: Instance, request: ChatRequest) -> AsyncIterator[AsyncIterator[Event]]:
        """Stream the answer, word by word."""
        if not self.settings["token"]:
            raise ProviderNeedsKey(self.id, None)
        yield self._answer(request)

    async def _answer(self, request: ChatRequest) -> AsyncIterator[Event]:
        said = request.turns[-1].text
        yield Started(self.id, "parrot")
        words = self._rule(said).split(" ")
        for number, word in enumerate(words):
            yield TextDelta(word if number == 0 else f" {word}")
        yield Finished("stop", Usage(len(said.split()), len(words)))

    def _rule(self, said: str) -> str:
        answers = self.settings["answers"]
        rules = dict(rule.partition("=")[::2] for rule in answers) if isinstance(answers, tuple) else {}
        return rules.get(said.strip().lower(), said)


class RulesExtension:
    """Registers the provider, and counts in its own folder how many models were loaded."""

    manifest = ExtensionManifest(
        id="rules",
        display_name="Rules",
        description="A provider that answers by rules, as an example.",
        settings=(Setting("count", "boolean", "Count in a file how often a model is loaded.", False),),
    )

    def __init__(self) -> None:
        self.loads = 0
        self._file: Path | None = None

    def activate(self, context: ExtensionContext) -> None:
        """Begin: the provider is built from its own table, `[rules]`."""
        context.register_provider(RulesProvider)
        if context.settings["count"]:
            self._file = context.folder / "loads.json"
            context.listen(self._count)
        context.logger.info("Rules are there.")

    def _count(self, happening: object) -> None:
        if type(happening).__name__ == "ModelLoaded":
            self.loads += 1

    def deactivate(self) -> None:
        """End: write down what was counted."""
        if self._file is not None:
            self._file.write_text(json.dumps({"loads": self.loads}))
