from __future__ import annotations

import asyncio
import json
from pathlib import Path

import openai
import pytest
from msgspec.structs import replace
from tests.doors.gateway.asking import LIMIT_S, Running, events, running, until
from tests.fakes.byte_server import ByteServer, always, answer, read_request
from tests.fakes.openai_server import FakeOpenAI, fake_openai

from lmbridge.core.models import Endpoint, Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import Progress, ProviderContext
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.providers.openai import OpenAIProvider

ROUTE = "/v1/chat/completions"


def chat(model: str = "fake-chat", **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "one two"}], **more}


async def faulty(name: str, folder: Path, upstream: FakeOpenAI, **more: object) -> tuple[int, bytes, Running]:
    """Ask for a model that misbehaves."""
    upstream.models = [{"id": f"fault:{name}", "object": "model"}]
    provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(folder, "fake"))
    async with running([provider], folder) as up:
        got = await up.post(ROUTE, chat(f"fault:{name}", **more))
        return got.status, got.body, up


async def test_the_bytes_of_an_answer_pass_untouched(provider: OpenAIProvider, tmp_path: Path) -> None:
    said = b'{ "choices":[{"index":0,"message":{},"vendor":"\\u00e9"} ],'
    body = said + b' "usage":{"prompt_tokens":3,"completion_tokens":4} }\n'
    async with (
        ByteServer(always(answer(body, "content-type: text/html"))) as server,
        running([Elsewhere(provider, server.url)], tmp_path) as up,
    ):
        given = await up.post(ROUTE, chat())
        (tally,) = up.hub.activity.tallies
    assert (given.status, given.body, given.headers["content-type"]) == (200, body, "application/json")
    assert (tally.prompt_tokens, tally.completion_tokens) == (3, 4)


async def test_the_bytes_of_a_request_pass_untouched_when_nothing_needs_changing(
    door: Running, upstream: FakeOpenAI
) -> None:
    await door.post(ROUTE, chat(temperature=0.5, tools=[]))
    assert upstream.requests[-1] == (f"POST {ROUTE}", chat(temperature=0.5, tools=[]))


async def test_only_the_name_of_the_model_is_changed_where_the_provider_has_another(
    door: Running, upstream: FakeOpenAI
) -> None:
    await door.post(ROUTE, chat("fake:fake-chat", seed=3))
    assert upstream.requests[-1] == (f"POST {ROUTE}", chat(seed=3))


async def test_a_request_without_a_model_goes_to_the_default(door: Running, upstream: FakeOpenAI) -> None:
    body = chat()
    del body["model"]
    assert (await door.post(ROUTE, body)).status == 200
    assert upstream.requests[-1][1]["model"] == "fake-chat"


async def test_a_stream_passes_whole_and_is_counted(door: Running) -> None:
    got = await door.post(ROUTE, chat(stream=True, stream_options={"include_usage": True}))
    assert got.headers["content-type"].startswith("text/event-stream")
    *chunks, done = events(got.body)
    assert done == "[DONE]"
    said = [c["delta"].get("content") or "" for chunk in chunks for c in json.loads(chunk)["choices"]]
    assert "".join(said) == "You said: one two "
    (tally,) = door.hub.activity.tallies
    assert tally.completion_tokens == json.loads(chunks[-1])["usage"]["completion_tokens"] > 0
    assert (tally.requests, tally.in_flight, tally.first_event.count) == (1, 0, 1)


async def test_vectors_pass(door: Running) -> None:
    got = await door.post("/v1/embeddings", {"model": "fake-embed", "input": ["a", "b"]})
    assert len(got.json["data"]) == 2  # type: ignore[arg-type]


async def test_parallel_requests_do_not_wait_for_each_other(upstream: FakeOpenAI, door: Running) -> None:
    got = await asyncio.gather(*(door.post(ROUTE, chat(stream=n % 2 == 0)) for n in range(24)))
    assert {g.status for g in got} == {200}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("context", 400, "context_length_exceeded"),
        ("401", 502, "provider_needs_key"),
        ("429", 429, "provider_refused"),
        ("500", 502, "provider_refused"),
        ("error-200", 502, "provider_refused"),
        ("hangup", 502, "broken_answer"),
        ("not-http", 502, "broken_answer"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_before_the_answer_keeps_its_status(
    upstream: FakeOpenAI, tmp_path: Path, fault: str, status: int, code: str, stream: bool
) -> None:
    if fault == "error-200" and stream:
        code = "broken_answer"
    got, body, up = await faulty(fault, tmp_path, upstream, stream=stream)
    error = json.loads(body)["error"]
    assert (got, error["code"]) == (status, code)
    (tally,) = up.hub.activity.tallies
    assert dict(tally.errors) == {code: 1}


async def test_too_long_a_prompt_names_both_numbers(upstream: FakeOpenAI, tmp_path: Path) -> None:
    _, body, _ = await faulty("context", tmp_path, upstream)
    error = json.loads(body)["error"]
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (5000, 4096)


async def test_a_key_of_a_provider_is_in_no_error(upstream: FakeOpenAI, tmp_path: Path) -> None:
    _, body, _ = await faulty("401", tmp_path, upstream)
    assert b"sk-sec" not in body


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("cut", "broken_answer"),
        ("reset", "broken_answer"),
        ("torn", "broken_answer"),
        ("no-finish", "broken_answer"),
        ("error-event", "provider_refused"),
        ("unstreamed", "broken_answer"),
    ],
)
async def test_a_stream_that_breaks_ends_with_an_error_and_never_looks_finished(
    upstream: FakeOpenAI, tmp_path: Path, fault: str, code: str
) -> None:
    _, body, up = await faulty(fault, tmp_path, upstream, stream=True)
    last = body.decode().strip().rpartition("data: ")[2] if fault != "unstreamed" else body.decode()
    assert json.loads(last)["error"]["code"] == code
    assert b"[DONE]" not in body
    for event in events(body) if fault != "unstreamed" else []:
        json.loads(event)
    (tally,) = up.hub.activity.tallies
    assert dict(tally.errors) == {code: 1}


@pytest.mark.parametrize("fault", ["cut", "torn", "no-finish", "error-event"])
async def test_the_openai_client_raises_on_a_stream_that_breaks(
    upstream: FakeOpenAI, tmp_path: Path, fault: str
) -> None:
    upstream.models = [{"id": f"fault:{fault}"}]
    provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
    async with (
        running([provider], tmp_path) as up,
        openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key="x", max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(
            model=f"fault:{fault}", messages=[{"role": "user", "content": "x"}], stream=True
        )
        with pytest.raises(openai.APIError):
            _ = [chunk async for chunk in stream]


async def test_a_finished_stream_without_its_end_mark_gets_one(upstream: FakeOpenAI, tmp_path: Path) -> None:
    _, body, _ = await faulty("no-done", tmp_path, upstream, stream=True)
    assert events(body)[-1] == "[DONE]"
    assert body.count(b"[DONE]") == 1


async def test_a_caller_who_leaves_a_stream_ends_the_work_at_once(tmp_path: Path) -> None:
    async with fake_openai(pace=0.01) as upstream:
        provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
        async with running([provider], tmp_path) as up:
            await leave(up, json.dumps(chat(stream=True)).encode(), b"data:")
            await until(lambda: bool(upstream.left) and bool(up.hub.activity.tallies[0].requests))
            (tally,) = up.hub.activity.tallies
            assert (tally.cancelled, tally.in_flight, dict(tally.errors)) == (1, 0, {})


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_caller_who_leaves_an_unstreamed_answer_ends_the_work(
    upstream: FakeOpenAI, tmp_path: Path, size: int
) -> None:
    upstream.models = [{"id": "fault:mute"}]
    provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
    async with running([provider], tmp_path) as up:
        await leave(up, json.dumps(chat("fault:mute", user="x" * size)).encode(), None)
        await until(lambda: bool(up.hub.activity.tallies) and up.hub.activity.tallies[0].cancelled == 1)
        assert all(not state.leases for state in await up.hub.instances())


async def begin(up: Running, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask, and leave the answer unread."""
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    head = f"POST {ROUTE} HTTP/1.1\r\nhost: 127.0.0.1:{up.port}\r\ncontent-type: application/json\r\n"
    writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
    return reader, writer


async def leave(up: Running, body: bytes, after: bytes | None) -> None:
    """Ask, wait for some bytes of the answer (or until the request is under way), and go away."""
    reader, writer = await begin(up, body)
    if after is not None:
        async with asyncio.timeout(LIMIT_S):
            await reader.readuntil(after)
    else:
        await until(lambda: any(tally.in_flight for tally in up.hub.activity.tallies))
    writer.close()


class Slow(OpenAIProvider):
    """Loads as long as the test wants."""

    gate: asyncio.Event

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        if progress is not None:
            progress(0.4)
        await self.gate.wait()
        return await super().load(model, options)


async def test_while_a_model_loads_a_stream_gets_signs_of_life_and_then_its_answer(
    upstream: FakeOpenAI, tmp_path: Path
) -> None:
    provider = Slow.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
    assert isinstance(provider, Slow)
    provider.gate = asyncio.Event()
    async with running([provider], tmp_path, GatewaySettings(port=0, heartbeat_s=0.01)) as up:
        reader, writer = await begin(up, json.dumps(chat(stream=True)).encode())
        async with asyncio.timeout(LIMIT_S):
            before = await reader.readuntil(b": loading model 40%")
            provider.gate.set()
            rest = await reader.readuntil(b"data: [DONE]\n\n")
        writer.close()
    assert before.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.index(b"data: ") < rest.index(b"[DONE]")


async def test_an_error_after_a_sign_of_life_is_an_event(upstream: FakeOpenAI, tmp_path: Path) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(answer(b'{"error":{"message":"no","code":400}}', status="400 Bad Request"))

    upstream.models = [{"id": "m"}]
    async with ByteServer(late) as server:
        provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
        async with running(
            [Elsewhere(provider, server.url)], tmp_path, GatewaySettings(port=0, heartbeat_s=0.01)
        ) as up:
            got = await up.post(ROUTE, chat("m", stream=True))
    found = got.body.decode().split("\n\n")
    assert got.status == 200
    assert ": reading prompt" in found
    assert json.loads(found[-2].removeprefix("data: "))["error"]["code"] == "provider_refused"


async def test_how_far_the_prompt_is_read_is_told_to_who_waits_and_is_no_part_of_the_answer(
    upstream: FakeOpenAI, tmp_path: Path
) -> None:
    read = asyncio.Event()
    asked: list[dict[str, object]] = []

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await read_request(reader)
        asked.append(json.loads(body))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        writer.write(piece(prompt_progress={"total": 200, "processed": 50}))
        await read.wait()
        writer.write(piece("Hi") + piece(None, "stop") + b"data: [DONE]\n\n")
        writer.close()

    def piece(text: str | None = None, reason: str | None = None, **more: object) -> bytes:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
        return b"data: " + json.dumps({"choices": [choice], **more}).encode() + b"\n\n"

    upstream.models = [{"id": "m"}]
    settings = GatewaySettings(port=0, heartbeat_s=0.01)
    async with ByteServer(slowly) as server:
        provider = Measured.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
        assert isinstance(provider, Measured)
        async with running([Elsewhere(provider, server.url)], tmp_path, settings) as up:
            long = {"role": "user", "content": "word " * 1000}
            reader, writer = await begin(up, json.dumps(chat("m", messages=[long], stream=True)).encode())
            async with asyncio.timeout(LIMIT_S):
                await reader.readuntil(b": reading prompt 25%")
                read.set()
                rest = await reader.readuntil(b"data: [DONE]\n\n")
            writer.close()
    assert asked[0]["return_progress"] is True
    assert b"prompt_progress" not in rest
    assert b'"Hi"' in rest


@pytest.mark.parametrize("stream", [False, True])
async def test_who_came_late_learns_how_many_were_before_him(
    upstream: FakeOpenAI, provider: OpenAIProvider, tmp_path: Path, stream: bool
) -> None:
    gate = asyncio.Event()

    class OneAtATime(Elsewhere):
        async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
            return replace(await super().load(model, options, progress), slots=1)

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await gate.wait()
        choice = {"index": 0, "message": {"content": "Hi"}, "delta": {"content": "Hi"}, "finish_reason": "stop"}
        body = json.dumps({"choices": [choice]}).encode()
        events = b"data: " + body + b"\n\ndata: [DONE]\n\n"
        writer.write(answer(events, "content-type: text/event-stream") if stream else answer(body))
        writer.close()

    async with (
        ByteServer(answers) as server,
        running([OneAtATime(provider, server.url)], tmp_path) as up,
        asyncio.TaskGroup() as group,
    ):
        asking = [group.create_task(up.post(ROUTE, chat(stream=stream)))]
        await until(lambda: any(tally.in_flight for tally in up.hub.activity.tallies))
        for number in (1, 2):
            asking.append(group.create_task(up.post(ROUTE, chat(stream=stream))))
            await until(lambda: [s.waiting for s in up.hub._leases.states()] == [number])  # noqa: B023
        gate.set()
    told = [task.result() for task in asking]
    assert [got.status for got in told] == [200] * 3
    assert [got.headers.get("x-lmbridge-queued") for got in told] == [None, None, "1"]


class Measured(OpenAIProvider):
    """A server that tells how far it has read a prompt."""

    manifest = replace(OpenAIProvider.manifest, tells_reading=True)


class Elsewhere:
    """Another provider whose instances answer at another URL."""

    def __init__(self, inner: OpenAIProvider, url: str, also: tuple[str, ...] = ()) -> None:
        self._inner, self._url, self._also = inner, url, also

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        return Instance("only", model, Endpoint(self._url, (), model.id, self._also, keep_alive=False))


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_by_another_model_is_an_error(
    provider: OpenAIProvider, tmp_path: Path, stream: bool
) -> None:
    said = {"model": "another", "choices": [{"index": 0, "delta": {"content": "x"}, "message": {"content": "x"}}]}
    body = json.dumps(said).encode()
    reply = answer(b"data: " + body + b"\n\n", "content-type: text/event-stream") if stream else answer(body)
    async with ByteServer(always(reply)) as server:
        for also in (("fake-chat:2",), ("another",), ()):
            folder = tmp_path / str(len(also))
            async with running([Elsewhere(provider, server.url, also)], folder) as up:
                got = await up.post(ROUTE, chat(stream=stream))
            assert (got.status == 502 and got.code == "wrong_model") == (also == ("fake-chat:2",))


async def test_vectors_are_in_base64_for_who_asks_so_whatever_the_provider_sends(
    provider: OpenAIProvider, tmp_path: Path
) -> None:
    ask: dict[str, object] = {"model": "fake-embed", "input": "x"}
    for vector, code in (("[0.5]", None), ("[1e300]", "broken_answer")):
        body = b'{"data": [{"embedding": %s}]}' % vector.encode()
        async with (
            ByteServer(always(answer(body))) as server,
            running([Elsewhere(provider, server.url)], tmp_path) as up,
        ):
            plain = await up.post("/v1/embeddings", ask)
            packed = await up.post("/v1/embeddings", {**ask, "encoding_format": "base64"})
        assert plain.body == body
        if code is None:
            assert packed.json["data"] == [{"embedding": "AAAAPw=="}]
        else:
            assert packed.code == code


async def test_a_provider_that_is_gone_is_unavailable(upstream: FakeOpenAI, tmp_path: Path) -> None:
    provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
    async with running([Elsewhere(provider, "http://127.0.0.1:9")], tmp_path) as up:
        got = await up.post(ROUTE, chat())
    assert (got.status, got.code) == (503, "provider_unavailable")
    assert got.headers["retry-after"]


@pytest.mark.parametrize(("fault", "setting"), [("mute", "first_byte_timeout"), ("silent", "idle_timeout")])
async def test_a_provider_may_be_silent_for_as_long_as_its_settings_say(
    upstream: FakeOpenAI, tmp_path: Path, fault: str, setting: str
) -> None:
    upstream.models = [{"id": f"fault:{fault}"}]
    settings = {"url": upstream.url, setting: 0.05}
    provider = OpenAIProvider.create(settings, ProviderContext(tmp_path, "fake"))
    async with running([provider], tmp_path) as up:
        got = await up.post(ROUTE, chat(f"fault:{fault}", stream=fault == "silent"))
    assert b'"code":"provider_timeout"' in got.body
    assert got.status == (504 if fault == "mute" else 200)


def events_of(*pieces: bytes) -> bytes:
    """A stream that ends with its connection."""
    return answer(b"".join(pieces), "content-type: text/event-stream")


SAYS = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}'


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices":[]}', b'{"usage":{"prompt_tokens":"many"}}'])
async def test_an_answer_that_is_none_is_an_error(provider: OpenAIProvider, tmp_path: Path, body: bytes) -> None:
    async with (
        ByteServer(always(answer(body, "content-type: application/json"))) as server,
        running([Elsewhere(provider, server.url)], tmp_path) as up,
    ):
        got = await up.post(ROUTE, chat())
    assert (got.status, got.code) == (502, "broken_answer")


@pytest.mark.parametrize(
    ("sent", "ends"),
    [
        (SAYS + b"\n\ndata: [DONE]\n\n", b"data: [DONE]\n\n"),
        (SAYS + b"\r\n\r\ndata: [DONE]\r\n\r\n", b"data: [DONE]\r\n\r\n"),
        (SAYS + b"\n\ndata:[DONE]\n\n", b"data:[DONE]\n\n"),
        (SAYS + b"\n\ndata:[DONE]\n", b"data: [DONE]\n\n"),
        (b": ping\n\n" + SAYS + b"\n\ndata: [DONE]\n\n", b"data: [DONE]\n\n"),
    ],
)
async def test_streams_pass_in_every_form_that_servers_write_them(
    provider: OpenAIProvider, tmp_path: Path, sent: bytes, ends: bytes
) -> None:
    async with (
        ByteServer(always(events_of(sent))) as server,
        running([Elsewhere(provider, server.url)], tmp_path) as up,
    ):
        got = await up.post(ROUTE, chat(stream=True))
    assert got.body.endswith(ends)
    assert got.body.count(b"[DONE]") == 1
    assert SAYS in got.body


@pytest.mark.parametrize("sent", [b"", b": ping\n\n", b"data: [DONE]", SAYS[:40]])
async def test_a_stream_without_an_answer_is_an_error_with_its_status(
    provider: OpenAIProvider, tmp_path: Path, sent: bytes
) -> None:
    async with (
        ByteServer(always(events_of(sent))) as server,
        running([Elsewhere(provider, server.url)], tmp_path) as up,
    ):
        got = await up.post(ROUTE, chat(stream=True))
    assert (got.status, got.code) == (502, "broken_answer")


async def test_what_came_before_an_error_is_passed_on(provider: OpenAIProvider, tmp_path: Path) -> None:
    broken = b'error: {"error":{"message":"no more","code":500}}\n\n'
    async with (
        ByteServer(always(events_of(SAYS, b"\n\n", broken))) as server,
        running([Elsewhere(provider, server.url)], tmp_path) as up,
    ):
        got = await up.post(ROUTE, chat(stream=True))
    assert got.body.startswith(SAYS + b"\n\n")
    assert json.loads(events(got.body)[-1])["error"]["message"] == "no more"
