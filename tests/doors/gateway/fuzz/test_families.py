"""Every error is told in the words of the API that was asked, whatever is wrong with the request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from typing import Protocol

import pytest
from tests.doors.gateway.asking import LIMIT_S, SESSION, Answer, Running
from tests.doors.gateway.fuzz.conftest import Posting
from tests.doors.gateway.fuzz.languages import CALLS, Call, judge_error, strict

from lmbridge.doors.gateway.anthropic import ANTHROPIC
from lmbridge.doors.gateway.family import OPENAI, Family
from lmbridge.doors.gateway.lmstudio import LMSTUDIO
from lmbridge.doors.gateway.ollama import OLLAMA

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOWHERE = {
    "/v1/messages": ANTHROPIC,
    "/v1/messages/batches": ANTHROPIC,
    "/v1/messages/batches/one": ANTHROPIC,
    "/api/v0": OLLAMA,
    "/api/v0/": LMSTUDIO,
    "/api/v0/nothing": LMSTUDIO,
    "/api/v1/nothing": LMSTUDIO,
    "/api/v1/models/nothing/at/all": LMSTUDIO,
    "/api/v2/chat": OLLAMA,
    "/api/nothing": OLLAMA,
    "/api/lmbridge/nothing": OPENAI,
    "/api": OPENAI,
    "/v1": OPENAI,
    "/v1/nothing": OPENAI,
    "/v1/files": OPENAI,
    "/v2/chat/completions": OPENAI,
    "/nothing": OPENAI,
    "//v1/models": OPENAI,
    "/v1//models": OPENAI,
    "/v1/models/../../etc/passwd": OPENAI,
    "/%2e%2e/%2e%2e/etc/passwd": OPENAI,
    "/v1/%00": OPENAI,
    "/v1/%ff%fe": OPENAI,
    "/v1/%0d%0aset-cookie:%20a=b": OPENAI,
    "/v1/" + "x" * 5000: OPENAI,
    "/v1/messages/" + "x" * 5000: ANTHROPIC,
    "/api/" + "%1b%5b2J": OLLAMA,
    "/?a=b&c=%00": None,
}
"""Paths that are not there, with the family they would belong to; the page is there, whatever is asked of it."""


class Asking(Protocol):
    """Sends a request without a body; its path as it is."""

    def __call__(self, method: str, path: str, headers: Mapping[str, str] = {}) -> Answer: ...


@pytest.fixture
def ask(door: Running) -> Iterator[Asking]:
    connection = HTTPConnection("127.0.0.1", door.port, timeout=LIMIT_S)

    def send(method: str, path: str, headers: Mapping[str, str] = {}) -> Answer:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        got = connection.getresponse()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())

    try:
        yield send
    finally:
        connection.close()


def places(door: Running) -> Iterator[tuple[str, str, Family]]:
    """Each path, with something for its placeholders, the way it is written, and its family."""
    for path, methods in door.gateway.routes.items():
        yield re.sub(r"\{\w+\}", "some-thing", path), path, next(iter(methods.values())).family


def test_a_wrong_method_is_refused_and_the_right_ones_named(door: Running, ask: Asking) -> None:
    for place, path, family in places(door):
        there = set(door.gateway.routes[path])
        for method in METHODS:
            if method not in there:
                got = ask(method, place)
                assert got.status == 405, (method, path, got)
                strict(got.body, family.shape)
                assert there <= set(got.headers["allow"].split(", "))


@pytest.mark.parametrize(("path", "family"), NOWHERE.items(), ids=lambda value: str(value)[:40])
def test_a_path_that_is_not_there_is_told_in_the_words_of_its_neighbours(
    door: Running, ask: Asking, path: str, family: Family | None
) -> None:
    for method in ("GET", "POST", "DELETE"):
        got = ask(method, path)
        if family is None or (path == "/v1/messages" and method != "DELETE"):
            continue
        assert got.status in (404, 405), got
        assert "set-cookie" not in got.headers
        strict(got.body, family.shape)
        assert b"\x1b" not in got.body
        assert len(got.body) < 2000


def test_a_path_beside_one_that_is_there_is_told_in_the_words_of_that_one(door: Running, ask: Asking) -> None:
    taken = [re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(path))) for path in door.gateway.routes]
    for place, path, family in places(door):
        for beside in (f"{place}x", f"{place}/", f"{place}/more"):
            if path == "/" or any(one.fullmatch(beside) for one in taken):
                continue
            got = ask("GET", beside)
            assert got.status == 404, (beside, got)
            if path.startswith(("/api/", "/v1/messages")):
                strict(got.body, family.shape)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_whatever_is_wrong_with_asking_a_model_is_told_in_its_language(
    door: Running, post: Posting, ask: Asking, call: Call
) -> None:
    family, body = door.gateway.routes[call.path]["POST"].family, call.asked(f"fake-{call.kind}", stream=False)
    other = "fake-embed" if call.kind == "chat" else "fake-chat"
    foreign = {"host": "evil.example"}
    told = {
        (400, "nothing"): post(call.path, b""),
        (400, "half"): post(call.path, b"{"),
        (400, "another type"): post(call.path, {**body, "model": 7}),
        (400, "another field"): post(call.path, {**body, "no_such_field": 1}),
        (400, "another kind"): post(call.path, {**body, "model": other}),
        (404, "another model"): post(call.path, {**body, "model": "no-such-model"}),
        (403, "another host"): post(call.path, body, foreign),
        (403, "another page"): post(call.path, body, {"origin": "https://evil.example"}),
        (403, "another site"): post(call.path, body, {"sec-fetch-site": "cross-site"}),
        (405, "another method"): ask("PUT", call.path),
        (415, "another content"): post(call.path, body, {"content-type": "text/plain"}),
    }
    for (status, what), got in told.items():
        assert got.status == status, (call.name, what, got)
        judge_error(door.gateway.routes[call.path]["POST"], got.body)
        assert strict(got.body, family.shape)


def test_a_stored_answer_that_is_not_there_is_told_in_openais_words(door: Running, ask: Asking) -> None:
    for method, path in (
        ("GET", "/v1/responses/resp_none"),
        ("DELETE", "/v1/responses/resp_none"),
        ("POST", "/v1/responses/resp_none/cancel"),
        ("GET", "/v1/responses/resp_none/input_items"),
        ("GET", "/v1/responses/%00"),
        ("GET", "/v1/responses/" + "x" * 3000),
        ("GET", "/v1/models/no-such-model"),
        ("GET", "/api/v0/models/no-such-model"),
        ("GET", "/api/v1/models/download/status/none"),
    ):
        got = ask(method, path, {"authorization": f"Bearer {SESSION}", "content-type": "application/json"})
        assert got.status == 404, (method, path, got)
        strict(got.body, (LMSTUDIO if path.startswith("/api/v") else OPENAI).shape)
