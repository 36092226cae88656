from __future__ import annotations

import pytest

from lmbridge.core.events import Finished, Timings, Usage
from lmbridge.core.models import Endpoint, Instance, ModelInfo
from lmbridge.wire.lmstudio.serving.older import ending

MODEL = ModelInfo("m", "p", path="/m.GGUF", architecture="llama", quantization="Q8_0", context_length=4096)
INSTANCE = Instance("m#1", MODEL, Endpoint("http://127.0.0.1:9", (), "m"), context_length=2048)


def ended(end: Finished, instance: Instance = INSTANCE, limit: int | None = None) -> dict[str, object]:
    return ending(end, instance, limit=limit, runtime="llama.cpp", version="1")


def test_an_answer_tells_what_it_cost_and_what_made_it() -> None:
    assert ended(Finished("stop", None, Timings(0.5, 2.0, 40.0))) == {
        "stats": {
            "stop_reason": "eosFound",
            "tokens_per_second": 40.0,
            "time_to_first_token": 0.5,
            "generation_time": 1.5,
        },
        "model_info": {"arch": "llama", "quant": "Q8_0", "format": "gguf", "context_length": 2048},
        "runtime": {"name": "llama.cpp", "version": "1", "supported_formats": ["gguf"]},
    }


def test_what_nobody_measured_is_not_made_up() -> None:
    bare = Instance("m#1", ModelInfo("m", "p"), Endpoint("http://127.0.0.1:9", (), "m"))
    told = ended(Finished("stop"), bare)
    assert told["stats"] == {"stop_reason": "eosFound"}
    assert told["model_info"] == {"arch": "", "quant": "", "format": "", "context_length": 0}
    assert told["runtime"] == {"name": "llama.cpp", "version": "1", "supported_formats": []}


@pytest.mark.parametrize(
    ("end", "limit", "reason"),
    [
        (Finished("tool_calls"), None, "toolCalls"),
        (Finished("content_filter"), None, "eosFound"),
        (Finished("length", Usage(1, 5)), 5, "maxPredictedTokensReached"),
        (Finished("length"), 5, "maxPredictedTokensReached"),
        (Finished("length", Usage(1, 4)), 5, "contextLengthReached"),
        (Finished("length", Usage(1, 4)), None, "contextLengthReached"),
    ],
)
def test_it_tells_why_it_ended_in_lm_studios_words(end: Finished, limit: int | None, reason: str) -> None:
    assert ended(end, limit=limit)["stats"]["stop_reason"] == reason  # type: ignore[index]
