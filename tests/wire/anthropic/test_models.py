from __future__ import annotations

import msgspec

from lmbridge.core.models import ModelInfo
from lmbridge.wire.anthropic.models import to_model, to_models


def test_a_model_is_shown_as_anthropic_shows_one() -> None:
    model = ModelInfo("qwen", "p", display_name="Qwen", context_length=4096)
    assert msgspec.to_builtins(to_model("p:qwen", model)) == {
        "type": "model",
        "id": "p:qwen",
        "display_name": "Qwen",
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 4096,
    }


def test_a_model_without_a_name_for_people_is_shown_by_its_id() -> None:
    assert to_model("qwen", ModelInfo("qwen", "p")).display_name == "qwen"


def test_only_models_that_can_answer_are_listed() -> None:
    models = [ModelInfo("a", "p"), ModelInfo("e", "p", kind="embedding"), ModelInfo("b", "p")]
    listed = to_models((model.id, model) for model in models)
    assert [model.id for model in listed.data] == ["a", "b"]
    assert (listed.first_id, listed.last_id, listed.has_more) == ("a", "b", False)


def test_a_list_without_models_is_an_empty_page() -> None:
    assert msgspec.to_builtins(to_models([])) == {"data": [], "first_id": None, "last_id": None, "has_more": False}
