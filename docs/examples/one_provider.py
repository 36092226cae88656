"""One provider by itself: whether it is there, what it has, and asking it."""

import asyncio

import lmbridge


async def main() -> None:
    async with lmbridge.connect() as hub:
        provider = hub.provider("embedded")
        if not await provider.is_configured():  # never raises: what is down is not configured
            print((await provider.state()).hint)
            return
        able = await provider.capabilities()
        print(f"{provider.id} has {', '.join(able.models)}; tools: {able.tools}")

        answer = await provider.complete("What is lmbridge?", tier="fast")
        print(answer.text, answer.stop_reason, answer.usage)

        async with provider.stream("What is lmbridge?") as events:
            async for event in events:
                if isinstance(event, lmbridge.TextDelta):
                    print(event.text, end="", flush=True)
        print()

        weather = lmbridge.Tool(
            "get_weather",
            "The weather of a city.",
            {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        )
        answer = await provider.complete_with_tools("What is the weather in Paris?", [weather])
        if answer.stop_reason == "tool_use":
            print(f"It calls {answer.tool_calls[0].name} with {answer.tool_calls[0].arguments}")


asyncio.run(main())
