"""The fake's faults are what they say: each changes what goes over the wire, and none is left on."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.lmstudio import Studio
from tests.fakes.lmstudio import FAULTS, FakeLMStudio, fake_lmstudio

CHAT, EMBEDDING = "qwen/qwen3-4b-2507", "text-embedding-nomic-embed-text-v1.5"
TEXT = "grüß 😀 dich"

# A request that each kind of fault must show itself at.
ASKED = {
    "connection": ("POST /v1/chat/completions", True),
    "answer": ("GET /api/v1/models", False),
    "stream": ("POST /v1/chat/completions", True),
    "inference": ("POST /v1/chat/completions", True),
    "embeddings": ("POST /v1/embeddings", False),
    "load": ("POST /api/v1/models/load", False),
    "download": ("GET /api/v1/models/download/status/", False),
    "list": ("GET /api/v1/models", False),
}
VOLATILE = re.compile(
    rb"(chatcmpl-|resp_|job_)[0-9a-z]+|\"created\":\d+|Date: [^\r]*|ETag: [^\r]*|"
    rb"\"(started_at|completed_at|estimated_completion)\": \"[^\"]*\""
)


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeLMStudio]:
    async with fake_lmstudio(tmp_path) as fake:
        fake.hold(CHAT)
        fake.hold(EMBEDDING)
        yield fake


async def wire(fake: FakeLMStudio, route: str, stream: bool, *, quiet_s: float = 0.05) -> bytes:
    """Everything sent in answer to a request, asked thrice on one connection, but for what differs each time; and
    what it has on its disk then.
    """
    if "status" in route:
        job = fake.runtime.download("openai/gpt-oss-20b")
        assert not hasattr(job, "key")
        job.steps, job.outcome, job.sized = 1, "completed", True
        route += job.id
    method, path = route.split(" ")
    body = {"model": EMBEDDING if "embed" in route else CHAT}
    if "chat" in route:
        body |= {"messages": [{"role": "user", "content": TEXT}], "stream": stream}
    if "embed" in route:
        body |= {"input": ["one", "two"]}
    data = json.dumps(body).encode() if method == "POST" else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    got = b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
        for _ in range(3):
            writer.write(head + data)
            try:
                async with asyncio.timeout(quiet_s):
                    while len(got) < 2**22 and (piece := await reader.read(2**16)):
                        got += piece
            except TimeoutError:
                got += b"<silence>"
        writer.close()
    except ConnectionError as error:
        got += type(error).__name__.encode()
    return VOLATILE.sub(b"", got) + repr([model.key for model in fake.models]).encode()


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault_shows_itself_where_it_says(fake: FakeLMStudio, name: str) -> None:
    route, stream = ASKED[FAULTS[name].where]
    well = await wire(fake, route, stream)
    fake.runtime.models = [model for model in fake.models if model.key != "openai/gpt-oss-20b"]
    while len(fake.runtime.instances) > 2:
        fake.runtime.instances.pop()
    fake.fault = name
    ill = await wire(fake, route, stream)
    assert ill != well


async def test_a_fault_can_strike_one_route_one_model_or_a_few_times(fake: FakeLMStudio) -> None:
    studio = Studio(fake.url, CHAT, EMBEDDING, {}, {}, None)
    fake.inject("500", "GET /v1", times=1)
    fake.inject("503", model=CHAT)
    assert (await studio.ask("GET /api/v1/models")).status == 200
    assert [(await studio.ask("GET /v1/models")).status for _ in range(2)] == [500, 200]
    assert (await studio.said("hi")).status == 503
    fake.clear()
    assert (await studio.said("hi")).status == 200
    with pytest.raises(ValueError, match="no fault is called"):
        fake.fault = "frobnicate"


async def test_a_closed_port_is_opened_again(fake: FakeLMStudio) -> None:
    studio = Studio(fake.url, CHAT, EMBEDDING, {}, {}, None)
    for _ in range(3):
        fake.fault = "refuse"
        with pytest.raises(ConnectionError):
            await studio.ask("GET /v1/models")
        fake.fault = ""
        assert (await studio.ask("GET /v1/models")).status == 200


async def test_the_server_stops_and_starts_and_keeps_what_is_loaded(fake: FakeLMStudio) -> None:
    studio = Studio(fake.url, CHAT, EMBEDDING, {}, {}, None)
    port = fake.port
    await fake.stop()
    with pytest.raises(ConnectionError):
        await studio.ask("GET /v1/models")
    await fake.start(port)
    assert (await studio.said("hi")).json["model"] == CHAT
    assert fake.runtime.loads == []


async def test_an_idle_connection_is_closed_after_a_while(fake: FakeLMStudio) -> None:
    fake.keep_alive_s = 0.05
    reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    writer.write(b"GET /lmstudio-greeting HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer.endswith(b'{"lmstudio":true}')
    writer.close()


async def test_whoever_goes_away_is_noticed(fake: FakeLMStudio) -> None:
    fake.pace = 0.01
    body = {"model": CHAT, "messages": [{"role": "user", "content": "count to 100000"}], "stream": True}
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    await reader.readuntil(b'"content":"2 "')
    assert fake.runtime.instances[0].status == "generating"
    writer.close()
    await fake.until(lambda: fake.left > 0)
    assert fake.runtime.instances[0].status == "idle"


async def test_more_requests_than_places_wait(fake: FakeLMStudio) -> None:
    studio = Studio(fake.url, CHAT, EMBEDDING, {}, {}, None)
    instance = fake.runtime.instances[0]
    instance.parallel = 1
    async with asyncio.TaskGroup() as group, instance.place():
        group.create_task(studio.said("hi"))
        group.create_task(studio.said("hi"))
        await fake.until(lambda: instance.queued == 2)
    assert instance.queued == 0


async def test_requests_for_one_model_cause_one_load(tmp_path: Path) -> None:
    async with fake_lmstudio(tmp_path) as fake:
        studio = Studio(fake.url, CHAT, EMBEDDING, {}, {}, None)
        fake.runtime.gate.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(studio.said("hi"))
            await fake.until(lambda: len(fake.requests) == 3)
            assert (await studio.ask("GET /api/v0/models")).json["data"][0]["state"] == "loading"
            fake.runtime.gate.set()
        assert fake.runtime.loads == [CHAT]
