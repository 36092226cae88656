"""The client before the fake of Anthropic's API, and the official package before the same fake: its measure."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anthropic
import pytest
from msgspec.structs import replace
from tests.fakes.anthropic_server import FAULTS, FakeAnthropic, fake_anthropic

from lmbridge.clients.anthropic import VERSION, AnthropicClient, headers
from lmbridge.clients.http import HTTPClient
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ContextExceeded,
    InvalidRequest,
    ModelNotFound,
    ProviderNeedsKey,
    ProviderRefused,
    ProviderTimeout,
)
from lmbridge.core.events import Answer, AnswerBuilder, Started, TextDelta, Usage
from lmbridge.core.messages import ImagePart, Message, TextPart, Tool
from lmbridge.core.models import Endpoint
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling, Schema
from lmbridge.wire.anthropic.asking.models import Abilities

HELLO = ChatRequest("", "hello world")
TOOLS = (Tool("one", "First.", {"properties": {"text": {"type": "string"}}}), Tool("two"))
SHAPE = Schema({"type": "object", "properties": {"answer": {"type": "string"}}})
OLDER = Abilities(64_000, (), enabled=True, disabled=True, structured=False)
NEWER = Abilities(64_000, ("low", "high"), adaptive=True, disabled=True, structured=True)


@pytest.fixture
async def server() -> AsyncIterator[FakeAnthropic]:
    async with fake_anthropic(key="sesame") as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[AnthropicClient]:
    async with HTTPClient(idle_timeout=0.3, first_byte_timeout=5) as http:
        yield AnthropicClient(http, "p")


def at(server: FakeAnthropic, model: str = "fake-claude", key: str = "sesame") -> Endpoint:
    return Endpoint(f"{server.url}/v1", headers(key), model, language="anthropic")


async def answered(
    client: AnthropicClient, endpoint: Endpoint, request: ChatRequest = HELLO, can: Abilities = Abilities()
) -> Answer:
    builder = AnswerBuilder()
    async with client.chat(endpoint, request, can) as events:
        async for event in events:
            builder.feed(event)
    return builder.close()


# ---- the client


async def test_a_streamed_answer_comes_as_events(server: FakeAnthropic, client: AnthropicClient) -> None:
    async with client.chat(at(server), HELLO) as stream:
        events = [event async for event in stream]
    assert events[0] == Started("p", "fake-claude", 7)
    assert events[1:-1] == [TextDelta(f"{word} ") for word in ("You", "said:", "hello", "world")]
    assert server.headers["anthropic-version"] == VERSION
    assert server.headers["x-api-key"] == "sesame"
    assert "authorization" not in server.headers


async def test_an_answer_tells_what_it_cost_and_why_it_ended(
    server: FakeAnthropic, client: AnthropicClient
) -> None:
    answer = await answered(client, at(server), replace(HELLO, sampling=Sampling(max_tokens=2)))
    assert (answer.text, answer.finish.reason, answer.usage) == ("You said: ", "length", Usage(7, 2, 2))


async def test_a_conversation_with_everything_in_it_is_one_that_the_api_takes(
    server: FakeAnthropic, client: AnthropicClient
) -> None:
    first = await answered(client, at(server), ChatRequest("", "both", TOOLS))
    assert [call.name for call in first.tool_calls] == ["one", "two"]
    turns = (
        Message("system", "Be brief."),
        Message("user", (TextPart("both"), ImagePart("data:image/png;base64,iVBORw0KGgo="))),
        replace(first.message, reasoning="Hm."),
        *(Message("tool", call.name, tool_call_id=call.id) for call in first.tool_calls),
        Message("user", "no tool"),
        Message("system", "Be quick."),
    )
    answer = await answered(client, at(server), ChatRequest("", turns, TOOLS), NEWER)
    assert answer.text or answer.tool_calls


@pytest.mark.parametrize("can", [OLDER, NEWER])
async def test_thoughts_are_apart(server: FakeAnthropic, client: AnthropicClient, can: Abilities) -> None:
    answer = await answered(client, at(server), replace(HELLO, reasoning_effort="high"), can)
    assert (answer.message.reasoning, answer.text) == ("Let me think. ", "You said: hello world ")


@pytest.mark.parametrize("can", [OLDER, NEWER])
@pytest.mark.parametrize("effort", [None, "low"])
async def test_a_loop_of_tools_goes_on_with_and_without_thoughts(
    server: FakeAnthropic, client: AnthropicClient, can: Abilities, effort: str | None
) -> None:
    chat = ChatRequest("", (Message("user", "bare"),), TOOLS, reasoning_effort=effort)
    first = await answered(client, at(server), chat, can)
    (call,) = first.tool_calls
    assert (call.name, call.arguments, first.finish.reason) == ("one", "{}", "tool_calls")
    result = Message("tool", "no tool", tool_call_id=call.id)
    second = await answered(client, at(server), chat.with_messages([*chat.turns, first.message, result]), can)
    assert second.text == "You said: no tool "


async def test_which_tool_is_called_can_be_chosen(server: FakeAnthropic, client: AnthropicClient) -> None:
    named = await answered(client, at(server), replace(HELLO, tools=TOOLS, tool_choice=NamedTool("two")), NEWER)
    none = await answered(client, at(server), replace(HELLO, tools=TOOLS, tool_choice="none"))
    assert [call.name for call in named.tool_calls] == ["two"]
    assert none.text == "You said: hello world "


@pytest.mark.parametrize("can", [OLDER, NEWER])
@pytest.mark.parametrize("tools", [(), TOOLS])
async def test_an_answer_has_its_shape_whatever_the_model_can(
    server: FakeAnthropic, client: AnthropicClient, can: Abilities, tools: tuple[Tool, ...]
) -> None:
    words = "no tool, answer" if can is NEWER else "answer"
    answer = await answered(client, at(server), ChatRequest("", words, tools, schema=SHAPE), can)
    assert (answer.text, answer.tool_calls, answer.finish.reason) == ('{"answer": "yes"}', (), "stop")


async def test_a_whole_answer_to_a_streamed_request_is_read_too(
    server: FakeAnthropic, client: AnthropicClient
) -> None:
    assert (await answered(client, at(server, "fault:unstreamed"))).text == "You said: hello world "


async def test_tokens_are_counted(server: FakeAnthropic, client: AnthropicClient) -> None:
    assert await client.count(at(server), replace(HELLO, tools=TOOLS)) == 7


async def test_all_pages_of_models_are_read(server: FakeAnthropic, client: AnthropicClient) -> None:
    assert [model.id for model in await client.models(at(server))] == ["fake-claude", "fake-older", "fake-retired"]
    assert len(server.requests) == 2


async def test_a_list_of_models_without_an_end_is_broken(server: FakeAnthropic, client: AnthropicClient) -> None:
    server.models = {"data": [], "has_more": True, "last_id": "a&b=c"}
    with pytest.raises(BrokenAnswer, match="no end"):
        await client.models(at(server))
    assert server.requests[-1][0] == "GET /v1/models?limit=1000&after_id=a%26b%3Dc"


async def test_what_json_cannot_hold_is_refused_before_it_is_sent(
    server: FakeAnthropic, client: AnthropicClient
) -> None:
    with pytest.raises(InvalidRequest, match="cannot be written as JSON"):
        client.chat(at(server), replace(HELLO, extra={"metadata": object()}))
    assert server.requests == []


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ("401", ProviderNeedsKey, 401),
        ("403", ProviderNeedsKey, 403),
        ("404", ModelNotFound, None),
        ("413", ProviderRefused, 413),
        ("429", ProviderRefused, 429),
        ("500", ProviderRefused, 500),
        ("529", ProviderRefused, 503),
        ("context", ContextExceeded, None),
        ("error-event", ProviderRefused, 503),
        ("silent", ProviderTimeout, None),
        *(
            (name, BrokenAnswer, None)
            for name in ("cut", "reset", "torn", "half-letter", "garbage", "wrong-types")
        ),
        *((name, BrokenAnswer, None) for name in ("no-stop", "no-reason", "hangup")),
    ],
)
async def test_what_goes_wrong_is_an_error_that_says_so(
    server: FakeAnthropic, client: AnthropicClient, fault: str, error: type[BridgeError], status: int | None
) -> None:
    assert fault in FAULTS
    with pytest.raises(error) as caught:
        await answered(client, at(server, f"fault:{fault}"))
    assert getattr(caught.value, "status", None) == status
    assert "sesame" not in str(caught.value)


async def test_who_leaves_an_answer_ends_the_work(server: FakeAnthropic, client: AnthropicClient) -> None:
    async with client.chat(at(server, "fault:silent"), HELLO) as events:
        assert isinstance(await anext(events), Started)
    await server.server.all_ended()


def test_without_a_key_none_is_sent() -> None:
    assert headers("") == headers(None) == (("anthropic-version", VERSION),)


# ---- the fake, as the official package sees it


@pytest.fixture
async def official(server: FakeAnthropic) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="sesame", max_retries=0) as one:
        yield one


MESSAGES = [{"role": "user", "content": "hello"}]
TOOL = {"name": "one", "input_schema": {"type": "object"}}


async def test_the_fake_answers_anthropic_s_package_whole_and_streamed(official: anthropic.AsyncAnthropic) -> None:
    whole = await official.messages.create(model="fake-claude", max_tokens=9, messages=MESSAGES)  # type: ignore[arg-type]
    async with official.messages.stream(model="fake-claude", max_tokens=9, messages=MESSAGES) as stream:  # type: ignore[arg-type]
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert [block.text for block in whole.content if block.type == "text"] == ["You said: hello "]
    assert "".join(texts) == "You said: hello "
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 3)


async def test_the_fake_calls_and_thinks_for_anthropic_s_package(official: anthropic.AsyncAnthropic) -> None:
    async with official.messages.stream(
        model="fake-claude",
        max_tokens=9,
        messages=MESSAGES,  # type: ignore[arg-type]
        tools=[TOOL],  # type: ignore[list-item]
        thinking={"type": "adaptive"},
    ) as stream:
        final = await stream.get_final_message()
    thought, call = final.content
    assert thought.type == "thinking"
    assert (thought.thinking, thought.signature) == ("Let me think. ", "signed")
    assert call.type == "tool_use"
    assert (call.input, final.stop_reason) == ({"text": "hello"}, "tool_use")


async def test_the_fake_lists_and_counts_for_anthropic_s_package(official: anthropic.AsyncAnthropic) -> None:
    models = [model async for model in official.models.list()]
    assert [model.id for model in models] == ["fake-claude", "fake-older", "fake-retired"]
    assert models[0].capabilities is not None
    assert models[0].capabilities.thinking.types.adaptive.supported
    counted = await official.messages.count_tokens(model="fake-claude", messages=MESSAGES)  # type: ignore[arg-type]
    assert counted.input_tokens == 6


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("fault:401", anthropic.AuthenticationError),
        ("fault:429", anthropic.RateLimitError),
        ("fault:529", anthropic.InternalServerError),
        ("fault:404", anthropic.NotFoundError),
        ("fault:error-event", anthropic.APIStatusError),
    ],
)
async def test_the_fake_s_faults_are_those_of_the_api(
    official: anthropic.AsyncAnthropic, model: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        async with official.messages.stream(model=model, max_tokens=9, messages=MESSAGES) as stream:  # type: ignore[arg-type]
            await stream.until_done()


async def test_the_fake_refuses_what_the_api_refuses(official: anthropic.AsyncAnthropic) -> None:
    bad = [{"role": "assistant", "content": "x"}]
    with pytest.raises(anthropic.BadRequestError, match="first message must use"):
        await official.messages.create(model="fake-claude", max_tokens=9, messages=bad)  # type: ignore[arg-type]
