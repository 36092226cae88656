"""A provider of one's own: a manifest, which models it has, and how they answer."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

from lmbridge.extending import (
    ChatRequest,
    Finished,
    Manifest,
    ModelInfo,
    PlainProvider,
    ProviderContext,
    Setting,
    Started,
    TextDelta,
)
from lmbridge.hub.hub import Hub


class Echo(PlainProvider):
    manifest = Manifest(
        id="echo",
        display_name="Echo",
        runs="local",
        description="Repeats what is said.",
        settings=(Setting("before", "string", "What comes before.", ""),),
    )

    async def models(self):
        return [ModelInfo("parrot", self.id)]

    @asynccontextmanager
    async def chat(self, instance, request):
        yield self._answer(request)

    async def _answer(self, request):
        yield Started(self.id, "parrot")
        yield TextDelta(f"{self.settings['before']}{request.turns[-1].text}")
        yield Finished("stop")


async def main() -> None:
    # What lmbridge does with a provider that it finds by its entry point:
    echo = Echo.create({"before": "> "}, ProviderContext(Path("unused"), "echo"))
    async with Hub([echo]) as hub:
        print((await hub.answer(ChatRequest("echo:parrot", "Hello"))).text)


asyncio.run(main())
