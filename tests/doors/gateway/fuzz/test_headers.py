"""Headers and heads that no client sends: an answer in HTTP, or a closed connection, and both quickly."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.doors.gateway.asking import LIMIT_S, Running
from tests.doors.gateway.fuzz.languages import CALLS, Call

EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
ONE_OF_EACH = [call for call in CALLS if call.name in ("chat", "messages", "native", "ollama-chat")]
NAMES = st.sampled_from(
    (
        *("accept", "accept-encoding", "anthropic-beta", "anthropic-version", "api-key", "authorization", "te"),
        *("connection", "content-encoding", "content-type", "cookie", "expect", "forwarded", "origin", "range"),
        *("referer", "sec-fetch-site", "traceparent", "upgrade", "user-agent", "x-api-key", "x-forwarded-for"),
        *("if-none-match", "x-http-method-override", "x-stainless-retry-count"),
    )
)
LINE = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40)
ODD = st.sampled_from(["*", "null", "Bearer", "Basic a", "100-continue", "h2c", "close", "a" * 5000, "\t"])
LENGTHS = st.sampled_from(["-1", "+5", "0x10", "1e3", " 5", "5 5", "5,5", "", "99999999999999999999", "abc"])


def raw(door: Running, data: bytes, *, more: bool = True) -> bytes:
    """Send bytes, and all that comes back until the other side closes; without *more* nothing else will come."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=LIMIT_S) as connection:
        connection.sendall(data)
        if not more:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def status(answer: bytes) -> int:
    """Of an answer in HTTP; 0 for a closed connection."""
    if not answer:
        return 0
    version, code, _ = answer.split(b" ", 2)
    assert version == b"HTTP/1.1", answer[:200]
    return int(code)


@pytest.mark.parametrize("call", ONE_OF_EACH, ids=lambda call: call.name)
def test_no_header_is_too_strange(
    door: Running, call: Call, tried: Callable[[str, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(call.asked(f"fake-{call.kind}", stream=False)).encode()

    @EXAMPLES
    @given(st.lists(st.tuples(NAMES, LINE | ODD), max_size=4))
    def send(headers: list[tuple[str, str]]) -> None:
        lines = [f"POST {call.path} HTTP/1.1", f"host: 127.0.0.1:{door.port}", f"content-length: {len(body)}"]
        lines += [
            "connection: close",
            "content-type: application/json",
            *(f"{name}: {value}" for name, value in headers),
        ]
        got = raw(door, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        assert 200 <= status(got) < 500, (headers, got)
        tried("Heads of no request", 1)

    send()
    assert not caplog.records


def test_no_length_is_believed_that_is_none(door: Running, tried: Callable[[str, int], None]) -> None:
    @EXAMPLES
    @given(LENGTHS, st.sampled_from(["", "transfer-encoding: chunked\r\n", "transfer-encoding: gzip\r\n"]))
    def send(length: str, coding: str) -> None:
        head = f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\ncontent-type: application/json\r\n"
        got = raw(door, f"{head}{coding}content-length: {length}\r\n\r\n{{}}".encode(), more=False)
        assert status(got) in (0, 400, 413, 501), (length, coding, got)
        tried("Heads of no request", 1)

    send()


def test_no_head_is_too_strange(door: Running, tried: Callable[[str, int], None]) -> None:
    @EXAMPLES
    @given(
        st.binary(max_size=60),
        st.sampled_from([b"", b"GET ", b"POST /v1/messages ", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nhost: "]),
    )
    def send(data: bytes, before: bytes) -> None:
        got = raw(door, before + data + b"\r\n\r\n", more=False)
        assert status(got) < 500, (before, data, got)
        tried("Heads of no request", 1)

    send()
