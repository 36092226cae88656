"""Let the model call a function, and give it the result."""

import asyncio
import json

import lmbridge
from lmbridge import ChatRequest, Message, Sampling, Tool

WEATHER = Tool(
    "get_weather",
    "Get the weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def get_weather(city: str) -> dict[str, object]:
    return {"city": city, "weather": "sunny", "temperature": 21}


async def main() -> None:
    question, greedy = "What is the weather in Oslo?", Sampling(temperature=0)
    request = ChatRequest("lmbridge-tiny", question, tools=(WEATHER,), sampling=greedy)
    async with lmbridge.connect() as hub:
        answer = await hub.answer(request)
        turns = [*request.turns, answer.message]
        for call in answer.tool_calls:
            print("The model calls", call.name, call.arguments)
            result = get_weather(**json.loads(call.arguments))
            turns.append(Message("tool", json.dumps(result), tool_call_id=call.id, name=call.name))
        print((await hub.answer(request.with_messages(turns))).text)


if __name__ == "__main__":
    asyncio.run(main())
