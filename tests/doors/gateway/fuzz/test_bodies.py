"""Bodies that no client sends: each is refused in the words of the API that was asked, and quickly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from tests.doors.gateway.asking import SESSION, Running
from tests.doors.gateway.fuzz.conftest import Posting
from tests.doors.gateway.fuzz.languages import CALLS, Call, judge, judge_error

from lmbridge.doors.gateway.routes import Route

BROKEN = {
    "nothing": b"",
    "a space": b" ",
    "a NUL": b"\x00",
    "half": b'{"model": "fake-chat"',
    "a comma too many": b'{"model": "fake-chat",}',
    "single quotes": b"{'model': 'fake-chat'}",
    "a comment": b'{} // "model"',
    "two": b"{}{}",
    "two lines": b"{}\n{}",
    "a list": b"[]",
    "a text": b'"fake-chat"',
    "a number": b"7",
    "null": b"null",
    "true": b"true",
    "a mark before it": b"\xef\xbb\xbf{}",
    "UTF-16": '{"model": "fake-chat"}'.encode("utf-16"),
    "UTF-16, no mark": '{"model": "fake-chat"}'.encode("utf-16-le"),
    "UTF-32": '{"model": "fake-chat"}'.encode("utf-32"),
    "Latin-1": '{"model": "mödel"}'.encode("latin-1"),
    "too long a form": b'{"model": "\xc0\xae"}',
    "half a letter in UTF-8": b'{"model": "\xed\xa0\x80"}',
    "no letter in a name": b'{"\xff": 1}',
    "half a letter": b'{"model": "\\ud800"}',
    "half a letter in a name": b'{"\\ud800": 1}',
    "NaN": b'{"model": NaN}',
    "infinity": b'{"model": -Infinity}',
    "a line end in a text": b'{"model": "a\nb"}',
    "a control in a text": b'{"model": "a\x00b"}',
    "a name without quotes": b'{model: "fake-chat"}',
    "a deep list": b'{"model": ' + b"[" * 100_000,
    "a deep list, closed": b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a deep object": b'{"model":' * 100_000,
    "a deep list in an unknown field": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a deep list at its beginning": b"[" * 100_000,
    "a number without end": b'{"model": ' + b"9" * 100_000 + b"}",
    "a form": b"model=fake-chat&stream=true",
    "XML": b"<?xml version='1.0'?><model>fake-chat</model>",
    "an archive": b"PK\x03\x04",
    "a name without end": b'{"' + b"a" * 100_000 + b'": 1}',
    "many names": json.dumps({f"x{k}": k for k in range(20_000)}).encode(),
}
"""None of these is a request of any API, except that an object without fields asks Ollama's for nothing."""

STRANGE = (
    b"1e400",
    b"-" + b"9" * 400,
    str(2**70).encode(),
    b"-0.5",
    b"true",
    b"[]",
    b"{}",
    b'"\\u0000"',
    b'"' + b"x" * 100_000 + b'"',
)
"""Values for every field."""

PLAIN = {call.path: call for call in reversed(CALLS) if not call.path.startswith("/api/v0/")}.values()
"""A call for each decoder."""


def asks(door: Running) -> Iterator[tuple[str, Route]]:
    """The routes that take a body, with something in place of a placeholder."""
    for path, methods in door.gateway.routes.items():
        for route in methods.values():
            if route.asks is not None:
                yield path, route


def test_what_is_no_request_is_refused(
    door: Running, post: Posting, tried: Callable[[str, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    for path, route in asks(door):
        for name, body in BROKEN.items():
            got = post(path, body, {"authorization": f"Bearer {SESSION}"})
            assert got.status in (400, 404), (path, name, got.status, got.body)
            judge_error(route, got.body)
            tried("Bodies of no request", 1)
    assert not caplog.records


@pytest.mark.parametrize("call", PLAIN, ids=lambda call: call.name)
def test_no_value_of_a_field_is_too_strange(
    door: Running, post: Posting, call: Call, tried: Callable[[str, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    route = door.gateway.routes[call.path]["POST"]
    plain = call.asked(f"fake-{call.kind}", stream=False)
    assert route.asks is not None
    for field in route.asks.__struct_fields__:
        for value in STRANGE:
            given = {name: json.dumps(other).encode() for name, other in plain.items()} | {field: value}
            body = b",".join(json.dumps(name).encode() + b":" + value for name, value in given.items())
            got = post(call.path, b"{" + body + b"}")
            assert got.status < 500, (field, value[:40], got.status, got.body)
            judge(call, route, got)
            tried("Bodies of no request", 1)
    assert not caplog.records


def test_of_a_field_that_comes_twice_the_last_one_counts_or_it_is_refused(door: Running, post: Posting) -> None:
    for call in CALLS:
        body = json.dumps(call.asked(f"fake-{call.kind}", stream=False)).encode()
        got = post(call.path, b'{"model":"another",' + body[1:])
        assert got.status == 200, (call.name, got.body)
        got = post(call.path, body[:-1] + b',"model":"another"}')
        assert got.status == 404, (call.name, got.body)


def test_an_unknown_field_is_refused_by_its_name(door: Running, post: Posting) -> None:
    for path, route in asks(door):
        got = post(path, {"nobody_knows_this": 1}, {"authorization": f"Bearer {SESSION}"})
        assert got.status == 400, (path, got.body)
        judge_error(route, got.body)
    for call in CALLS:
        got = post(call.path, {**call.asked(f"fake-{call.kind}", stream=False), "nobody_knows_this": None})
        assert got.status == 400, (call.name, got.body)
        assert b"nobody_knows_this" in got.body
