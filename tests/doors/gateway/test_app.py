"""What the gateway says to requests before any model is asked, good and bad."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.doors.gateway.asking import SESSION, Running, ask, decode, exchange, running
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.models import ModelInfo
from lmbridge.core.provider import ProviderContext
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.hub.keys import KeyRing
from lmbridge.providers.openai import OpenAIProvider

CHAT = "/v1/chat/completions"
HELLO = {"model": "fake-chat", "messages": [{"role": "user", "content": "hello"}]}
PAGE = "https://app.example"


# -- routes


async def test_health_says_who_answers(door: Running) -> None:
    got = await door.get("/health")
    assert (got.status, got.json["status"], got.json["server"]) == (200, "ok", "lmbridge")


async def test_a_mark_of_depth_is_passed_on_to_whoever_answers(door: Running, upstream: FakeOpenAI) -> None:
    await door.post(CHAT, HELLO, {"x-lmbridge-depth": "1"})
    assert upstream.headers["x-lmbridge-depth"] == "1"
    await door.post(CHAT, HELLO)
    assert "x-lmbridge-depth" not in upstream.headers


async def test_models_are_listed_with_what_is_known(door: Running) -> None:
    await door.post(CHAT, HELLO)
    listed = (await door.get("/v1/models")).json["data"]
    assert isinstance(listed, list)
    assert [(m["id"], m["object"], m["owned_by"], m["kind"], m["loaded"]) for m in listed] == [
        ("fake-chat", "model", "fake", "chat", True),
        ("fake-embed", "model", "fake", "embedding", False),
    ]
    assert listed[0]["context_length"] == 4096


async def test_one_model_is_shown_though_its_id_has_slashes(upstream: FakeOpenAI, tmp_path: Path) -> None:
    upstream.models = [{"id": "org/name/variant"}]
    provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
    async with running([provider], tmp_path) as up:
        for path in ("org/name/variant", "org%2Fname%2Fvariant", "fake:org/name/variant"):
            assert (await up.get(f"/v1/models/{path}")).json["id"] == "org/name/variant"
        got = await up.get("/v1/models/org/name")
    assert (got.status, got.code) == (404, "model_not_found")


async def test_a_name_that_two_providers_have_is_listed_so_that_both_can_be_asked(tmp_path: Path) -> None:
    one, two = ScriptedProvider([ModelInfo("m", "one")]), ScriptedProvider([ModelInfo("m", "two")])
    one.id, two.id = "one", "two"
    async with running([one, two], tmp_path) as up:
        listed = (await up.get("/v1/models")).json["data"]
        assert [model["id"] for model in listed] == ["m", "two:m"]  # type: ignore[index, union-attr]
        assert (await up.get("/v1/models/two:m")).json["owned_by"] == "two"


async def test_a_model_that_cannot_be_used_is_not_listed(tmp_path: Path) -> None:
    bad = ScriptedProvider([ModelInfo("good", "scripted"), ModelInfo("bad", "scripted", problem="truncated")])
    async with running([bad], tmp_path) as up:
        listed = (await up.get("/v1/models")).json["data"]
        assert [model["id"] for model in listed] == ["good"]  # type: ignore[index, union-attr]
        assert (await up.get("/v1/models/bad")).json["problem"] == "truncated"
        got = await up.post(CHAT, {**HELLO, "model": "bad"})
    assert (got.status, got.code) == (500, "bad_model_file")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v2/models", "/v1/models"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/models/fake-chat", "/v1/models/fake-chat"),
        ("/v1/v1/models", "/v1/models"),
        ("/v1/models/", "/v1/models"),
        ("/v1/chat/completion", CHAT),
        ("/nothing/like/it", "GET /"),
    ],
)
async def test_an_unknown_path_is_not_found_and_the_right_one_named(door: Running, path: str, hint: str) -> None:
    got = await door.get(path)
    assert (got.status, got.code) == (404, "route_not_found")
    assert hint in str(got.error["hint"])


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", CHAT, "POST, OPTIONS"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("DELETE", "/", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_refused_and_the_right_one_named(
    door: Running, method: str, path: str, allow: str
) -> None:
    got = await ask(door.port, method, path)
    assert (got.status, got.code, got.headers["allow"]) == (405, "method_not_allowed", allow)


@pytest.mark.parametrize(
    "path", ["/", "/health", "/metrics", "/openapi.json", "/v1/models", "/v1/models/fake-chat"]
)
async def test_head_is_answered_like_get_without_a_body(door: Running, path: str) -> None:
    whole, head = await door.get(path), await ask(door.port, "HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


async def test_options_tells_the_methods(door: Running) -> None:
    got = await ask(door.port, "OPTIONS", CHAT)
    assert (got.status, got.headers["allow"]) == (204, "POST, OPTIONS")
    assert (await ask(door.port, "OPTIONS", "/nothing")).status == 404


# -- bad input


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_request", None),
        (b"", "unsupported_media_type", None),
        (b"[]", "invalid_request", None),
        (b'"text"', "invalid_request", None),
        (b'{"messages": []}', "invalid_request", "messages"),
        (b"\xff\xfe", "invalid_request", None),
        (b"[" * 100_000, "invalid_request", None),
        (json.dumps({"model": "m"}).encode(), "invalid_request", "messages"),
        (json.dumps({**HELLO, "temperature": "hot"}).encode(), "invalid_request", "temperature"),
        (json.dumps({**HELLO, "temperature": 3}).encode(), "invalid_request", "temperature"),
        (json.dumps({**HELLO, "model": 7}).encode(), "invalid_request", "model"),
        (json.dumps({**HELLO, "stream": "yes"}).encode(), "invalid_request", "stream"),
        (json.dumps({**HELLO, "messages": [{"role": "robot"}]}).encode(), "invalid_request", "messages[0].role"),
        (json.dumps({**HELLO, "made_up": 1}).encode(), "unsupported_parameter", "made_up"),
        (json.dumps({**HELLO, "audio": {}}).encode(), "unsupported_parameter", "audio"),
        (json.dumps({**HELLO, "model": "fake-chta"}).encode(), "model_not_found", "model"),
        (json.dumps({**HELLO, "model": "fake-embed"}).encode(), "wrong_model_kind", "model"),
    ],
)
async def test_a_bad_body_is_refused_with_a_code_and_the_field(
    door: Running, body: bytes, code: str, param: str | None
) -> None:
    got = await door.post(CHAT, body)
    assert got.code == code
    assert 400 <= got.status < 500
    assert got.error["param"] == param
    assert got.error["message"]


async def test_the_nearest_model_is_suggested(door: Running) -> None:
    got = await door.post(CHAT, {**HELLO, "model": "fake-chta"})
    assert (got.status, got.error["hint"]) == (404, "Did you mean 'fake-chat'?")


async def test_without_any_model_the_answer_says_where_to_put_one(tmp_path: Path) -> None:
    async with running([ScriptedProvider([])], tmp_path) as up:
        got = await up.post(CHAT, HELLO)
        assert (got.status, got.code) == (404, "no_models")
        assert "GGUF" in str(got.error["hint"])
        assert (await up.get("/v1/models")).json["data"] == []


@pytest.fixture
async def narrow(provider: OpenAIProvider, tmp_path: Path) -> AsyncIterator[Running]:
    async with running([provider], tmp_path, GatewaySettings(port=0, max_body=1000)) as up:
        yield up


async def test_a_body_that_says_it_is_too_large_is_refused_unread(narrow: Running) -> None:
    got = await ask(
        narrow.port, "POST", CHAT, b"{}", headers={"content-length": "1001", "connection": "keep-alive"}
    )
    assert (got.status, got.code, got.headers["connection"]) == (413, "request_too_large", "close")


async def test_a_body_that_is_too_large_is_refused(narrow: Running, upstream: FakeOpenAI) -> None:
    got = await narrow.post(CHAT, {**HELLO, "user": "x" * 500_000})
    assert (got.status, got.code) == (413, "request_too_large")
    assert not any(route.startswith("POST") for route, _ in upstream.requests)


async def test_a_chunked_body_is_limited_while_it_is_read(narrow: Running) -> None:
    chunk = b"1f4\r\n" + b" " * 500 + b"\r\n"
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1:{narrow.port}\r\ncontent-type: application/json\r\n"
    got = decode(
        await exchange(
            narrow.port, head.encode() + b"transfer-encoding: chunked\r\n\r\n" + chunk * 40 + b"0\r\n\r\n"
        )
    )
    assert (got.status, got.code) == (413, "request_too_large")


async def test_a_chunked_body_within_the_limit_is_read(door: Running) -> None:
    body = json.dumps(HELLO).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    got = decode(await exchange(door.port, chunked(door.port) + chunks))
    assert got.status == 200


def chunked(port: int) -> bytes:
    """The head of a request whose length nobody tells."""
    return (
        f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n"
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_that_is_not_json_by_name_is_refused(door: Running, kind: str | None) -> None:
    got = await door.post(CHAT, HELLO, {"content-type": kind})
    assert (got.status, got.code) == (415, "unsupported_media_type")


async def test_headers_without_end_are_refused(door: Running) -> None:
    head = f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n".encode()
    got = decode(await exchange(door.port, head + b"x-more: " + b"x" * 300_000))
    assert (got.status, got.code) == (431, "invalid_request")


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"SSH-2.0-x\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"])
async def test_what_is_not_http_is_refused_in_our_words(door: Running, data: bytes) -> None:
    got = decode(await exchange(door.port, data))
    assert (got.status, got.code) == (400, "invalid_request")


# -- who may ask


async def test_a_foreign_host_is_refused_on_every_route(door: Running) -> None:
    for path, methods in door.gateway.routes.items():
        for method in methods:
            got = await ask(door.port, method, path, b"{}", headers={"host": f"evil.example:{door.port}"})
            assert got.status == 403
            assert b"not a name of this gateway" in got.body


async def test_a_foreign_page_is_refused_on_every_route(door: Running) -> None:
    for path, methods in door.gateway.routes.items():
        for method in (*methods, "OPTIONS"):
            got = await ask(door.port, method, path, b"{}", headers={"origin": "https://evil.example"})
            assert got.status == 403
            assert b"may not use this gateway" in got.body
            assert "access-control-allow-origin" not in got.headers


async def test_two_hosts_are_one_too_many(door: Running) -> None:
    head = (
        f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\nhost: evil.example\r\nconnection: close\r\n\r\n"
    )
    got = decode(await exchange(door.port, head.encode()))
    assert (got.status, got.code) == (400, "invalid_request")


async def test_a_page_of_the_settings_may_ask_and_read_errors_too(
    provider: OpenAIProvider, tmp_path: Path
) -> None:
    async with running([provider], tmp_path, GatewaySettings(port=0, cors=(PAGE,))) as up:
        wish = {
            "origin": PAGE,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,x-stainless-lang",
        }
        before = await ask(up.port, "OPTIONS", CHAT, headers=wish)
        good = await up.post(CHAT, HELLO, {"origin": PAGE})
        stream = await up.post(CHAT, {**HELLO, "stream": True}, {"origin": PAGE})
        bad = await up.post(CHAT, {**HELLO, "model": "x"}, {"origin": PAGE})
    assert before.status == 204
    assert before.headers["access-control-allow-headers"] == wish["access-control-request-headers"]
    assert "POST" in before.headers["access-control-allow-methods"]
    assert (good.status, stream.status, bad.status) == (200, 200, 404)
    for got in (before, good, stream, bad):
        assert got.headers["access-control-allow-origin"] == PAGE


@pytest.fixture
async def locked(provider: OpenAIProvider, tmp_path: Path) -> AsyncIterator[tuple[Running, str]]:
    key = KeyRing(tmp_path / "keys.json").create("laptop")
    async with running([provider], tmp_path) as up:
        yield up, key


async def test_with_a_key_in_the_ring_all_but_the_open_routes_need_one(
    locked: tuple[Running, str],
) -> None:
    up, _ = locked
    for path, methods in up.gateway.routes.items():
        for method, route in methods.items():
            got = await ask(up.port, method, path, b"{}" if method == "POST" else b"")
            if route.key == "open":
                assert got.status == 200, path
            else:
                assert got.status == 401, path
                assert got.headers["www-authenticate"].startswith("Bearer")


async def test_both_forms_of_a_key_open_and_so_does_the_session_key(locked: tuple[Running, str]) -> None:
    up, key = locked
    for headers in (
        {"authorization": f"Bearer {key}"},
        {"x-api-key": key},
        {"authorization": f"Bearer {SESSION}"},
    ):
        assert (await up.get("/v1/models", headers)).status == 200
    assert (await up.get("/v1/models", {"x-api-key": key[:-1]})).status == 401


async def test_a_key_revoked_elsewhere_stops_working_and_opens_nothing(
    locked: tuple[Running, str], tmp_path: Path
) -> None:
    up, key = locked
    KeyRing(tmp_path / "keys.json").revoke("laptop")
    assert (await up.get("/v1/models", {"x-api-key": key})).status == 401
    assert (await up.get("/v1/models")).status == 401


async def test_no_key_is_in_an_answer(locked: tuple[Running, str]) -> None:
    up, key = locked
    got = await up.get("/v1/models", {"authorization": f"Basic {key}"})
    assert key.encode() not in got.body


async def test_any_key_is_taken_where_none_is_needed(door: Running) -> None:
    assert (await door.get("/v1/models", {"authorization": "Bearer whatever"})).status == 200


async def test_a_fault_of_ours_is_an_error_without_its_details(
    door: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise RuntimeError("secret details")

    monkeypatch.setattr(door.hub, "models", broken)
    got = await door.get("/v1/models")
    assert (got.status, got.code) == (500, "internal_error")
    assert b"secret" not in got.body
    assert "RuntimeError" in caplog.text


async def test_refused_requests_are_counted_by_code(door: Running) -> None:
    await door.get("/nothing")
    await door.post(CHAT, b"{")
    await door.post(CHAT, {**HELLO, "model": "x"})
    assert door.hub.activity.refused == {"route_not_found": 1, "invalid_request": 1, "model_not_found": 1}
