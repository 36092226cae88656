"""Any Anthropic client, pointed at the gateway (`lmbridge serve`). This one: `pip install anthropic`."""

import os

from anthropic import Anthropic

client = Anthropic(
    base_url=os.environ.get("ANTHROPIC_BASE_URL", "http://127.0.0.1:1235"),  # without /v1
    api_key="not-needed",
)
MODEL = "lmbridge-tiny"
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def main() -> None:
    question = [{"role": "user", "content": "What is lmbridge?"}]
    print(client.messages.count_tokens(model=MODEL, messages=question).input_tokens, "tokens are asked")
    with client.messages.stream(model=MODEL, max_tokens=200, messages=question) as stream:
        for text in stream.text_stream:
            print(text, end="", flush=True)
    print()

    turns = [{"role": "user", "content": "What is the weather in Paris?"}]
    asked = client.messages.create(model=MODEL, max_tokens=200, messages=turns, tools=[WEATHER])
    turns.append({"role": "assistant", "content": asked.content})
    for block in asked.content:
        if block.type == "tool_use":
            print("The model calls", block.name, "with", block.input)
            result = {"type": "tool_result", "tool_use_id": block.id, "content": "18 degrees and sunny"}
            turns.append({"role": "user", "content": [result]})
    answer = client.messages.create(model=MODEL, max_tokens=200, messages=turns, tools=[WEATHER])
    print(answer.content[0].text)


if __name__ == "__main__":
    main()
