from __future__ import annotations

import pytest

from lmbridge.clients.lmstudio.names import find, only
from lmbridge.core.errors import InvalidRequest, ModelNotFound, NoModels, WrongModelKind
from lmbridge.core.models import ModelKind
from lmbridge.wire.lmstudio.models import LMStudioModel, LoadedInstance

GPT = LMStudioModel("openai/gpt-oss-20b", publisher="openai")
QWEN = LMStudioModel(
    "Qwen/Qwen3-4B",
    variants=("Qwen/Qwen3-4B@q4_k_m", "Qwen/Qwen3-4B@q8_0"),
    loaded=(LoadedInstance("Qwen/Qwen3-4B", "Qwen/Qwen3-4B"), LoadedInstance("mine", "Qwen/Qwen3-4B")),
)
OTHER = LMStudioModel("mirror/qwen3-4b")
SHORT = LMStudioModel("tiny", publisher="lmstudio-community")
NOMIC = LMStudioModel("text-embedding-nomic", "embedding")
TWIN = LMStudioModel("copy/text-embedding-nomic")
MODELS = [GPT, QWEN, SHORT, NOMIC]


@pytest.mark.parametrize(
    ("name", "model", "asked"),
    [
        ("openai/gpt-oss-20b", GPT, "openai/gpt-oss-20b"),
        ("OpenAI/GPT-OSS-20B", GPT, "openai/gpt-oss-20b"),
        ("gpt-oss-20b", GPT, "openai/gpt-oss-20b"),
        ("GPT-oss-20b", GPT, "openai/gpt-oss-20b"),
        ("Qwen/Qwen3-4B", QWEN, "Qwen/Qwen3-4B"),
        ("qwen/qwen3-4b@Q8_0", QWEN, "Qwen/Qwen3-4B@q8_0"),
        ("qwen3-4b@q4_k_m", QWEN, "Qwen/Qwen3-4B@q4_k_m"),
        ("mine", QWEN, "mine"),
        ("tiny", SHORT, "tiny"),
        ("lmstudio-community/tiny", SHORT, "tiny"),
    ],
)
def test_a_name_means_one_model(name: str, model: LMStudioModel, asked: str) -> None:
    found = find(name, MODELS)
    assert (found.model, found.asked) == (model, asked)
    assert asked.casefold() in found.answers


def test_an_instance_that_is_named_is_the_only_one_that_may_answer() -> None:
    assert find("mine", MODELS).answers == {"mine"}
    assert find("Qwen/Qwen3-4B", MODELS).instance is None
    assert "mine" in find("Qwen/Qwen3-4B", MODELS).answers


def test_an_instance_comes_before_a_model_of_that_name() -> None:
    named = LMStudioModel("a/b", loaded=(LoadedInstance("openai/gpt-oss-20b", "a/b"),))
    assert find("openai/gpt-oss-20b", [GPT, named]).model is named


def test_a_whole_key_comes_before_the_end_of_another() -> None:
    assert find("qwen3-4b", [LMStudioModel("qwen3-4b"), OTHER]).model.key == "qwen3-4b"


def test_a_name_that_could_be_several_is_refused_with_all_of_them() -> None:
    with pytest.raises(ModelNotFound, match="It could be Qwen/Qwen3-4B, mirror/qwen3-4b") as raised:
        find("qwen3-4b", [QWEN, OTHER])
    assert raised.value.known == ("Qwen/Qwen3-4B", "mirror/qwen3-4b")


def test_a_model_for_something_else_makes_a_name_not_ambiguous() -> None:
    models = [LMStudioModel("a/nomic", "embedding"), LMStudioModel("b/nomic")]
    assert find("nomic", models, "embedding").model is models[0]
    assert find("nomic", models, "chat").model is models[1]


def test_an_embedding_model_is_never_taken_for_chat() -> None:
    with pytest.raises(WrongModelKind, match="cannot serve a chat"):
        find("text-embedding-nomic", MODELS)
    with pytest.raises(WrongModelKind, match="cannot serve embeddings"):
        find("tiny", MODELS, "embedding")
    assert find("text-embedding-nomic", MODELS, None).model is NOMIC


def test_an_unknown_name_is_never_another_model() -> None:
    with pytest.raises(ModelNotFound, match=r"Did you mean 'tiny'\? `lmbridge get tine`") as raised:
        find("tine", MODELS)
    assert raised.value.known == ("openai/gpt-oss-20b", "Qwen/Qwen3-4B", "tiny")
    with pytest.raises(ModelNotFound, match=r"known\). `lmbridge get zzz`"):
        find("zzz", MODELS)
    with pytest.raises(ModelNotFound, match="0 known"):
        find("tiny", [])


def test_nobody_named_is_the_only_one_in_memory() -> None:
    assert only(MODELS, "chat").model is QWEN
    assert only(MODELS, "embedding").model is NOMIC
    assert only([GPT], "chat").asked == GPT.key


@pytest.mark.parametrize("kind", ["chat", "embedding"])
def test_nobody_named_is_an_error_where_several_could_be_meant(kind: ModelKind) -> None:
    models = [LMStudioModel(f"m{n}", kind) for n in range(10)]
    with pytest.raises(InvalidRequest, match="m7 and 2 more") as raised:
        only(models, kind)
    assert ("embedding_model" in raised.value.hint) == (kind == "embedding")
    loaded = [LMStudioModel(key, loaded=(LoadedInstance(key, key),)) for key in "ab"]
    with pytest.raises(InvalidRequest, match="several for a chat: a, b"):
        only([*loaded, GPT], "chat")


def test_where_there_is_no_model_that_is_said() -> None:
    with pytest.raises(NoModels, match=r"LM Studio has no model for a chat\. Download one with `lmbridge get"):
        only([NOMIC], "chat")
