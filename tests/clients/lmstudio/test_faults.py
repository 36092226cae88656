"""Every fault of the fake LM Studio at every call of the client: the right error within its limit, or, for a
harmless one, the right answer. No hang, no short success, no secret told, no half a file left.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from tests.clients.lmstudio.calls import CALLS, OLDER_CALLS, Call
from tests.fakes.lmstudio import FAULTS, GOOD_TOKEN, fake_lmstudio
from tests.fakes.lmstudio.http import OTHER_MODEL

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.lmstudio import Habits, LMStudioClient, LMStudioSettings, identify
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ContextExceeded,
    DownloadFailed,
    EngineCrashed,
    ForeignServer,
    LoadFailed,
    ModelNotFound,
    ProviderNeedsKey,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    RouteNotFound,
    WrongModel,
)

Row = Mapping[str, type[BridgeError]]
Tried = Callable[[str, int], None]

LISTS = {"check", "fetch_models", "resolve"}
LOADS = {"load_model", "ensure_ready", "ensure_ready_in_background"}
DOWNLOADS = {"download_model", "download_model, status", "ensure_ready"}
STREAMS = {"chat", "answer", "complete", "respond", "native_chat"}
ASKS = {*STREAMS, "embed"}
GREETING = {"check, greeting"}
EVERY = set(CALLS)


def raises(error: type[BridgeError], calls: Iterable[str]) -> Row:
    """Which calls end in an error; the others give the right answer."""
    return dict.fromkeys(calls, error)


def several(faults: str, row: Row) -> dict[str, Row]:
    return dict.fromkeys(faults.split(), row)


def greeted(error: type[BridgeError], others: type[BridgeError]) -> Row:
    """Who greets so is not LM Studio; elsewhere the same is an error of LM Studio's."""
    return {**raises(others, EVERY), **raises(error, GREETING)}


IN_STREAMS: dict[str, Row] = {
    **several("cut reset-mid torn garbage-event not-sse", raises(BrokenAnswer, STREAMS)),
    **several("mistyped-event bad-utf8 huge-event no-finish empty-stream", raises(BrokenAnswer, STREAMS)),
    "no-content": raises(BrokenAnswer, STREAMS),
    "hang-mid": raises(ProviderTimeout, STREAMS),
    **several("error-event error-string", raises(EngineCrashed, STREAMS)),
    "overflow-event": raises(ContextExceeded, STREAMS),
}
IN_ANSWERS: dict[str, Row] = {
    "wrong-model": raises(WrongModel, ASKS),
    "overflow": raises(ContextExceeded, ASKS),
    "crash": raises(EngineCrashed, ASKS),
    "engine": raises(ProviderRefused, ASKS),
    "unloaded": raises(ModelNotFound, ASKS),
    **several("short-vectors uneven-vectors", raises(BrokenAnswer, {"embed"})),
    "base64-vectors": {},  # not what was asked for, and yet the right numbers
    **several("load-fails not-loaded", raises(LoadFailed, LOADS)),
    "loads-other": raises(WrongModel, LOADS),
    **several("download-fails download-pauses download-vanishes", raises(DownloadFailed, DOWNLOADS)),
}
HARMLESS: dict[str, Row] = {
    **several("reset-idle bytes split-utf8 wrong-content-type unknown-keys bom", {}),
    **several("no-done no-final-newline crlf comments unknown-event keeps-open unstreamed", {}),
    **several("shuffled-vectors download-unsized download-verifies", {}),
}

ON_ITS_ROUTE: dict[str, Row] = {
    **HARMLESS,
    **IN_STREAMS,
    **IN_ANSWERS,
    "refuse": raises(ProviderUnavailable, EVERY),
    "hang": greeted(ProviderUnavailable, ProviderTimeout),
    **several("hangup reset torn-head cut-body", greeted(ProviderUnavailable, BrokenAnswer)),
    **several("not-http web-page empty-body not-json half-json", greeted(ForeignServer, BrokenAnswer)),
    **several("null a-list missing-keys wrong-types huge-body", greeted(ForeignServer, BrokenAnswer)),
    **several("web-page-500 500 redirect error-200-object", greeted(ForeignServer, ProviderRefused)),
    "503": greeted(ProviderUnavailable, ProviderRefused),
    # Only LM Studio says so of its tokens, so who greets with that is known, and asked.
    "401": raises(ProviderNeedsKey, EVERY - GREETING),
    "403": greeted(ForeignServer, ProviderNeedsKey),
    # To the list it means an older LM Studio, which has others; so the greeting says itself.
    "error-200": {
        **raises(RouteNotFound, EVERY - LISTS - GREETING),
        "download_model, status": DownloadFailed,
    },
    "vanishes": raises(ModelNotFound, {"resolve"}),
    "job-lost": raises(DownloadFailed, {"download_model, status"}),
}
"""A client that knew LM Studio well a moment ago, and a fault on the one route that its call is about."""

EVERYWHERE: dict[str, Row] = {
    **HARMLESS,
    **IN_STREAMS,
    **IN_ANSWERS,
    **several("refuse hang hangup reset torn-head 503 cut-body", raises(ProviderUnavailable, EVERY)),
    **several("not-http web-page web-page-500 500 redirect huge-body 403", raises(ForeignServer, EVERY)),
    "401": raises(ProviderNeedsKey, EVERY),
    **several("error-200-object empty-body not-json half-json", raises(ForeignServer, EVERY)),
    **several("null a-list missing-keys wrong-types", raises(ForeignServer, EVERY)),
    "error-200": raises(RouteNotFound, EVERY),
    "vanishes": {
        **raises(ModelNotFound, {"resolve", "load_model", "ensure_ready_in_background", "unload_model"} | ASKS),
        **raises(DownloadFailed, DOWNLOADS),
    },
    "job-lost": raises(DownloadFailed, DOWNLOADS),
}
"""A client that knows nothing yet, and the fault on every route, the greeting included."""

SLOW = {"hang", "hang-mid", "keeps-open"}
LIMIT_S, PATIENT_S, BOUND_S = 1.0, 60.0, 60.0
HABITS = Habits(
    delay=0.005, settle=0.05, look_again=0.01, poll=0.002, slowest_poll=0.01, stall=5.0
)  # no pause that a person would want


@pytest.mark.parametrize("table", [ON_ITS_ROUTE, EVERYWHERE], ids=["on its route", "everywhere"])
def test_the_tables_speak_of_every_fault_and_of_no_other_call(table: dict[str, Row]) -> None:
    assert set(table) == set(FAULTS)
    assert {call for row in table.values() for call in row} <= set(CALLS)
    harmless = {fault for fault, row in table.items() if not row}
    assert harmless == {name for name, fault in FAULTS.items() if fault.harmless} | {"base64-vectors"}


@pytest.mark.parametrize("fault", ON_ITS_ROUTE)
async def test_a_fault_on_its_route(fault: str, tmp_path: Path, tried: Tried) -> None:
    assert await outcomes(CALLS, fault, tmp_path, everywhere=False) == expected(CALLS, ON_ITS_ROUTE[fault])
    tried("Client of LM Studio", len(CALLS))


@pytest.mark.parametrize("fault", EVERYWHERE)
async def test_a_fault_everywhere(fault: str, tmp_path: Path, tried: Tried) -> None:
    assert await outcomes(CALLS, fault, tmp_path, everywhere=True) == expected(CALLS, EVERYWHERE[fault])
    tried("Client of LM Studio", len(CALLS))


@pytest.mark.parametrize("fault", EVERYWHERE)
async def test_a_fault_of_an_older_one(fault: str, tmp_path: Path, tried: Tried) -> None:
    row = dict(EVERYWHERE[fault])
    if FAULTS[fault].where == "inference":
        # It loads a model for a request that asks for one token of answer.
        row |= {"load_model": next(iter(row.values()))} if fault != "no-content" else {}
    if FAULTS[fault].where == "load":
        row = {}
    assert await outcomes(OLDER_CALLS, fault, tmp_path, everywhere=True, version="0.3") == expected(
        OLDER_CALLS, row
    )
    tried("Client of LM Studio", len(OLDER_CALLS))


def expected(calls: Iterable[str], row: Row) -> dict[str, str]:
    return {name: row[name].__name__ if name in row else "" for name in calls}


async def outcomes(
    calls: Mapping[str, Call], fault: str, folder: Path, *, everywhere: bool, version: str = "0.4"
) -> dict[str, str]:
    """The name of the error that each call ends in, "" for the right answer. Each has an LM Studio of its own."""
    async with asyncio.TaskGroup() as group:
        asked = {
            name: group.create_task(outcome(call, fault, folder / name, everywhere, version))
            for name, call in calls.items()
        }
    return {name: task.result() for name, task in asked.items()}


async def outcome(call: Call, fault: str, folder: Path, everywhere: bool, version: str) -> str:
    limit = LIMIT_S if fault in SLOW else PATIENT_S
    limits = dict.fromkeys(("first_byte_timeout", "idle_timeout", "ask_timeout", "load_timeout"), limit)
    async with fake_lmstudio(folder, version=version, token=GOOD_TOKEN) as fake:
        fake.hold("qwen/qwen3-4b-2507")
        fake.hold("text-embedding-nomic-embed-text-v1.5")
        settings = LMStudioSettings(fake.url, token=GOOD_TOKEN, **limits)
        async with LMStudioClient(settings, habits=HABITS, cache=folder / "cache") as client:
            if not everywhere:
                await client.check()
                client.forget()
            route = "" if everywhere or fault == "refuse" else call.route
            fake.inject(fault, route)
            try:
                async with asyncio.timeout(BOUND_S):
                    await call.run(client, fake)
            except BridgeError as error:
                return f"{type(error).__name__}{complaint(error)}{leftovers(folder / 'cache')}"
            except AssertionError as error:
                return f"a wrong answer: {error}"
    return leftovers(folder / "cache")


def complaint(error: BridgeError) -> str:
    """What is wrong with an error, if anything: it has to say whose it is, and no secret."""
    told = f"{error} {error!r}"
    if "sk-lm-" in told:
        return " that tells a secret"
    named = any(name in told.lower() for name in ("lm studio", "lmstudio", "qwen/", "text-embedding", "prompt"))
    return "" if named else f" that does not say whose it is: {error}"


def leftovers(folder: Path) -> str:
    """What is there besides whole files and locks, which are empty and stay, if anything."""
    for path in folder.glob("**/*"):
        if path.suffix == ".lock" and not path.stat().st_size:
            continue
        json.loads(path.read_bytes())
        if path.suffix != ".json":
            return f" and {path.name} was left"
    return ""


# ---- who answers


IDENTIFIED = {
    **dict.fromkeys(["refuse", "503"], "down"),
    **dict.fromkeys(["hang", "hangup", "reset", "torn-head", "cut-body"], "silent"),
    **dict.fromkeys(["not-http", "web-page", "web-page-500", "500", "403", "redirect"], "foreign"),
    **dict.fromkeys(["error-200-object", "empty-body", "not-json", "half-json", "huge-body"], "foreign"),
    **dict.fromkeys(["null", "a-list", "missing-keys", "wrong-types"], "foreign"),
}
"""What a fault makes of the greeting; all others leave it as it is."""


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_of_the_greeting(fault: str, tmp_path: Path, tried: Tried) -> None:
    async with fake_lmstudio(tmp_path, fault=fault) as fake:
        http = HTTPClient()
        limit = LIMIT_S if fault in SLOW else PATIENT_S
        identity = await identify(http, fake.url, limit=limit)
        await http.aclose()
    assert identity.kind == IDENTIFIED.get(fault, "lmstudio")
    assert bool(identity.reason) == (identity.kind != "lmstudio")
    tried("Client of LM Studio", 1)


# ---- a second time


IDEMPOTENT = {"check", "fetch_models", "resolve", "download_model, status", "embed"}


@pytest.mark.parametrize("fault", ["500", "503", "hangup", "reset"])
@pytest.mark.parametrize("name", sorted(set(CALLS) - GREETING - {"ensure_ready"}))
async def test_only_what_is_safe_is_asked_again(name: str, fault: str, tmp_path: Path, tried: Tried) -> None:
    call = CALLS[name]
    async with fake_lmstudio(tmp_path, token=GOOD_TOKEN) as fake:
        fake.hold("qwen/qwen3-4b-2507")
        fake.hold("text-embedding-nomic-embed-text-v1.5")
        settings = LMStudioSettings(fake.url, token=GOOD_TOKEN)
        async with LMStudioClient(settings, habits=HABITS) as client:
            fake.inject(fault, call.route, times=1)
            if name in IDEMPOTENT:
                await call.run(client, fake)
                return
            with pytest.raises((ProviderRefused, BrokenAnswer)):
                await call.run(client, fake)
            assert sum(request.route.startswith(call.route) for request in fake.requests) == 1
    tried("Client of LM Studio", 1)


async def test_the_name_of_who_answered_instead_is_told(tmp_path: Path) -> None:
    async with (
        fake_lmstudio(tmp_path, fault="wrong-model") as fake,
        LMStudioClient(LMStudioSettings(fake.url), habits=HABITS) as client,
    ):
        with pytest.raises(WrongModel) as caught:
            await CALLS["chat"].run(client, fake)
    assert (caught.value.asked, caught.value.answered) == ("qwen/qwen3-4b-2507", OTHER_MODEL)
