from __future__ import annotations

import json

import pytest

from lmbridge.core.errors import BrokenAnswer, ProviderNeedsKey, RouteNotFound
from lmbridge.wire.lmstudio.models import Generation, LMStudioModel, LoadedInstance, decode_list

QWEN: dict[str, object] = {
    "type": "llm",
    "publisher": "qwen",
    "key": "qwen/qwen3-4b-2507",
    "display_name": "Qwen3 4B",
    "architecture": "qwen3",
    "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
    "size_bytes": 2_500_000_000,
    "params_string": "4B",
    "loaded_instances": [
        {"id": "qwen/qwen3-4b-2507", "config": {"context_length": 8192, "parallel": 4, "flash_attention": True}},
        {"id": "mine", "config": {"context_length": 4096}},
    ],
    "max_context_length": 262144,
    "format": "gguf",
    "capabilities": {
        "vision": False,
        "trained_for_tool_use": True,
        "reasoning": {"allowed_options": ["off", "on"], "default": "on"},
    },
    "description": "small",
    "variants": ["qwen/qwen3-4b-2507@q4_k_m", "qwen/qwen3-4b-2507@q8_0"],
    "selected_variant": "qwen/qwen3-4b-2507@q4_k_m",
    "news": 1,
}
NOMIC: dict[str, object] = {
    "type": "embedding",
    "publisher": "nomic-ai",
    "key": "text-embedding-nomic",
    "quantization": None,
    "size_bytes": 84_000_000.0,
    "params_string": None,
    "loaded_instances": [],
    "max_context_length": 2048,
    "format": "gguf",
}


def decoded(body: object, generation: Generation = "v1") -> list[LMStudioModel]:
    return decode_list(json.dumps(body).encode(), "lmstudio", generation)


def test_the_newest_list_tells_everything() -> None:
    qwen, nomic = decoded({"models": [QWEN, NOMIC]})
    assert qwen == LMStudioModel(
        key="qwen/qwen3-4b-2507",
        kind="chat",
        display_name="Qwen3 4B",
        publisher="qwen",
        architecture="qwen3",
        quantization="Q4_K_M",
        bits_per_weight=4.0,
        parameters="4B",
        format="gguf",
        description="small",
        size_bytes=2_500_000_000,
        max_context_length=262144,
        loaded=(
            LoadedInstance("qwen/qwen3-4b-2507", "qwen/qwen3-4b-2507", 8192, 4),
            LoadedInstance("mine", "qwen/qwen3-4b-2507", 4096),
        ),
        tools=True,
        vision=False,
        reasoning=True,
        reasoning_options=("off", "on"),
        variants=("qwen/qwen3-4b-2507@q4_k_m", "qwen/qwen3-4b-2507@q8_0"),
        selected_variant="qwen/qwen3-4b-2507@q4_k_m",
    )
    assert nomic == LMStudioModel(
        "text-embedding-nomic", "embedding", publisher="nomic-ai", format="gguf",
        size_bytes=84_000_000, max_context_length=2048,
    )  # fmt: skip
    assert str(qwen) == "qwen/qwen3-4b-2507"
    assert str(qwen.loaded[1]) == "mine"
    assert qwen.names == {
        "qwen/qwen3-4b-2507",
        "qwen/qwen3-4b-2507@q4_k_m",
        "qwen/qwen3-4b-2507@q8_0",
        "mine",
    }


def test_the_older_list_tells_most() -> None:
    listed = [
        {
            "id": "llama", "object": "model", "type": "llm", "publisher": "meta", "arch": "llama",
            "compatibility_type": "gguf", "quantization": "Q4_K_M", "state": "loaded",
            "max_context_length": 131072, "loaded_context_length": 4096, "capabilities": ["tool_use"],
        },
        {"id": "pixtral", "type": "vlm", "state": "not-loaded"},
        {"id": "nomic", "type": "embeddings", "state": "loading"},
        {"id": "flux", "type": "imageGen", "state": "not-loaded"},
        {"id": "text-embedding-x"},
    ]  # fmt: skip
    llama, pixtral, nomic, flux, bare = decoded({"data": listed, "object": "list"}, "v0")
    assert llama == LMStudioModel(
        "llama", publisher="meta", architecture="llama", quantization="Q4_K_M", format="gguf",
        max_context_length=131072, loaded=(LoadedInstance("llama", "llama", 4096),), tools=True, vision=False,
    )  # fmt: skip
    assert (pixtral.kind, pixtral.vision, pixtral.loaded, pixtral.tools) == ("chat", True, (), None)
    assert (nomic.kind, nomic.loading, nomic.vision) == ("embedding", True, None)
    assert flux.kind == "other"
    assert bare.kind == "embedding"


def test_a_second_instance_in_the_older_list_belongs_to_its_model() -> None:
    listed = [
        {"id": "llama", "type": "llm", "state": "loaded"},
        {"id": "llama:2", "type": "llm", "state": "loaded", "loaded_context_length": 1024},
        {"id": "odd:3", "type": "llm", "state": "not-loaded"},
    ]
    llama, odd = decoded({"data": listed}, "v0")
    assert llama.loaded == (LoadedInstance("llama", "llama"), LoadedInstance("llama:2", "llama", 1024))
    assert odd.key == "odd:3"


def test_the_openai_list_tells_names_and_claims_nothing_else() -> None:
    chat, embedding = decoded({"data": [{"id": "a/b"}, {"id": "Text-Embedding-c"}], "object": "list"}, "openai")
    assert chat == LMStudioModel("a/b", knows_loaded=False)
    assert (embedding.kind, embedding.knows_loaded) == ("embedding", False)


def test_odd_values_are_taken_for_ones_that_were_not_told() -> None:
    odd = {
        "key": "m",
        "type": "llm",
        "display_name": 7,
        "quantization": "Q4",
        "size_bytes": "big",
        "max_context_length": -1,
        "loaded_instances": [{"id": "m", "config": {"context_length": None}}, {"nameless": 1}, {"id": ""}],
        "capabilities": None,
        "variants": "none",
        "params_string": None,
    }
    [model] = decoded({"models": [odd, {"key": 3}, {"key": ""}, {"key": "a\nb"}, 7, None, {"key": "x" * 600}]})
    assert model == LMStudioModel("m", loaded=(LoadedInstance("m", "m"),))
    [model] = decoded({"models": [{"key": "m", "type": 3, "loaded_instances": {}, "capabilities": {}}]})
    assert model == LMStudioModel("m", reasoning=False)
    [model] = decoded({"models": [{"key": "m", "type": "llm", "capabilities": {"reasoning": True}}]})
    assert (model.reasoning, model.reasoning_options) == (True, ())
    assert decoded({"data": [{"id": None}]}, "v0") == decoded({"data": [{}]}, "openai") == []


def test_a_key_that_is_listed_twice_is_one_model_with_all_its_instances() -> None:
    again = {**QWEN, "loaded_instances": [{"id": "mine"}, {"id": "third"}]}
    [qwen] = decoded({"models": [QWEN, again]})
    assert [instance.id for instance in qwen.loaded] == ["qwen/qwen3-4b-2507", "mine", "third"]


def test_an_empty_list_is_a_list() -> None:
    assert decoded({"models": []}) == decoded({"data": []}, "v0") == []


@pytest.mark.parametrize("body", [{}, {"data": []}, {"models": None}, {"models": {}}, [], "x", 3])
def test_a_200_without_a_list_is_broken(body: object) -> None:
    with pytest.raises(BrokenAnswer, match="list of models"):
        decoded(body)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_json_are_broken(body: bytes) -> None:
    with pytest.raises(BrokenAnswer, match="not JSON"):
        decode_list(body, "lmstudio", "v1")


def test_an_error_with_status_200_is_an_error() -> None:
    with pytest.raises(RouteNotFound, match="GET /api/v1/models"):
        decoded({"error": "Unexpected endpoint or method. (GET /api/v1/models)"})
    with pytest.raises(ProviderNeedsKey):
        decoded({"error": {"code": "invalid_api_key", "message": "no"}, "models": []})
