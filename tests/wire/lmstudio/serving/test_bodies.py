from __future__ import annotations

import msgspec
import pytest
from msgspec import Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.wire.lmstudio.serving.bodies import decode_body


class Body(Struct):
    model: str
    input: str | list[int] = ""
    top_k: int | None = None


SHAPE = msgspec.json.Decoder(Body)


def test_a_body_that_is_as_it_should_be_is_decoded() -> None:
    assert decode_body(b'{"model":"m","input":[1],"top_k":null}', SHAPE) == Body("m", [1])


@pytest.mark.parametrize(
    ("data", "message", "param", "flaw"),
    [
        (b'{"ttl":1}', '"model" is required', "model", "missing"),
        (b'{"model":"m","ttl":60}', "Unrecognized key(s) in object: 'ttl'", "ttl", "unknown"),
        (b'{"model":1,"stop":0,"n":2}', "Unrecognized key(s) in object: 'stop', 'n'", "stop", "unknown"),
        (b'{"model":"m","\\u0000":1}', r"Unrecognized key(s) in object: '\x00'", "\0", "unknown"),
        (b'{"model":"m","input":["x"]}', "Invalid input. `input[0]`", "input", "forms"),
        (b'{"model":"m","input":{}}', "Invalid input. `input`", "input", "forms"),
        (b'{"model":"m","top_k":"many"}', "`top_k`: Expected an integer", "top_k", ""),
        (b'["m"]', "Expected an object, got a list", None, ""),
        (b'{"model":', "The body is not valid JSON", None, ""),
        (b"\xff", "The body is not valid JSON", None, ""),
        (b'{"\xff":1}', "The body is not valid JSON", None, ""),
        (b'{"\\ud800":1}', "The body is not valid JSON", None, ""),
        (b'{"model":' + b"[" * 10**6, "nested too deeply", None, ""),
    ],
)
def test_what_is_wrong_is_told_in_the_order_and_words_of_lm_studio(
    data: bytes, message: str, param: str | None, flaw: str
) -> None:
    with pytest.raises(InvalidRequest) as failed:
        decode_body(data, SHAPE)
    assert message in failed.value.message
    assert (failed.value.param, failed.value.flaw) == (param, flaw)


def test_of_many_unknown_fields_only_some_are_named_and_none_at_full_length() -> None:
    fields = ",".join(f'"{"x" * 5000}{number}":1' for number in range(100))
    with pytest.raises(InvalidRequest) as failed:
        decode_body(f'{{"model":"m",{fields}}}'.encode(), SHAPE)
    assert len(str(failed.value)) < 1200
