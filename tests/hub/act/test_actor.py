"""Options of a run, taken apart and checked."""

from __future__ import annotations

from typing import get_type_hints

import pytest
from tests.fakes.provider import ScriptedTurns
from tests.hub.act.conftest import Box

from lmbridge.core.acting import ActOptions
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.requests import Schema
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
