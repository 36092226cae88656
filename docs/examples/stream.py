"""Print an answer while it is being written. Leaving the `with` early stops the engine."""

import asyncio

import lmbridge
from lmbridge import Finished, TextDelta


async def main() -> None:
    async with lmbridge.connect() as hub, hub.chat(lmbridge.ChatRequest("lmbridge-tiny", "Hello")) as events:
        async for event in events:
            match event:
                case TextDelta(text):
                    print(text, end="", flush=True)
                case Finished(reason, usage):
                    print(f"\n[{reason}] {usage}")


if __name__ == "__main__":
    asyncio.run(main())
