from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from tests.clients.lmstudio.conftest import NOMIC, QWEN, THINKER, client_of
from tests.fakes.byte_server import ByteServer, answer, read_request
from tests.fakes.lmstudio import FakeLMStudio

from lmbridge.clients.lmstudio import LMStudioClient, LMStudioSettings, Loading, Reading, ToolRun
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ContextExceeded,
    EngineCrashed,
    InvalidRequest,
    ModelNotFound,
    ProviderTimeout,
    RouteNotFound,
    UnsupportedParameter,
    WrongModel,
    WrongModelKind,
)
from lmbridge.core.events import Event, Finished, ReasoningDelta, Started, TextDelta
from lmbridge.core.messages import ImagePart, Message, TextPart, Tool
from lmbridge.core.requests import ChatRequest, EmbedRequest, NamedTool, Sampling, Schema

CHAT = "POST /v1/chat/completions"
HELLO = ChatRequest(QWEN, "hello world")


async def events_of(client: LMStudioClient, request: ChatRequest = HELLO) -> list[Event]:
    async with client.chat(request) as events:
        return [event async for event in events]


def sent(fake: FakeLMStudio, route: str = CHAT) -> dict[str, object]:
    """The body of the last request to a route."""
    return next(request.fields for request in reversed(fake.requests) if request.route == route)


async def test_an_answer_comes_in_pieces_and_says_who_gave_it(client: LMStudioClient, fake: FakeLMStudio) -> None:
    first, *words, last = await events_of(client)
    assert first == Started("lmstudio", QWEN)
    assert "".join(event.text for event in words if isinstance(event, TextDelta)) == "You said: hello world "
    assert isinstance(last, Finished)
    assert (last.reason, last.usage is not None) == ("stop", True)
    whole = await client.answer(HELLO)
    assert (whole.text, whole.model, whole.provider) == ("You said: hello world ", QWEN, "lmstudio")


async def test_a_name_is_sent_as_lm_studio_calls_the_model(client: LMStudioClient, fake: FakeLMStudio) -> None:
    await client.answer(ChatRequest("QWEN3-4b-2507", "hi"))
    assert sent(fake)["model"] == QWEN
    fake.hold(THINKER, identifier="mine")
    assert (await client.answer(ChatRequest("mine", "hi"))).model == "mine"
    assert (await client.answer(ChatRequest(THINKER, "hi"))).model == "mine"


async def test_thoughts_come_apart_from_the_answer_wherever_they_are(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    for separate in (True, False):
        fake.separate_reasoning = separate
        answer = await client.answer(ChatRequest(THINKER, "hello"))
        assert answer.message.reasoning
        assert "think" not in answer.text
        assert answer.text == "You said: hello "


async def test_what_lm_studio_misunderstands_is_put_right(client: LMStudioClient, fake: FakeLMStudio) -> None:
    request = ChatRequest(
        QWEN,
        (Message("user", "hello"), Message("assistant", None), Message("user", "again")),
        tools=(Tool("add"), Tool("sub")),
        tool_choice=NamedTool("add"),
        schema=Schema(),
        sampling=Sampling(max_tokens=20),
        extra={"ttl": 300, "draft_model": "tiny"},
    )
    await client.answer(request)
    body = sent(fake)
    assert body["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in body["tools"]] == ["add"]  # type: ignore[attr-defined,index]
    assert body["messages"][1]["content"] == ""  # type: ignore[index]
    assert body["response_format"]["type"] == "json_schema"  # type: ignore[index]
    assert (body["ttl"], body["draft_model"], body["max_tokens"]) == (300, "tiny", 20)


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest(QWEN, "hi", sampling=Sampling(logprobs=0)),
        ChatRequest(QWEN, "hi", extra={"n": 2}),
        ChatRequest(QWEN, (Message("user", (ImagePart("https://example.com/a.png"),)),)),
    ],
)
async def test_what_it_would_ignore_is_refused_before_it_is_asked(
    client: LMStudioClient, fake: FakeLMStudio, request_: ChatRequest
) -> None:
    with pytest.raises(InvalidRequest):
        await client.answer(request_)
    assert CHAT not in fake.routes


async def test_an_embedding_model_is_not_asked_to_chat(client: LMStudioClient, fake: FakeLMStudio) -> None:
    with pytest.raises(WrongModelKind):
        await client.answer(ChatRequest(NOMIC, "hi"))
    with pytest.raises(WrongModelKind):
        await client.embed(EmbedRequest(QWEN, ("hi",)))
    assert CHAT not in fake.routes


async def test_another_model_than_the_one_asked_is_an_error_at_the_first_event(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.inject("wrong-model", CHAT)
    async with client.chat(HELLO) as events:
        with pytest.raises(WrongModel) as raised:
            await anext(events)
    assert raised.value.asked == QWEN


async def test_an_instance_that_is_named_is_not_mistaken_for_another_of_its_model(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.hold(QWEN)
    fake.hold(QWEN, identifier="mine")
    await client.resolve(QWEN)
    fake.runtime.unload("mine")
    with pytest.raises(WrongModel, match="'mine' was asked"):
        await client.answer(ChatRequest("mine", "hi"))


async def test_an_instance_that_nobody_knew_of_may_answer_for_its_model(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    await client.resolve(QWEN)
    fake.hold(QWEN, identifier="new here")
    assert (await client.answer(HELLO)).model == "new here"


async def test_a_model_that_crashed_is_asked_once_more_if_it_is_there(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.hold(QWEN)
    fake.inject("crash", CHAT, times=1)
    assert (await client.answer(HELLO)).text == "You said: hello world "
    fake.inject("crash", CHAT, times=2)
    with pytest.raises(EngineCrashed):
        await client.answer(HELLO)
    assert fake.routes.count(CHAT) == 4
    fake.clear()
    fake.runtime.instances.clear()
    fake.inject("crash", CHAT, times=1)
    fake.inject("vanishes", "GET /api/v1/models")
    client.forget()


async def test_a_model_that_crashed_and_is_gone_is_not_asked_again(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.inject("crash", CHAT)
    await client.resolve(QWEN)
    with pytest.raises(EngineCrashed):
        await client.chat_at(client.endpoint(QWEN), HELLO).answer()
    with pytest.raises(EngineCrashed):
        await client.answer(HELLO)
    assert fake.routes.count(CHAT) <= 3


async def test_a_prompt_that_is_too_long_is_never_sent_again(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.fault = "overflow"
    asks: dict[str, Callable[[], object]] = {
        CHAT: lambda: client.answer(HELLO),
        "POST /v1/responses": lambda: client.respond(HELLO).answer(),
        "POST /api/v1/chat": lambda: client.native_chat("hi", model=QWEN).answer(),
        "POST /v1/embeddings": lambda: client.embed(EmbedRequest(NOMIC, ("hi",))),
    }
    for route, ask in asks.items():
        with pytest.raises(ContextExceeded):
            await ask()  # type: ignore[misc]
        assert fake.routes.count(route) == 1


async def test_nothing_is_sent_again_after_the_first_event(client: LMStudioClient, fake: FakeLMStudio) -> None:
    for fault in ("cut", "reset-mid", "error-event"):
        fake.requests.clear()
        fake.fault = fault
        with pytest.raises(BridgeError):
            await events_of(client)
        assert fake.routes.count(CHAT) == 1
        fake.fault = ""


async def test_silence_within_an_answer_has_a_limit_of_its_own(fake: FakeLMStudio) -> None:
    async with client_of(fake, idle_timeout=0.05, first_byte_timeout=None) as client:
        fake.inject("hang-mid", CHAT)
        with pytest.raises(ProviderTimeout, match="`idle_timeout`"):
            await client.answer(HELLO)
    async with client_of(fake, first_byte_timeout=0.05) as client:
        fake.clear()
        fake.inject("hang", CHAT)
        with pytest.raises(ProviderTimeout, match="`first_byte_timeout`"):
            await client.answer(HELLO)


async def test_leaving_an_answer_stops_it(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.pace = 0.01
    async with client.chat(ChatRequest(QWEN, "word " * 500)) as events:
        await anext(events)
    await fake.until(lambda: fake.left == 1)


async def test_an_answer_to_an_endpoint_looks_no_name_up(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.hold(QWEN)
    await client.check()
    fake.requests.clear()
    answer = await client.chat_at(client.endpoint(QWEN, ("other",)), HELLO).answer()
    assert answer.text == "You said: hello world "
    assert fake.routes == [CHAT]
    fake.inject("wrong-model", CHAT)
    with pytest.raises(WrongModel):
        await client.chat_at(client.endpoint(QWEN), HELLO).answer()


async def test_an_unknown_name_is_never_answered_by_what_is_loaded(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.hold(QWEN)
    with pytest.raises(ModelNotFound):
        await client.answer(ChatRequest("nobody/knows", "hi"))
    assert CHAT not in fake.routes


# ---- text, responses, native chat


async def test_a_text_is_continued(client: LMStudioClient, fake: FakeLMStudio) -> None:
    stream = client.complete(
        "Once upon", model=QWEN, sampling=Sampling(max_tokens=50, stop=("x",)), extra={"ttl": 9}
    )
    answer = await stream.answer()
    assert answer.text == "You said: Once upon "
    assert stream.response_id == ""
    body = sent(fake, "POST /v1/completions")
    assert (body["max_tokens"], body["stop"], body["ttl"]) == (50, ["x"], 9)
    with pytest.raises(UnsupportedParameter, match="logprobs"):
        await client.complete("a", model=QWEN, sampling=Sampling(logprobs=1)).answer()


async def test_a_response_can_be_gone_on_from(client: LMStudioClient, fake: FakeLMStudio) -> None:
    first = client.respond(HELLO)
    assert first.response_id == ""
    assert (await first.answer()).text == "You said: hello world "
    assert first.response_id.startswith("resp_")
    await client.respond(ChatRequest(QWEN, "more"), previous_response_id=first.response_id, store=False).answer()
    body = sent(fake, "POST /v1/responses")
    assert (body["previous_response_id"], body["store"]) == (first.response_id, False)
    with pytest.raises(UnsupportedParameter, match="ttl"):
        client.respond(ChatRequest(QWEN, "hi", extra={"ttl": 1}))


async def test_an_earlier_answer_that_is_not_known_is_asked_for_once_more_and_then_an_error(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    with pytest.raises(InvalidRequest, match="30 days"):
        await client.respond(HELLO, previous_response_id="resp_nobody").answer()
    assert fake.routes.count("POST /v1/responses") == 2


async def test_its_own_chat_tells_of_loading_and_reading(client: LMStudioClient, fake: FakeLMStudio) -> None:
    stream = client.native_chat(
        [TextPart("hello")],
        model=THINKER,
        system="Be brief.",
        sampling=Sampling(temperature=0.0),
        context_length=2048,
    )
    async with stream as events:
        heard = [event async for event in events]
    assert Loading(1.0, THINKER) in heard
    assert Reading(1.0) in heard
    assert any(isinstance(event, ReasoningDelta) for event in heard)
    assert isinstance(heard[-1], Finished)
    assert stream.response_id.startswith("resp_")
    body = sent(fake, "POST /api/v1/chat")
    assert (body["context_length"], body["system_prompt"]) == (2048, "Be brief.")
    answer = await client.native_chat("more", model=THINKER, previous_response_id=stream.response_id).answer()
    assert answer.message.reasoning


async def test_its_own_chat_runs_tools_by_itself(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.plugins = True
    async with client.native_chat("use a tool", model=QWEN, integrations=["mcp/files"]) as events:
        heard = [event async for event in events]
    assert [event.server for event in heard if isinstance(event, ToolRun)]


async def test_an_older_one_has_no_chat_of_its_own(old: FakeLMStudio) -> None:
    async with client_of(old) as client:
        with pytest.raises(RouteNotFound, match=r"0\.4\.0"):
            await client.native_chat("hi", model=QWEN).answer()
        assert (await client.answer(HELLO)).text == "You said: hello world "


# ---- vectors


async def test_vectors_come_in_the_order_of_the_texts_and_count_nothing(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    made = await client.embed(EmbedRequest("", ("one", "one two")))
    assert [vector[0] for vector in made.vectors] == [1.0, 2.0]
    assert (made.model, made.usage) == (NOMIC, None)
    with pytest.raises(InvalidRequest, match="no text"):
        await client.embed(EmbedRequest(NOMIC, ()))
    with pytest.raises(UnsupportedParameter, match="dimensions"):
        await client.embed(EmbedRequest(NOMIC, ("a",), dimensions=8))


async def test_vectors_are_asked_for_again_when_the_server_stumbles(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.inject("503", "POST /v1/embeddings", times=2)
    assert len((await client.embed(EmbedRequest(NOMIC, ("a",)))).vectors) == 1
    fake.inject("crash", "POST /v1/embeddings", times=1)
    assert len((await client.embed(EmbedRequest(NOMIC, ("a",)))).vectors) == 1
    fake.runtime.instances.clear()
    fake.inject("crash", "POST /v1/embeddings")
    with pytest.raises(EngineCrashed):
        await client.embed(EmbedRequest(NOMIC, ("a",)))


async def test_vectors_of_another_model_are_an_error(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.fault = "wrong-model"
    with pytest.raises(WrongModel):
        await client.embed(EmbedRequest(NOMIC, ("a",)))


# ---- what only a server of bytes can do


async def served(stream: bytes, content_type: str = "text/event-stream") -> list[Event] | BridgeError:
    """The events of a chat with these bytes, or what it raised."""
    listing = json.dumps({"models": [{"type": "llm", "key": "m", "loaded_instances": [{"id": "m"}]}]}).encode()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            if b"greeting" in head:
                writer.write(answer(b'{"lmstudio":true}'))
            elif head.startswith(b"GET"):
                writer.write(answer(listing))
            else:
                writer.write(answer(stream, f"content-type: {content_type}"))

    async with ByteServer(handle) as server, LMStudioClient(LMStudioSettings(server.url)) as client:
        try:
            return await events_of(client, ChatRequest("m", "hi", schema=Schema()))
        except BridgeError as error:
            return error


def chunk(reason: str | None = None, **delta: object) -> bytes:
    body = {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


async def test_json_that_landed_among_the_thoughts_is_the_answer() -> None:
    got = await served(chunk(reasoning_content='{"a":') + chunk(reasoning_content="1}") + chunk("stop") + DONE)
    assert isinstance(got, list)
    assert got[1:-1] == [TextDelta('{"a":1}')]


async def test_a_stream_with_another_label_is_a_stream_all_the_same() -> None:
    stream = chunk(content="Hi") + chunk("stop") + DONE
    for label in ("text/plain", "application/octet-stream", "application/json"):
        got = await served(b"\xef\xbb\xbf\n" + stream, label)
        assert isinstance(got, list)
        assert got[1] == TextDelta("Hi")


@pytest.mark.parametrize("stream", [b"", DONE, chunk(content="Hi"), chunk("stop") + DONE, b"<html>"])
async def test_an_answer_that_is_none_is_broken(stream: bytes) -> None:
    for label in ("text/event-stream", "text/html"):
        assert isinstance(await served(stream, label), BrokenAnswer)
