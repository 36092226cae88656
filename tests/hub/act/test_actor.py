"""Options of a run, taken apart and checked."""

from __future__ import annotations

from typing import get_type_hints

import pytest
from tests.fakes.provider import ScriptedTurns, called
from tests.hub.act.conftest import Box

from lmbridge.core.acting import ActOptions
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.requests import NamedTool, Schema
from lmbridge.hub.act.policy import Limits
from lmbridge.hub.act.run import Asking
from lmbridge.hub.act.telling import Callbacks
from lmbridge.hub.hub import Hub


def test_every_option_that_is_told_of_is_one_and_the_other_way_round() -> None:
    known = [name for shape in (Callbacks, Limits, Asking) for name in shape.__struct_fields__]
    assert sorted(known) == sorted(get_type_hints(ActOptions))
    assert len(known) == len(set(known))


async def test_an_option_that_cannot_be_is_refused_before_anything_is_asked() -> None:
    provider = ScriptedTurns("Hi")
    async with Hub([provider]) as hub:
        model = await hub.model("talker")
        with pytest.raises(InvalidRequest, match="max_round'"):
            await model.act("hi", [Box()], max_round=1)  # type: ignore[call-arg]
        with pytest.raises(InvalidRequest, match="max_rounds"):
            await model.act("hi", [Box()], max_rounds=0)
        with pytest.raises(InvalidRequest, match="not a usable JSON schema"):
            await model.act("hi", [Box()], schema={"type": "robot"})
    assert provider.requests == []


WRONG: list[tuple[dict[str, object], str]] = [
    ({"max_rounds": "3"}, "Expected `int | null`, got `str` - at `\\$.max_rounds`"),
    ({"max_seconds": float("nan")}, "must be more than 0"),
    ({"max_calls": -1}, "`max_calls` is negative"),
    ({"max_calls": {"add": -1}}, "`max_calls` is negative"),
    ({"max_calls": {"hammer": 1}}, "`max_calls` names 'hammer'. The tools are: add, wait"),
    ({"tool_choice": NamedTool("hammer")}, "`tool_choice` names 'hammer'"),
    ({"tool_choice": "perhaps"}, "There is no `tool_choice` 'perhaps'"),
    ({"parallel": 0}, "`parallel` is 0"),
    ({"on_message": "print"}, "`on_message` is 'print', which cannot be called"),
    ({"approve": True}, "`approve` is True, which cannot be called"),
    ({"sampling": None}, "no Sampling"),
    ({"schema": "person"}, "'person' is no JSON schema"),
    ({"max_result_chars": 0}, "must be at least 1"),
]


@pytest.mark.parametrize(("options", "said"), WRONG)
async def test_what_cannot_be_kept_to_is_refused_by_its_name(options: dict[str, object], said: str) -> None:
    provider = ScriptedTurns("Hi")
    async with Hub([provider]) as hub:
        model = await hub.model("talker")
        with pytest.raises(InvalidRequest, match=said):
            await model.act("hi", [Box()], **options)  # type: ignore[arg-type]
    assert provider.requests == []


async def test_no_tool_can_be_required_where_there_is_none() -> None:
    async with Hub([ScriptedTurns("Hi")]) as hub:
        model = await hub.model("talker")
        with pytest.raises(InvalidRequest, match="there is none"):
            await model.act("hi", [], tool_choice="required")


async def test_what_is_said_of_tools_that_there_are_is_kept_to() -> None:
    async with Hub([ScriptedTurns(called(("add", '{"a": 1}')), "Hi")]) as hub:
        model = await hub.model("talker")
        done = await model.act("hi", [Box()], max_calls={"add": 1}, tool_choice=NamedTool("add"))
        assert (done.stop, done.text) == ("answered", "Hi")


async def test_a_schema_is_given_in_whichever_way() -> None:
    provider = ScriptedTurns("{}")
    async with Hub([provider]) as hub:
        model = await hub.model("talker")
        for schema in (Schema(), Schema({"type": "object"}), {"type": "object"}, None):
            assert (await model.act("hi", [Box()], schema=schema)).stop == "answered"
    assert [r.schema for r in provider.requests] == [
        Schema(),
        Schema({"type": "object"}),
        Schema({"type": "object"}),
        None,
    ]
