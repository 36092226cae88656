"""The pipe before the official server is there, and how it hands over."""

from __future__ import annotations

import json
import os
import queue
import sys
from collections.abc import Iterator

import pytest
from tests.doors.mcp.asking import OFFER

from lmbridge.core.errors import MissingExtra
from lmbridge.doors.mcp.lines import Message
from lmbridge.doors.mcp.stdio import Pipe, need_mcp

LIMIT_S = 20
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    },
}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
CALL = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "status"}}


class Host:
    """The other end of a pipe, and the server that takes it over."""

    def __init__(self) -> None:
        source, self._speak = os.pipe()
        listen, sink = os.pipe()
        self._listen = os.fdopen(listen, "rb")
        self.pipe = Pipe(source, sink, OFFER)
        self.pipe.start()
        self.given: queue.Queue[Message | None] = queue.Queue()
        self._ends = [source, sink]

    def say(self, message: object) -> None:
        data = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        os.write(self._speak, data)

    def hear(self) -> dict[str, object]:
        found = json.loads(self._listen.readline())
        assert isinstance(found, dict)
        return found

    def hang_up(self) -> None:
        if self._speak >= 0:
            os.close(self._speak)
            self._speak = -1

    def close(self) -> None:
        self.hang_up()
        self._listen.close()
        for end in self._ends:
            os.close(end)


@pytest.fixture
def host() -> Iterator[Host]:
    one = Host()
    try:
        yield one
    finally:
        one.hang_up()
        waiting = one.pipe.take_over(one.given.put)
        if None not in waiting:
            while one.given.get(timeout=LIMIT_S) is not None:
                pass
        one.close()


def test_a_handshake_is_answered_at_once_and_the_server_is_told(host: Host) -> None:
    host.say(INITIALIZE)
    assert host.hear()["id"] == 0
    host.pipe.wait_for_first()
    assert host.pipe.take_over(host.given.put) == [INITIALIZE]
    assert host.pipe.answered(0), "what the server says to it is not sent"
    assert not host.pipe.answered(0)


def test_after_a_handshake_tools_are_listed_at_once_and_the_server_need_not_know(host: Host) -> None:
    host.say(INITIALIZE)
    host.hear()
    host.say(LIST)
    result = host.hear()["result"]
    assert isinstance(result, dict)
    assert result["tools"]
    assert host.pipe.take_over(host.given.put) == [INITIALIZE]


def test_what_must_wait_waits_for_the_server(host: Host) -> None:
    for message in (INITIALIZE, CALL, LIST):
        host.say(message)
    assert [host.hear()["id"], host.hear()["id"]] == [0, 1]
    assert host.pipe.take_over(host.given.put) == [INITIALIZE, CALL]
    host.say(LIST)
    assert host.given.get(timeout=LIMIT_S) == LIST, "the server answers now"


def test_before_a_handshake_tools_are_the_servers_affair(host: Host) -> None:
    host.say(LIST)
    host.pipe.wait_for_first()
    assert host.pipe.take_over(host.given.put) == [LIST]


def test_what_is_no_message_is_answered_and_goes_nowhere(host: Host) -> None:
    host.say(b"what?\n")
    error = host.hear()["error"]
    assert isinstance(error, dict)
    assert error["code"] == -32700
    assert host.pipe.take_over(host.given.put) == []


def test_a_host_that_hangs_up_is_the_end(host: Host) -> None:
    host.hang_up()
    waiting = host.pipe.take_over(host.given.put)
    assert waiting == [None] or host.given.get(timeout=LIMIT_S) is None
    host.given.put(None)


def test_without_the_package_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    need_mcp()
    monkeypatch.setitem(sys.modules, "mcp_types", None)
    with pytest.raises(MissingExtra, match=r"pip install 'lmbridge\[mcp\]'"):
        need_mcp()
