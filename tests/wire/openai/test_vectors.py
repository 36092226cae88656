from __future__ import annotations

import json
import struct
from base64 import b64decode

import pytest

from lmbridge.core.events import Embeddings, Usage
from lmbridge.wire.openai.vectors import encode_vectors, in_base64


def test_numbers_become_floats_in_base64_and_all_else_stays() -> None:
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": k, "embedding": [0.5, -k, 1e-3]} for k in range(2)],
        "model": "m",
        "usage": {"prompt_tokens": 0},
    }
    got = json.loads(in_base64(json.dumps(answer).encode()))
    for k, item in enumerate(got["data"]):
        assert struct.unpack("<3f", b64decode(item.pop("embedding"))) == pytest.approx((0.5, -k, 1e-3))
        assert item == {"object": "embedding", "index": k}
    assert {**got, "data": []} == {**answer, "data": []}


def test_what_is_in_base64_already_stays_as_it_is() -> None:
    body = b'{"data": [{"embedding": "AAAAPw=="}] , "x":1}'
    assert in_base64(body) is body


@pytest.mark.parametrize("vector", ['[1, "a"]', "[[1]]", "[null]"])
def test_a_vector_that_is_none_is_refused(vector: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        in_base64(f'{{"data": [{{"embedding": {vector}}}]}}'.encode())


def test_a_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        in_base64(b'{"data": [{"embedding": [1e300]}]}')


def test_vectors_are_written_as_openai_does() -> None:
    made = Embeddings(((0.5, 1.0), (2.0, 3.0)), "p", "", Usage(7))
    assert json.loads(encode_vectors(made, "m")) == {
        "object": "list",
        "model": "m",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, 1.0]},
            {"object": "embedding", "index": 1, "embedding": [2.0, 3.0]},
        ],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    uncounted = json.loads(encode_vectors(Embeddings((), "p", "real"), "m"))
    assert (uncounted["model"], uncounted["usage"]["total_tokens"]) == ("real", 0)
