"""Extensions and providers of other packages, good ones and such as fail in every way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint

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
    ProviderContext,
    Setting,
    Started,
    TextDelta,
)
from lmbridge.registry import EXTENSIONS, PROVIDERS


class Echo(PlainProvider):
    """Repeats what was said."""

    manifest = Manifest(
        "echo",
        "Echo",
        "local",
        "Repeats.",
        (Setting("before", "string", "What comes before.", ""), Setting("token", "secret", "Its token.")),
    )

    async def models(self) -> Sequence[ModelInfo]:
        return [ModelInfo(f"{self.id}-model", self.id)]

    @asynccontextmanager
    async def chat(self, instance: Instance, request: ChatRequest) -> AsyncIterator[AsyncIterator[Event]]:
        yield self._events(request)

    async def _events(self, request: ChatRequest) -> AsyncIterator[Event]:
        yield Started(self.id, f"{self.id}-model")
        yield TextDelta(f"{self.settings['before']}{request.turns[-1].text}")
        yield Finished("stop")


class Second(Echo):
    """Another one."""

    manifest = Manifest("second", "Second", "local", "Repeats, too.")

    async def models(self) -> Sequence[ModelInfo]:
        return [ModelInfo("second-model", self.id)]

    async def _events(self, request: ChatRequest) -> AsyncIterator[Event]:
        yield Started(self.id, "second-model")
        yield TextDelta("second")
        yield Finished("stop")


class Unbuildable(Echo):
    """Raises when it is built."""

    manifest = Manifest("unbuildable", "Unbuildable", "local", "Raises.")

    @classmethod
    def create(cls, settings: object, context: ProviderContext) -> Unbuildable:
        raise OSError("no such device")


class Halfway:
    """A provider that is none."""

    manifest = Manifest("halfway", "Halfway", "local", "Has a manifest and nothing else.")


class Good:
    """Registers what it is told to, and keeps a record."""

    manifest = ExtensionManifest(
        "good-one",
        "Good",
        "Does all that an extension may.",
        settings=(
            Setting("retries", "integer", "How often.", 3),
            Setting("token", "secret", "A secret."),
        ),
    )
    record: list[object] = []

    def activate(self, context: ExtensionContext) -> None:
        self.record.append(("settings", dict(context.settings)))
        (context.folder / "kept").write_text("x")
        context.register_provider(Echo)
        context.listen(lambda happening: self.record.append(type(happening).__name__))

    async def deactivate(self) -> None:
        self.record.append("deactivated")


class Ready:
    """Registers a provider that is ready made, and is an object itself."""

    manifest = ExtensionManifest("ready", "Ready", "Brings one that is ready.")

    def activate(self, context: ExtensionContext) -> None:
        context.register_provider(Echo({"before": "ready: "}, ProviderContext(context.folder, "made")))

    def deactivate(self) -> None:
        raise RuntimeError("it does not want to end")


ready = Ready()


class Plain(Good):
    """Has nothing to wait for when it ends."""

    manifest = ExtensionManifest("plain", "Plain", "Ends at once.")

    def activate(self, context: ExtensionContext) -> None: ...

    def deactivate(self) -> None:  # type: ignore[override]
        self.record.append("plain ended")


class Coming(Good):
    """Keeps its context, to bring providers while the hub runs."""

    manifest = ExtensionManifest("coming", "Coming", "Brings them later.", later=("echo", "second"))
    context: ExtensionContext

    def activate(self, context: ExtensionContext) -> None:
        type(self).context = context

    deactivate = None  # type: ignore[assignment]


class Raising(Good):
    manifest = ExtensionManifest("raising", "Raising", "Raises.")

    def activate(self, context: ExtensionContext) -> None:
        raise ValueError("out of\norder")


class Exiting(Good):
    manifest = ExtensionManifest("exiting", "Exiting", "Ends the process.")

    def activate(self, context: ExtensionContext) -> None:
        raise SystemExit(3)


class Asynchronous(Good):
    manifest = ExtensionManifest("asynchronous", "Asynchronous", "Is async.")

    async def activate(self, context: ExtensionContext) -> None:  # type: ignore[override]
        raise AssertionError


class Twice(Good):
    manifest = ExtensionManifest("twice", "Twice", "Registers what is there already.")

    def activate(self, context: ExtensionContext) -> None:
        context.register_provider(Second)
        context.register_provider(Second)


class Wrong(Good):
    manifest = ExtensionManifest("wrong", "Wrong", "Registers what is none.")

    def activate(self, context: ExtensionContext) -> None:
        context.register_provider(Halfway)  # type: ignore[arg-type]


class Deaf(Good):
    """Its listener raises."""

    manifest = ExtensionManifest("deaf", "Deaf", "Raises when it hears something.")
    heard = 0
    deactivate = None  # type: ignore[assignment]

    def activate(self, context: ExtensionContext) -> None:
        context.listen(self._hear)

    def _hear(self, happening: object) -> None:
        type(self).heard += 1
        raise RuntimeError("too loud")


class NoManifest:
    def activate(self, context: ExtensionContext) -> None: ...


class NotActive:
    manifest = ExtensionManifest("not-active", "X", "Has no activate.")


def with_manifest(manifest: ExtensionManifest) -> type[Good]:
    """A good one that calls itself otherwise."""
    return type("Other", (Good,), {"manifest": manifest})


BadId = with_manifest(ExtensionManifest("Bad Id", "X", "X."))
Nameless = with_manifest(ExtensionManifest("nameless", "", ""))
BadCategory = with_manifest(ExtensionManifest("bad-category", "X", "X.", "games"))  # type: ignore[arg-type]
BadSetting = with_manifest(ExtensionManifest("bad-setting", "X", "X.", settings=(Setting("a b", "string", "X."),)))
SameId = with_manifest(ExtensionManifest("good-one", "X", "X."))


def extension(name: str, attribute: str, module: str = "tests.fakes.extensions") -> EntryPoint:
    """An entry point as a package would have it."""
    return EntryPoint(name, f"{module}:{attribute}", EXTENSIONS)


def provider(name: str, attribute: str, module: str = "tests.fakes.extensions") -> EntryPoint:
    """One of a provider."""
    return EntryPoint(name, f"{module}:{attribute}", PROVIDERS)


OWN = EntryPoint("embedded", "lmbridge.providers.embedded:EmbeddedProvider", PROVIDERS)
SERVERS = EntryPoint("openai", "lmbridge.providers.openai:OpenAIProvider", PROVIDERS)


class Installed:
    """What is installed, for one registry."""

    def __init__(self, *points: EntryPoint) -> None:
        self._points = (OWN, SERVERS, *points)

    def __call__(self, group: str) -> Iterable[EntryPoint]:
        return [point for point in self._points if point.group == group]
