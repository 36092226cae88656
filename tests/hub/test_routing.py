from __future__ import annotations

import pytest

from lmbridge.core.errors import BadModelFile, ModelNotFound, NoModels, WrongModelKind
from lmbridge.core.models import ModelInfo
from lmbridge.hub.routing import choose, find, resolve

QWEN = ModelInfo("qwen/qwen3-8b", "embedded", path="/models/q.gguf", size_bytes=500)
TINY = ModelInfo("lmbridge-tiny", "embedded", size_bytes=3, builtin=True)
BROKEN = ModelInfo("broken", "embedded", path="/models/b.gguf", size_bytes=1, problem="it is cut off")
EMBED = ModelInfo("embed", "embedded", kind="embedding", size_bytes=1)
TWIN_A, TWIN_B = ModelInfo("x/twin", "embedded", size_bytes=9), ModelInfo("y/twin", "embedded", size_bytes=9)
SAME = ModelInfo("lmbridge-tiny", "ollama")
TAGGED = ModelInfo("llama3:8b", "ollama")
ALL = [QWEN, TINY, BROKEN, EMBED, TWIN_A, TWIN_B, SAME, TAGGED]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("qwen/qwen3-8b", QWEN),
        ("/models/q.gguf", QWEN),
        ("Qwen/QWEN3-8B", QWEN),
        ("qwen3-8b", QWEN),
        ("lmbridge-tiny", TINY),
        ("ollama:lmbridge-tiny", SAME),
        ("OLLAMA:lmbridge-tiny", SAME),
        ("llama3:8b", TAGGED),
        ("ollama:llama3:8b", TAGGED),
        ("embedded:qwen3-8b", QWEN),
        ("Embedded:QWEN3-8B", QWEN),
    ],
)
def test_a_name_finds_its_model(name: str, model: ModelInfo) -> None:
    assert find(name, ALL) is model


@pytest.mark.parametrize(
    "name",
    ["twin", "qwen3", "", "qwen/qwen3-8b-instruct", "embedded:twin", "ollama:qwen3-8b", "embedded:", ":", "::"],
)
def test_a_name_that_fits_none_or_several_is_not_guessed(name: str) -> None:
    with pytest.raises(ModelNotFound):
        find(name, ALL)


def test_a_name_that_settings_gave_may_stand_for_the_end_of_a_models_name() -> None:
    names = {
        "fast": "embedded:qwen3-8b",
        "mine": "ollama:LMBRIDGE-tiny",
        "odd": "embedded:odd",
        "gone": "embedded:no",
    }
    assert find("fast", ALL, names) is find("embedded:fast", ALL, names) is QWEN
    assert find("mine", ALL, names) is SAME
    for name in ("ollama:fast", "odd", "gone", "embedded:gone"):
        with pytest.raises(ModelNotFound):
            find(name, ALL, names)


def test_of_two_that_fit_the_one_that_can_be_asked_now_is_meant() -> None:
    old, now = ModelInfo("org/qwen", "lmstudio", stale_s=9.0), ModelInfo("org/qwen", "embedded")
    assert find("org/qwen", [old, now]) is find("qwen", [old, now]) is now
    assert find("lmstudio:qwen", [old, now]) is old
    assert find("qwen", [old]) is old


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(ModelNotFound, match="Did you mean 'lmbridge-tiny'"):
        find("lmbridge-tyni", ALL)


def test_without_models_the_error_says_how_to_get_one() -> None:
    with pytest.raises(NoModels, match="GGUF"):
        find("x", [])
    with pytest.raises(NoModels):
        choose("embedding", [QWEN, BROKEN], set(), set())


def test_a_model_of_the_wrong_kind_or_a_broken_one_is_refused_by_name() -> None:
    with pytest.raises(WrongModelKind):
        resolve("embed", "chat", ALL)
    with pytest.raises(BadModelFile, match="it is cut off"):
        resolve("broken", "chat", ALL)


def test_without_a_name_the_one_in_memory_answers_then_a_running_server_then_the_users_smallest() -> None:
    assert choose("chat", ALL, {"embedded:qwen/qwen3-8b"}, {"ollama"}) is QWEN
    assert choose("chat", ALL, set(), {"ollama"}) is SAME
    assert choose("chat", [TINY, QWEN, TWIN_A, BROKEN, EMBED], set(), set()) is TWIN_A
    assert choose("embedding", ALL, set(), {"ollama"}) is EMBED


def test_a_model_of_unknown_size_does_not_pass_for_the_smallest() -> None:
    unknown = ModelInfo("parrot", "rules")
    assert choose("chat", [unknown, QWEN], set(), set()) is QWEN
    assert choose("chat", [unknown, TINY], set(), set()) is unknown


def test_the_built_in_model_answers_who_names_none_only_where_there_is_no_other() -> None:
    assert choose("chat", [QWEN, TINY], set(), set()) is QWEN
    assert choose("chat", [TINY, BROKEN, EMBED], set(), set()) is TINY
