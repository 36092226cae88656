"""The tools by themselves: what they take, what they refuse, what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.doors.gateway.lmstudio.test_integrations import Acting
from tests.doors.mcp.asking import NoHost, lending
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.errors import (
    BrokenAnswer,
    Forbidden,
    InvalidRequest,
    ModelNotFound,
    NoModels,
    UnsupportedParameter,
)
from lmbridge.core.events import Finished, ReasoningDelta, TextDelta
from lmbridge.core.models import ModelInfo
from lmbridge.doors.mcp.shapes import Chatted, Completed, Embedded, InMemory, Models, Status
from lmbridge.doors.mcp.telling import Telling
from lmbridge.doors.mcp.tools import Caller, Tools
from lmbridge.hub.hub import Hub
from lmbridge.providers.openai import OpenAIProvider

SHAPE = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
PICTURE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
CALLER = Caller(Telling(None), NoHost())


@pytest.fixture
async def tools(provider: OpenAIProvider) -> AsyncIterator[Tools]:
    async with Hub([provider]) as hub:
        yield Tools(lending(hub), manage=True)


def sent(upstream: FakeOpenAI) -> dict[str, Any]:
    """The last body that the engine got."""
    return upstream.requests[-1][1]


async def test_a_chat_reaches_the_engine_as_it_was_meant(tools: Tools, upstream: FakeOpenAI) -> None:
    asked = {
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}],
        "prompt": "Three",
        "temperature": 0,
        "stop": ["."],
        "seed": 7,
        "max_tokens": 20,
        "top_p": None,
    }
    answer = await tools.call("chat", asked, CALLER)
    assert isinstance(answer, Chatted)
    body = sent(upstream)
    assert [turn["content"] for turn in body["messages"]] == ["Be brief.", "One", "Two", "Three"]
    assert (body["temperature"], body["stop"], body["seed"], body["max_tokens"]) == (0, ["."], 7, 20)
    assert "top_p" not in body


async def test_pictures_are_data_and_never_fetched(tools: Tools, upstream: FakeOpenAI) -> None:
    content = [{"type": "text", "text": "What is it?"}, PICTURE]
    await tools.call("chat", {"messages": [{"role": "user", "content": content}]}, CALLER)
    (turn,) = sent(upstream)["messages"]
    assert turn["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="
    remote = {**PICTURE, "data": "http://example.org/x.png"}
    wrong = {**PICTURE, "mimeType": "text/html"}
    with pytest.raises(InvalidRequest):
        await tools.call("chat", {"messages": [{"role": "user", "content": [wrong]}]}, CALLER)
    await tools.call("chat", {"messages": [{"role": "user", "content": [remote]}]}, CALLER)
    assert sent(upstream)["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


async def test_an_answer_that_follows_a_schema_is_a_value_too(tools: Tools) -> None:
    answer = await tools.call("chat", {"prompt": "x", "schema": SHAPE}, CALLER)
    assert isinstance(answer, Chatted)
    assert answer.value == {"answer": "yes"}


async def test_an_answer_that_does_not_follow_it_is_an_error(tools: Tools) -> None:
    other = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
    with pytest.raises(BrokenAnswer, match="does not follow the schema"):
        await tools.call("chat", {"prompt": "x", "schema": other}, CALLER)


async def test_a_schema_that_nobody_can_follow_is_refused(tools: Tools, upstream: FakeOpenAI) -> None:
    with pytest.raises(InvalidRequest, match="`schema` cannot be followed"):
        await tools.call("chat", {"prompt": "x", "schema": {"type": "fish"}}, CALLER)
    assert not any("chat" in route for route, _ in upstream.requests)


async def test_one_prompt_gives_one_text(tools: Tools) -> None:
    text = await tools.call("complete", {"prompt": "hello", "max_tokens": 2}, CALLER)
    assert isinstance(text, Completed)
    assert (text.text, text.finish_reason, text.provider) == ("You said: ", "length", "fake")


async def test_texts_become_vectors(tools: Tools) -> None:
    found = await tools.call("embed", {"texts": ["a", "bcd"]}, CALLER)
    assert isinstance(found, Embedded)
    assert (found.dimensions, found.vectors[1][0], found.model) == (3, 3.0, "fake-embed")


async def test_models_of_one_kind_are_listed(tools: Tools) -> None:
    await tools.call("chat", {"prompt": "x"}, CALLER)
    every = await tools.call("list_models", {}, CALLER)
    some = await tools.call("list_models", {"kind": "embedding"}, CALLER)
    assert isinstance(every, Models)
    assert isinstance(some, Models)
    assert [(one.name, one.loaded) for one in every.models] == [("fake-chat", True), ("fake-embed", False)]
    assert [one.name for one in some.models] == ["fake-embed"]


async def test_the_status_tells_where_the_models_are(tools: Tools) -> None:
    status = await tools.call("status", {}, CALLER)
    assert isinstance(status, Status)
    assert status.where == "this process"
    assert [(one.provider, one.state) for one in status.providers] == [("fake", "ready")]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("chat", {}, "nothing to answer"),
        ("chat", {"system": "x"}, "nothing to answer"),
        ("chat", {"prompt": 7}, "`prompt`"),
        ("chat", {"prompt": "x", "temperature": 3}, "`temperature`"),
        ("chat", {"messages": [{"role": "tool", "content": "x"}]}, "messages"),
        ("complete", {}, "`prompt` is missing"),
        ("embed", {"texts": []}, "texts"),
        ("list_models", {"kind": "fish"}, "kind"),
        ("shell", {}, "no tool 'shell'"),
    ],
)
async def test_what_is_wrong_is_told_by_its_name(
    tools: Tools, name: str, arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        await tools.call(name, arguments, CALLER)


async def test_an_argument_that_nobody_knows_is_told_with_those_there_are(tools: Tools) -> None:
    with pytest.raises(UnsupportedParameter, match="status has no such argument") as caught:
        await tools.call("status", {"verbose": True}, CALLER)
    assert caught.value.hint == "It has: none."


async def test_who_may_not_manage_loads_nothing(tools: Tools) -> None:
    def refuse() -> None:
        raise Forbidden("No.")

    with pytest.raises(Forbidden):
        await tools.call("load_model", {"model": "fake-chat"}, Caller(Telling(None), NoHost(), refuse))
    await tools.call("list_models", {}, Caller(Telling(None), NoHost(), refuse))


async def test_where_there_are_no_models_it_is_told_why() -> None:
    runtime = ScriptedRuntime([], state="unavailable")
    async with Hub([runtime]) as hub:
        with pytest.raises(NoModels, match="runtime: It sleeps") as caught:
            await Tools(lending(hub), manage=False).call("chat", {"prompt": "x"}, CALLER)
    assert caught.value.hint == "Wake it with `runtime start`."


async def test_where_providers_work_and_have_no_models_the_error_is_as_it_was() -> None:
    async with Hub([ScriptedProvider([])]) as hub:
        with pytest.raises(NoModels, match="Download one"):
            await Tools(lending(hub), manage=False).call("chat", {"prompt": "x"}, CALLER)


async def test_thoughts_and_the_answer_are_told_as_they_come() -> None:
    actor = Acting()
    told: list[tuple[float, str]] = []

    async def send(number: float, message: str) -> None:
        told.append((number, message))

    actor.rounds.append([ReasoningDelta("Hm"), TextDelta("Yes"), Finished("stop")])
    teller = Telling(send)
    async with Hub([actor]) as hub:
        tools = Tools(lending(hub), manage=False)
        answer = await tools.call("chat", {"prompt": "x"}, Caller(teller, NoHost()))
        await teller.flush()
        with pytest.raises(ModelNotFound):
            await tools.call("chat", {"prompt": "x", "model": "b"}, Caller(teller, NoHost()))
    assert isinstance(answer, Chatted)
    assert (answer.text, answer.reasoning) == ("Yes", "Hm")
    assert told == [(4.0, "Yes")]


@pytest.mark.parametrize(("reason", "said"), [("stop", "is not JSON"), ("length", "cut off by `max_tokens`")])
async def test_an_answer_that_is_no_json_is_an_error_that_says_why(reason: str, said: str) -> None:
    actor = Acting()
    actor.rounds.append([TextDelta('{"answer'), Finished(reason)])
    async with Hub([actor]) as hub:
        with pytest.raises(BrokenAnswer, match=said):
            await Tools(lending(hub), manage=False).call("chat", {"prompt": "x", "schema": SHAPE}, CALLER)


async def test_models_are_loaded_with_the_options_that_were_given() -> None:
    scripted = ScriptedProvider([ModelInfo("a", "scripted")])
    async with Hub([scripted]) as hub:
        tools = Tools(lending(hub), manage=True)
        loaded = await tools.call("load_model", {"model": "a", "context_length": 512}, CALLER)
        (instance,) = scripted.alive.values()
        await tools.call("unload_model", {"model": "a"}, CALLER)
    assert isinstance(loaded, InMemory)
    assert instance.options.context_length == 512
    assert scripted.unloads == ["a"]
