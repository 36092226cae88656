"""LangChain over the gateway (`lmbridge serve`): `pip install langchain-openai`."""

import os

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

model = ChatOpenAI(
    model="lmbridge-tiny",
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:1235/v1"),
    api_key="not-needed",
    temperature=0,
    stream_usage=True,  # LangChain asks only OpenAI itself for the counts of a stream
)


class Person(BaseModel):
    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def main() -> None:
    for piece in model.stream("What is lmbridge?"):
        print(piece.text, end="", flush=True)
    print()

    bound = model.bind_tools([get_weather])
    called = bound.invoke("What is the weather in Paris?")
    results = [get_weather.invoke(call) for call in called.tool_calls]
    print(bound.invoke([("human", "What is the weather in Paris?"), called, *results]).text)

    asked = "Anna is 31 years old. Give the name and age as JSON."
    print(model.with_structured_output(Person).invoke(asked))


if __name__ == "__main__":
    main()
