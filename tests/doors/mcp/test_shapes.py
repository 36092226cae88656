from __future__ import annotations

import msgspec
import pytest

from lmbridge.core.models import InstanceState, LoadOptions, ModelInfo
from lmbridge.core.requests import Sampling
from lmbridge.doors.mcp.shapes import Chat, InMemory, Listed, Load


def test_what_is_not_said_is_left_to_the_provider() -> None:
    assert Chat(prompt="x").sampling() == Sampling()
    assert Chat(prompt="x", stop=["a"], seed=3).sampling() == Sampling(stop=("a",), seed=3)


def test_a_load_has_the_options_that_were_given() -> None:
    assert Load("a", context_length=9).options() == LoadOptions(context_length=9)


@pytest.mark.parametrize("wrong", [{"temperature": 3}, {"max_tokens": 0}, {"messages": [{"role": "tool"}]}])
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"prompt": "x", **wrong}, Chat)


def test_a_host_is_not_told_where_files_are() -> None:
    model = ModelInfo("a", "embedded", path="/home/anna/models/a.gguf", size_bytes=7)
    said = msgspec.json.encode(Listed.of(model, loaded=True))
    assert b"anna" not in said
    assert b'"size_bytes":7' in said
    assert b'"loaded":true' in said


def test_an_instance_is_called_as_its_runtime_does() -> None:
    assert InMemory.of(InstanceState("a", "p", "ready", name="a:2")).model == "a:2"
    assert InMemory.of(InstanceState("a", "p", "ready")).model == "a"
