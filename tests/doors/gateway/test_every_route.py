"""What is true of every route there is, whichever door it belongs to: new ones are held to it by being there."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import product
from pathlib import Path

import msgspec
import pytest
from tests.doors.gateway.asking import LOG, SESSION, Answer, Running, ask, running
from tests.fakes.provider import ScriptedRuntime

from lmbridge.core.models import ModelInfo
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.doors.gateway.routes import Route
from lmbridge.hub.keys import SCOPES, KeyRing

PAGE = "https://app.example"
LIMIT = 4096


class Case(msgspec.Struct, frozen=True):
    """One method of one path, as it is asked for."""

    method: str
    path: str
    route: Route

    @property
    def never_ends(self) -> bool:
        """A stream that goes on until somebody leaves: only its head is asked for."""
        return self.method == "GET" and bool(self.route.events) and self.route.answers is None

    @property
    def body(self) -> bytes:
        return b"{}" if self.route.asks is not None else b""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def cases(up: Running) -> Iterator[Case]:
    for path, methods in up.gateway.routes.items():
        for method, route in methods.items():
            yield Case(method, re.sub(r"\{\w+\}", "some/thing" if path.endswith("}") else "thing", path), route)


async def send(
    up: Running, case: Case, headers: Mapping[str, str | None] = {}, body: bytes | None = None
) -> Answer:
    method = "HEAD" if case.never_ends else case.method
    return await ask(up.port, method, case.path, case.body if body is None else body, headers=headers)


def refused(got: Answer, case: Case, status: int) -> bool:
    """Whether it was refused so, in the words of its API."""
    if not case.never_ends:
        msgspec.json.decode(got.body, type=case.route.family.shape)
    return got.status == status


@pytest.fixture
def runtime() -> ScriptedRuntime:
    return ScriptedRuntime([ModelInfo("tiny", "runtime"), ModelInfo("vectors", "runtime", kind="embedding")])


@pytest.fixture
async def up(runtime: ScriptedRuntime, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway without keys, as it comes."""
    async with running([runtime], tmp_path, GatewaySettings(port=0, max_body=LIMIT)) as one:
        yield one


@pytest.fixture
async def locked(runtime: ScriptedRuntime, tmp_path: Path, keys: dict[str, str]) -> AsyncIterator[Running]:
    """A gateway that asks for one of `keys`, and lets one foreign page in."""
    assert keys
    async with running([runtime], tmp_path, GatewaySettings(port=0, cors=(PAGE,))) as one:
        yield one


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """A key for each scope, one for all, one in LM Studio's form, and one whose time is over."""
    ring = KeyRing(tmp_path / "keys.json")
    made = {scope: ring.create(scope, scopes=(scope,)) for scope in SCOPES}
    made |= {"all": ring.create("all"), "studio": ring.create("studio", lmstudio_form=True)}
    made["over"] = ring.create("over", expires=time.time() + 3600)
    stored = json.loads(ring.path.read_text())
    stored["keys"][-1]["expires"] = 1_700_000_000
    ring.path.write_text(json.dumps(stored))
    return made


# -- where a request comes from


async def test_a_name_that_is_not_ours_is_refused(up: Running) -> None:
    for case in cases(up):
        for host in (f"evil.example:{up.port}", "127.0.0.1", ""):
            assert refused(await send(up, case, {"host": host}), case, 403), case.name


async def test_a_foreign_page_is_refused_and_may_not_read_why(up: Running) -> None:
    foreign: list[dict[str, str | None]] = [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ]
    for case, headers in product(cases(up), foreign):
        got = await send(up, case, headers)
        assert refused(got, case, 403), (case.name, headers)
        assert "access-control-allow-origin" not in got.headers


async def test_a_foreign_page_may_not_ask_beforehand_either(up: Running) -> None:
    for case in cases(up):
        wish = {"origin": "https://evil.example", "access-control-request-method": case.method}
        got = await ask(up.port, "OPTIONS", case.path, headers=wish)
        assert got.status == 403, case.name
        assert not [name for name in got.headers if name.startswith("access-control")]


async def test_a_page_that_is_let_in_may_use_every_method_there_is(locked: Running) -> None:
    for case in cases(locked):
        wish = {"origin": PAGE, "access-control-request-method": case.method}
        got = await ask(locked.port, "OPTIONS", case.path, headers=wish)
        assert got.status == 204, case.name
        assert case.method in got.headers["access-control-allow-methods"].split(", ")


async def test_a_deciding_header_comes_once(up: Running) -> None:
    for case, name in product(cases(up), ("x-api-key", "api-key", "authorization", "origin")):
        got = await send(up, case, {name: f"a\r\n{name}: b"})
        assert refused(got, case, 400), (case.name, name)


# -- what it brings


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
async def test_what_a_page_can_send_without_asking_is_not_read(up: Running, kind: str | None) -> None:
    for case in cases(up):
        if case.route.asks is not None:
            got = await send(up, case, {"content-type": kind, "authorization": f"Bearer {SESSION}"})
            assert refused(got, case, 415), case.name


async def test_a_body_that_is_too_large_broken_or_packed_is_refused(up: Running) -> None:
    mine = {"authorization": f"Bearer {SESSION}"}
    for case in cases(up):
        if case.route.asks is not None:
            assert refused(await send(up, case, mine, b" " * (LIMIT + 1)), case, 413), case.name
            assert refused(await send(up, case, {**mine, "content-encoding": "gzip"}), case, 400), case.name
            for broken in (b"{", b"[]", b"\xff", b'{"a":1,', b"[" * 2000):
                assert refused(await send(up, case, mine, broken), case, 400), (case.name, broken)


async def test_a_body_that_says_it_will_be_too_large_is_refused_before_it_comes(up: Running) -> None:
    # At the same time, as each gets a moment to go on sending before the connection is closed.
    asked = [case for case in cases(up) if case.route.asks is not None]
    huge = {"authorization": f"Bearer {SESSION}", "content-length": "9" * 15}
    got = await asyncio.gather(*(send(up, case, huge) for case in asked))
    for case, answer in zip(asked, got, strict=True):
        assert refused(answer, case, 413), case.name


# -- who asks


async def test_without_a_key_that_is_known_only_open_routes_answer(locked: Running, keys: dict[str, str]) -> None:
    wrong: list[dict[str, str | None]] = [
        {},
        {"authorization": "Bearer lmb-nobody"},
        {"x-api-key": keys["all"][:-1]},
        {"authorization": f"Basic {keys['all']}"},
        {"authorization": f"Bearer {keys['all']}", "x-api-key": keys["infer"]},
        {"authorization": f"Bearer {keys['over']}"},
        {"cookie": f"key={keys['all']}"},
    ]
    for case, headers in product(cases(locked), wrong):
        got = await send(locked, case, headers)
        if case.route.key == "open":
            assert got.status == 200, case.name
            continue
        assert refused(got, case, 401), (case.name, headers)
        assert got.headers["www-authenticate"].startswith("Bearer")
        assert not [key for key in keys.values() if key.encode() in got.body]


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_opens_the_routes_of_its_scope_and_no_others(
    keys: dict[str, str], locked: Running, scope: str
) -> None:
    for case in cases(locked):
        got = await send(locked, case, {"authorization": f"Bearer {keys[scope]}"})
        if case.route.key == "open":
            assert got.status == 200
        elif case.route.key == "session":
            assert refused(got, case, 401), case.name
        elif case.route.scope != scope:
            assert refused(got, case, 403), case.name
            assert case.never_ends or f"'{case.route.scope}'".encode() in got.body
        else:
            assert got.status not in (401, 403), case.name
            assert got.status < 500 or got.status == 501, (case.name, got.body)


async def test_every_form_of_a_key_opens_every_route(keys: dict[str, str], locked: Running) -> None:
    for case in cases(locked):
        if case.route.key != "session":
            for key, name in product((keys["all"], keys["studio"], SESSION), ("x-api-key", "api-key", "")):
                headers = {name: key} if name else {"authorization": f"bearer {key}"}
                got = await send(locked, case, headers)
                assert got.status not in (401, 403), (case.name, headers)


async def test_what_changes_models_needs_more_than_the_scope_for_asking(up: Running) -> None:
    changing = {
        case.path: case.route.scope for case in cases(up) if re.search(r"load|pull|create|copy", case.path)
    }
    assert {path for path, scope in changing.items() if scope == "infer"} <= {
        "/api/create",  # these two only ever say that it cannot be done
        "/api/copy",
        "/api/v1/models/download/status/some/thing",
    }


async def test_the_rules_together_let_in_only_what_every_rule_lets_in(
    keys: dict[str, str], locked: Running
) -> None:
    """Host x Origin x content type x key x scope through the real gateway; what is expected is looked up."""
    hosts = {f"127.0.0.1:{locked.port}": True, f"evil.example:{locked.port}": False}
    pages = {None: True, PAGE: True, "https://evil.example": False}
    kinds = {"application/json": True, "text/plain": False}
    bearers = {"all": (True, True), "infer": (True, False), "models": (False, True), "over": (False, False)}
    routes = ("/v1/chat/completions", "/api/v1/models/unload")
    for (host, good), (page, mine), (kind, read), (name, opens), number in product(
        hosts.items(), pages.items(), kinds.items(), bearers.items(), range(2)
    ):
        headers = {"host": host, "origin": page, "content-type": kind, "x-api-key": keys[name]}
        got = await ask(locked.port, "POST", routes[number], b"{", headers=headers)
        expected = 403 if not (good and mine) else 401 if name == "over" else 403 if not opens[number] else 415
        assert got.status == (400 if expected == 415 and read else expected), (headers, routes[number])


# -- what it changes


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.name != LOG)


async def test_a_get_changes_nothing(up: Running, runtime: ScriptedRuntime, tmp_path: Path) -> None:
    before = files(tmp_path)
    for case in cases(up):
        if case.method == "GET":
            for headers in ({}, {"authorization": f"Bearer {SESSION}"}):
                await send(up, case, headers)
                await ask(up.port, "HEAD", case.path, headers=headers)
    assert (runtime.loads, runtime.unloads, runtime.downloads) == ([], [], [])
    assert up.hub.activity.tallies == []
    assert files(tmp_path) == before
    assert (await up.get("/health")).status == 200


async def test_what_changes_something_is_no_get(up: Running) -> None:
    for case in cases(up):
        assert (case.method in ("POST", "DELETE", "PUT", "PATCH")) is (case.method != "GET")
        if case.method == "GET":
            assert case.route.asks is None, case.name
            assert case.route.key != "session", case.name
