"""Conversations that the gateway (`lmbridge serve`) remembers, by OpenAI's Responses API: `pip install openai`."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:1235/v1"), api_key="not-needed")
MODEL = "lmbridge-tiny"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def main() -> None:
    with client.responses.stream(model=MODEL, input="What is lmbridge?") as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
        first = stream.get_final_response()
    print()

    # Only what is new is sent; any earlier answer may be continued, as often as you like.
    asked = client.responses.create(
        model=MODEL, input="What is the weather in Paris?", tools=[WEATHER], previous_response_id=first.id
    )
    results = []
    for item in asked.output:
        if item.type == "function_call":
            print("The model calls", item.name, "with", item.arguments)
            output = "18 degrees and sunny"
            results.append({"type": "function_call_output", "call_id": item.call_id, "output": output})
    answer = client.responses.create(
        model=MODEL, input=results, tools=[WEATHER], previous_response_id=asked.id, truncation="auto"
    )
    print(answer.output_text)

    for response in (first, asked, answer):
        client.responses.delete(response.id)


if __name__ == "__main__":
    main()
