"""One model of a hub, to talk with."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.provider import ScriptedCounter, ScriptedProvider, ScriptedTurns

from lmbridge.core.chat import Chat
from lmbridge.core.errors import ContextExceeded, InvalidRequest, ModelNotFound, WrongModelKind
from lmbridge.core.events import Finished, Started, TextDelta
from lmbridge.core.messages import Message, Tool
from lmbridge.core.model import Model, schema_of, turns
from lmbridge.core.models import ModelInfo
from lmbridge.core.requests import Sampling, Schema
from lmbridge.hub.hub import Hub
from lmbridge.hub.usage import Ledger

CHAT, EMBED = ModelInfo("talker", "scripted"), ModelInfo("embedder", "scripted", kind="embedding")


async def test_a_model_answers_a_chat_and_leaves_it_as_it_is() -> None:
    provider = ScriptedTurns("Hello")
    async with Hub([provider]) as hub:
        model = await hub.model("talker")
        assert (model.info, repr(model)) == (ModelInfo("talker", "scripted"), "Model('scripted:talker')")
        chat = Chat("Be kind.")
        chat.append("user", "hi")
        answer = await model.respond(
            chat, schema={"type": "string"}, sampling=Sampling(seed=1), reasoning_effort="low", extra={"x": 1}
        )
        assert (answer.text, len(chat)) == ("Hello", 2)
    asked = provider.requests[0]
    assert (asked.model, asked.messages, asked.schema) == (
        "scripted:talker",
        chat.messages,
        Schema({"type": "string"}),
    )
    assert (asked.sampling.seed, asked.reasoning_effort, asked.extra) == (1, "low", {"x": 1})


async def test_a_model_streams() -> None:
    async with Hub([ScriptedTurns("Hello")]) as hub:
        model = await hub.model("talker")
        async with model.stream("hi") as events:
            got = [event async for event in events]
    assert [type(event) for event in got] == [Started, TextDelta, Finished]


async def test_a_model_makes_vectors() -> None:
    async with Hub([ScriptedProvider([CHAT, EMBED])]) as hub:
        model = await hub.model("embedder", "embedding")
        assert (await model.embed("four")).vectors == ((4.0,),)
        assert (await model.embed(["a", "bc"])).vectors == ((1.0,), (2.0,))
        with pytest.raises(WrongModelKind):
            await hub.model("embedder")
        with pytest.raises(ModelNotFound):
            await hub.model("nobody")


async def test_what_a_call_is_for_is_said_with_it(tmp_path: Path) -> None:
    async with Hub([ScriptedTurns("Hello", "Hello", "Hello")], ledger=Ledger(tmp_path / "talk.db")) as hub:
        model = await hub.model("talker")
        await model.respond("hi", task="answering")
        async with model.stream("hi", task="streaming") as events:
            assert [event async for event in events]
        await model.act("hi", [], task="acting")
        assert sorted(row.name for row in (await hub.usage("task")).rows) == ["acting", "answering", "streaming"]
    async with Hub([ScriptedProvider([CHAT, EMBED])], ledger=Ledger(tmp_path / "search.db")) as hub:
        await (await hub.model("embedder", "embedding")).embed("four", task="search")
        assert [row.name for row in (await hub.usage("task")).rows] == ["search"]


async def test_tokens_are_counted_and_a_chat_is_trimmed_by_them() -> None:
    async with Hub([ScriptedCounter([CHAT])]) as hub:
        model = await hub.model("talker")
        assert await model.count("one two", [Tool("f")]) == 3
        chat = Chat("system", [Message("user", "a b"), Message("assistant", "c"), Message("user", "d")])
        assert await model.trim(chat, 5) == chat
        assert [m.text for m in await model.trim(chat, 4)] == ["system", "d"]
        with pytest.raises(ContextExceeded):
            await model.trim(chat, 1)
    async with Hub([ScriptedProvider([CHAT])]) as hub:
        model = await hub.model("talker")
        assert await model.count("one two") is None
        with pytest.raises(InvalidRequest, match="does not count"):
            await model.trim(Chat(), 5)


async def test_a_run_with_tools_begins_from_a_chat_or_from_a_state() -> None:
    async with Hub([ScriptedTurns("Hello")]) as hub:
        model = await hub.model("talker")
        first = await model.act("hi", [])
        assert (first.text, first.state.began) == ("Hello", 1)
        assert len((await model.act(first.state, [])).state.messages) == 3


async def test_a_hub_without_an_actor_carries_no_calls_out() -> None:
    async with Hub([ScriptedProvider([CHAT])]) as hub:
        with pytest.raises(InvalidRequest, match="carries no tool calls out"):
            await Model(hub, CHAT, None).act("hi", [])


def test_conversations_and_schemas_are_given_in_several_ways() -> None:
    said = (Message("user", "hi"),)
    assert turns("hi") == turns(list(said)) == turns(Chat(messages=said)) == said
    assert schema_of(None) is None
    assert schema_of(Schema()) == Schema()
    assert schema_of({"type": "object"}) == Schema({"type": "object"})


@pytest.mark.parametrize("chat", [None, 5, [{"role": "user", "content": "hi"}], {"role": "user"}])
def test_what_is_no_conversation_is_refused_with_the_way_to_make_one(chat: object) -> None:
    with pytest.raises(InvalidRequest, match=r"is no conversation.*from_messages"):
        turns(chat)  # type: ignore[arg-type]


def test_what_is_no_schema_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'person' is no JSON schema"):
        schema_of("person")  # type: ignore[arg-type]
