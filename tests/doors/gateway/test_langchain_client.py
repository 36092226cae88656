"""LangChain's `ChatOpenAI` and `OpenAIEmbeddings` against the gateway, the real engine and the built-in models."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr
from tests.doors.gateway.asking import Running, running

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.embedded import EmbeddedProvider

WEATHER = "What is the weather in Paris?"


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@pytest.fixture(scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    home = tmp_path_factory.mktemp("home")
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(home, "embedded"))
    async with running([provider], home) as one:
        yield one


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Its connections: LangChain's own client never closes them."""
    async with httpx.AsyncClient(timeout=60) as one:
        yield one


@pytest.fixture
def model(up: Running, http: httpx.AsyncClient) -> ChatOpenAI:
    return _model(up, http)


def _model(up: Running, http: httpx.AsyncClient, **more: bool) -> ChatOpenAI:
    return ChatOpenAI(
        model="lmbridge-tiny",
        base_url=f"{up.url}/v1",
        api_key=SecretStr("not-needed"),
        temperature=0,
        max_retries=0,
        stream_usage=True,  # else it asks only OpenAI itself for the counts of a stream
        http_async_client=http,
        **more,
    )


async def test_a_question_is_answered(model: ChatOpenAI) -> None:
    answer = await model.ainvoke("What is 3 + 4?")
    assert answer.text == "3 + 4 = 7"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["finish_reason"] == "stop"


async def test_an_answer_is_streamed_and_counted(model: ChatOpenAI) -> None:
    whole = None
    async for piece in model.astream("What is lmbridge?"):
        whole = piece if whole is None else whole + piece
    assert whole is not None
    assert whole.text.startswith("lmbridge makes")
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0


async def test_a_tool_is_called_and_its_result_taken_back(model: ChatOpenAI) -> None:
    bound = model.bind_tools([get_weather])
    called = await bound.ainvoke(WEATHER)
    assert isinstance(called, AIMessage)
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    result = await get_weather.ainvoke(call)
    assert isinstance(result, ToolMessage)
    answer = await bound.ainvoke([HumanMessage(WEATHER), called, result])
    assert "sunny" in answer.text


async def test_a_streamed_tool_call_is_put_together(model: ChatOpenAI) -> None:
    whole = None
    async for piece in model.bind_tools([get_weather]).astream(WEATHER):
        whole = piece if whole is None else whole + piece
    assert whole is not None
    assert [(c["name"], c["args"]) for c in whole.tool_calls] == [("get_weather", {"city": "Paris"})]


@pytest.mark.parametrize("choice", ["any", "get_weather"])
async def test_a_tool_that_must_be_called_is_called(model: ChatOpenAI, choice: str) -> None:
    called = await model.bind_tools([get_weather], tool_choice=choice).ainvoke("What is lmbridge?")
    assert isinstance(called, AIMessage)
    assert [call["name"] for call in called.tool_calls] == ["get_weather"]


FACTS = "Anna is 31 years old. Give the name and age as JSON."


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        ("json_schema", FACTS),
        ("function_calling", "Create the person: name Anna, age 31"),
        ("json_mode", FACTS),
    ],
)
async def test_an_answer_has_the_shape_that_was_asked_for(model: ChatOpenAI, method: str, asked: str) -> None:
    shaped = model.with_structured_output(Person, method=method)  # type: ignore[arg-type]
    assert await shaped.ainvoke(asked) == Person(name="Anna", age=31)


async def test_the_responses_api_is_used_if_it_is_wanted(up: Running, http: httpx.AsyncClient) -> None:
    model = _model(up, http, use_responses_api=True)
    assert (await model.ainvoke("What is 3 + 4?")).text == "3 + 4 = 7"


async def test_texts_become_vectors(up: Running, http: httpx.AsyncClient) -> None:
    embedder = OpenAIEmbeddings(
        model="lmbridge-tiny-embed",
        base_url=f"{up.url}/v1",
        api_key=SecretStr("not-needed"),
        http_async_client=http,
        check_embedding_ctx_length=False,  # else it sends the numbers of OpenAI's tokens in place of texts
    )
    vectors = await embedder.aembed_documents(["Hello", "Good bye"])
    assert len(vectors) == 2
    assert len(vectors[0]) == len(vectors[1]) > 0
