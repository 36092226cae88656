from __future__ import annotations

import json

import pytest

from lmbridge.core.models import InstanceState, ModelInfo
from lmbridge.wire.lmstudio.models import LoadedInstance, decode_list
from lmbridge.wire.lmstudio.serving.lists import (
    Listed,
    encode_models,
    encode_older_model,
    encode_older_models,
    params_string,
)

CHAT = ModelInfo(
    "qwen/qwen3-4b",
    "embedded",
    display_name="Qwen3 4B",
    path="/models/qwen3-4b.gguf",
    size_bytes=2_500_000_000,
    parameters=4_020_000_000,
    architecture="qwen3",
    quantization="Q4_K_M",
    context_length=32768,
    tools=True,
    reasoning=True,
)
EMBEDDING = ModelInfo("nomic", "embedded", "embedding", quantization="F16", context_length=2048)
BARE = ModelInfo("far", "cloud", quantization="best")
READY = InstanceState("qwen/qwen3-4b", "embedded", "ready", slots=4, context_length=8192)
LOADED = Listed("qwen/qwen3-4b", CHAT, (("qwen/qwen3-4b", READY), ("qwen/qwen3-4b:2", READY)))


def test_a_model_has_the_fields_of_lm_studio_in_their_order() -> None:
    (told,) = json.loads(encode_models([LOADED]))["models"]
    config = {"context_length": 8192, "parallel": 4}
    assert list(told.items()) == [
        ("type", "llm"),
        ("publisher", "qwen"),
        ("key", "qwen/qwen3-4b"),
        ("display_name", "Qwen3 4B"),
        ("architecture", "qwen3"),
        ("quantization", {"name": "Q4_K_M", "bits_per_weight": 4}),
        ("size_bytes", 2_500_000_000),
        ("params_string", "4B"),
        (
            "loaded_instances",
            [{"id": "qwen/qwen3-4b", "config": config}, {"id": "qwen/qwen3-4b:2", "config": config}],
        ),
        ("max_context_length", 32768),
        ("format", "gguf"),
        (
            "capabilities",
            {
                "vision": False,
                "trained_for_tool_use": True,
                "reasoning": {"allowed_options": ["off", "on", "low", "medium", "high"], "default": "on"},
            },
        ),
        ("description", None),
    ]


def test_an_embedding_model_has_neither_architecture_nor_capabilities() -> None:
    state = InstanceState("nomic", "embedded", "ready", slots=4)
    (told,) = json.loads(encode_models([Listed("nomic", EMBEDDING, (("nomic", state),))]))["models"]
    assert told["type"] == "embedding"
    assert not {"architecture", "capabilities", "description"} & set(told)
    assert told["quantization"] == {"name": "F16", "bits_per_weight": 16}
    assert told["loaded_instances"] == [{"id": "nomic", "config": {"context_length": 2048}}]


def test_what_is_not_known_is_null_or_zero() -> None:
    (told,) = json.loads(encode_models([Listed("far", BARE)]))["models"]
    assert told["publisher"] == "cloud"
    assert told["display_name"] == "far"
    assert (told["architecture"], told["params_string"], told["format"]) == (None, None, None)
    assert told["quantization"] == {"name": "best", "bits_per_weight": None}
    assert (told["size_bytes"], told["max_context_length"]) == (0, 0)
    assert told["capabilities"] == {"vision": False, "trained_for_tool_use": False}
    (told,) = json.loads(encode_models([Listed("x", ModelInfo("x", "p"))]))["models"]
    assert told["quantization"] is None


def test_what_is_still_loading_is_no_instance_yet() -> None:
    loading = InstanceState("qwen/qwen3-4b", "embedded", "loading")
    listed = Listed("qwen/qwen3-4b", CHAT, (("qwen/qwen3-4b", loading),))
    assert json.loads(encode_models([listed]))["models"][0]["loaded_instances"] == []
    assert json.loads(encode_older_model(listed))["state"] == "loading"


def test_the_older_list_has_kinds_and_states_of_its_own() -> None:
    seeing = ModelInfo("see", "p", vision=True)
    far = InstanceState("far", "cloud", "ready")
    others = [Listed("nomic", EMBEDDING), Listed("see", seeing), Listed("far", BARE, (("far", far),))]
    told = json.loads(encode_older_models([LOADED, *others]))
    assert list(told) == ["data", "object"]
    chat, embedding, vision, bare = told["data"]
    assert chat == {
        "id": "qwen/qwen3-4b",
        "object": "model",
        "type": "llm",
        "publisher": "qwen",
        "arch": "qwen3",
        "compatibility_type": "gguf",
        "quantization": "Q4_K_M",
        "state": "loaded",
        "max_context_length": 32768,
        "loaded_context_length": 8192,
        "capabilities": ["tool_use"],
    }
    assert (embedding["type"], embedding["state"]) == ("embeddings", "not-loaded")
    assert not {"capabilities", "loaded_context_length"} & set(embedding)
    assert (vision["type"], vision["capabilities"]) == ("vlm", [])
    assert bare["loaded_context_length"] == 0
    assert {each["compatibility_type"] for each in told["data"]} == {"gguf"}


def test_our_own_client_reads_both_lists() -> None:
    (told,) = decode_list(encode_models([LOADED]), "p", "v1")
    assert told.loaded[1] == LoadedInstance("qwen/qwen3-4b:2", "qwen/qwen3-4b", 8192, 4)
    assert (told.tools, told.vision, told.reasoning, told.quantization) == (True, False, True, "Q4_K_M")
    (older,) = decode_list(encode_older_models([LOADED]), "p", "v0")
    assert (older.key, older.tools, older.loaded[0].context_length) == ("qwen/qwen3-4b", True, 8192)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (None, None),
        (0, None),
        (512, "512"),
        (15_000, "15K"),
        (136_700_000, "137M"),
        (999_900_000, "1B"),
        (1_720_000_000, "1.7B"),
        (9_960_000_000, "10B"),
        (20_900_000_000, "21B"),
    ],
)
def test_weights_are_counted_as_people_do(number: int | None, words: str | None) -> None:
    assert params_string(number) == words
