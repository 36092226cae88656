from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.models import InstanceState, ModelInfo
from lmbridge.wire.ollama.models import digest, listed, running, shown
from lmbridge.wire.ollama.shapes import rfc3339

SINCE = 1_700_000_000_000_000_000
KNOWN = ModelInfo(
    "qwen3-8b",
    "embedded",
    display_name="Qwen3 8B",
    path="/models/Qwen3-8B-Q4_K_M.GGUF",
    size_bytes=5_000_000_000,
    parameters=8_190_735_360,
    architecture="qwen3",
    quantization="Q4_K_M",
    context_length=40960,
    tools=True,
    vision=False,
    reasoning=True,
)
UNKNOWN = ModelInfo("secret", "cloud")
READY = InstanceState("qwen3-8b", "embedded", "ready", context_length=8192, memory=6_000, ttl=60.0, idle_s=20.0)


def test_a_model_is_listed_with_what_sort_it_is() -> None:
    assert json.loads(msgspec.json.encode(listed(KNOWN, "qwen3-8b", SINCE))) == {
        "name": "qwen3-8b",
        "model": "qwen3-8b",
        "modified_at": "2023-11-14T22:13:20.000000000Z",
        "size": 5_000_000_000,
        "digest": digest(KNOWN),
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "qwen3",
            "families": ["qwen3"],
            "parameter_size": "8.2B",
            "quantization_level": "Q4_K_M",
            "context_length": 40960,
        },
        "capabilities": ["completion", "tools", "thinking"],
    }


def test_what_is_not_known_of_a_model_is_empty() -> None:
    told = listed(UNKNOWN, "secret", SINCE)
    assert (told.size, told.details.format, told.details.families, told.details.parameter_size) == (0, "", (), "")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (None, ""),
        (999, "999"),
        (26_000, "26.0K"),
        (3_475_712, "3.5M"),
        (136_727_040, "137M"),
        (3_212_749_888, "3.2B"),
    ],
)
def test_a_number_of_weights_is_told_as_people_say_it(parameters: int | None, said: str) -> None:
    told = listed(msgspec.structs.replace(KNOWN, parameters=parameters), "m", SINCE)
    assert told.details.parameter_size == said


def test_a_digest_tells_models_apart_and_stays_the_same() -> None:
    assert digest(KNOWN) == digest(msgspec.structs.replace(KNOWN, size_bytes=1))
    assert digest(KNOWN) != digest(msgspec.structs.replace(KNOWN, provider="lmstudio"))
    assert len(bytes.fromhex(digest(KNOWN))) == 32


def test_a_model_is_shown_with_its_longest_context_and_the_one_it_has_now() -> None:
    told = shown(KNOWN, "qwen3-8b", READY, SINCE)
    assert told.model_info == {
        "general.architecture": "qwen3",
        "general.basename": "Qwen3 8B",
        "general.parameter_count": 8_190_735_360,
        "qwen3.context_length": 40960,
    }
    assert told.parameters.split() == ["num_ctx", "8192"]
    assert told.modelfile.endswith("FROM qwen3-8b\n")
    assert told.details.quantization_level == "Q4_K_M"


def test_a_model_that_is_not_loaded_or_not_known_is_shown_without() -> None:
    told = shown(UNKNOWN, "secret", None, SINCE)
    assert told.model_info == {"general.architecture": "unknown"}
    assert told.parameters == ""
    assert shown(KNOWN, "m", InstanceState("m", "p", "ready"), SINCE).parameters == ""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ["completion", "tools"]),
        ({"tools": False}, ["completion"]),
        ({"tools": True, "vision": True, "reasoning": True}, ["completion", "tools", "vision", "thinking"]),
        ({"kind": "embedding"}, ["embedding"]),
    ],
)
def test_what_a_model_can_do_is_told_in_words_that_clients_look_for(
    given: dict[str, object], words: list[str]
) -> None:
    model = msgspec.structs.replace(UNKNOWN, **given)
    assert shown(model, "m", None, SINCE).capabilities == words


def test_a_model_in_memory_is_told_with_its_context_and_its_end() -> None:
    told = running(KNOWN, "qwen3-8b", READY, SINCE)
    assert (told.name, told.size, told.size_vram, told.context_length) == ("qwen3-8b", 6_000, 0, 8192)
    assert told.expires_at == rfc3339(SINCE + 40_000_000_000)


def test_while_it_answers_its_end_is_its_whole_time_away() -> None:
    busy = msgspec.structs.replace(READY, leases=1)
    assert running(KNOWN, "m", busy, SINCE).expires_at == rfc3339(SINCE + 60_000_000_000)


def test_one_that_has_outstayed_its_time_ends_now() -> None:
    late = msgspec.structs.replace(READY, idle_s=61.0)
    assert running(KNOWN, "m", late, SINCE).expires_at == rfc3339(SINCE)


@pytest.mark.parametrize("state", [{"ttl": 0.0}, {"kept": True}])
def test_one_that_is_kept_for_ever_ends_as_late_as_ollama_can_say(state: dict[str, object]) -> None:
    told = running(KNOWN, "m", msgspec.structs.replace(READY, **state), SINCE)
    assert told.expires_at == rfc3339(SINCE + 2**63)


def test_its_size_is_that_of_its_files_where_its_memory_is_not_known() -> None:
    told = running(KNOWN, "m", InstanceState("m", "p", "ready"), SINCE)
    assert told.size == 5_000_000_000
    assert "context_length" not in msgspec.to_builtins(told)
    assert running(UNKNOWN, "m", InstanceState("m", "p", "ready"), SINCE).size == 0


@given(st.floats(0, allow_nan=False, allow_infinity=False), st.floats(0, 1e12))
def test_any_time_to_live_has_an_end_that_can_be_told(ttl: float, idle_s: float) -> None:
    state = msgspec.structs.replace(READY, ttl=ttl, idle_s=idle_s)
    assert running(KNOWN, "m", state, SINCE).expires_at >= rfc3339(SINCE)
