"""Ask for a whole answer."""

import asyncio

import lmbridge


async def main() -> None:
    async with lmbridge.connect() as hub:
        answer = await hub.answer(lmbridge.ChatRequest("lmbridge-tiny", "What is lmbridge?"))
        print(answer.text)
        print(answer.model, "at", answer.provider, "-", answer.finish.usage)


if __name__ == "__main__":
    asyncio.run(main())
