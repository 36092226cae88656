"""Any Ollama client, pointed at the gateway (`lmbridge serve`). This one: `pip install ollama`."""

import os

from ollama import Client
from pydantic import BaseModel

client = Client(host=os.environ.get("OLLAMA_HOST", "http://127.0.0.1:1235"))
MODEL = "lmbridge-tiny"


class Person(BaseModel):
    """What an answer is to hold."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Name of the city.
    """
    return f"18 degrees and sunny in {city}"


def main() -> None:
    for model in client.list().models:
        print(model.model, model.details.quantization_level)
    question = [{"role": "user", "content": "What is lmbridge?"}]
    for line in client.chat(MODEL, question, options={"temperature": 0}, stream=True):
        print(line.message.content, end="", flush=True)
    print()

    turns = [{"role": "user", "content": "What is the weather in Paris?"}]
    asked = client.chat(MODEL, turns, tools=[get_weather], options={"temperature": 0})
    turns.append(asked.message)
    for call in asked.message.tool_calls or ():
        print("The model calls", call.function.name, "with", dict(call.function.arguments))
        turns.append({"role": "tool", "tool_name": call.function.name, "content": get_weather("Paris")})
    print(client.chat(MODEL, turns, tools=[get_weather], options={"temperature": 0}).message.content)

    shape = Person.model_json_schema()
    said = client.generate(MODEL, "Anna is 31 years old.", format=shape, options={"temperature": 0})
    print(Person.model_validate_json(said.response))
    vectors = client.embed("lmbridge-tiny-embed", ["Hello", "Good morning"])
    print(len(vectors.embeddings), "vectors of", len(vectors.embeddings[0]), "dimensions")


if __name__ == "__main__":
    main()
