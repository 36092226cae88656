"""The official `anthropic` package against the gateway and the real engine, with the built-in model.

Where an answer has to go on for ever, a model of random weights gives it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import anthropic
import pytest
from anthropic.types import MessageParam, ToolParam, ToolUseBlock
from pydantic import BaseModel
from tests.doors.gateway.asking import Running, running, until
from tests.fakes.gguf_files import chat_model, embedding_model, vision_model
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.core.provider import ProviderContext
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.providers.embedded import EmbeddedProvider

T = TypeVar("T")
TINY = "lmbridge-tiny"
GREEDY = {"temperature": 0}  # the package has no word for it any more, servers do
ABOUT: list[MessageParam] = [{"role": "user", "content": "What is lmbridge?"}]
PARIS: list[MessageParam] = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
# As Qwen's newer templates are.
STRICT = (
    "{% for m in messages %}{% if m.role == 'system' and not loop.first %}"
    "{{ raise_exception('System message must be at the beginning.') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PICTURE: list[MessageParam] = [
    {
        "role": "user",
        "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            {"type": "text", "text": "What is it?"},
        ],
    }
]


@pytest.fixture(scope="module")
async def engine_door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    chat_model(home / "models" / "random-chat.gguf")
    chat_model(home / "models" / "random-strict.gguf", template=STRICT)
    chat_model(home / "models" / "random-small.gguf")
    embedding_model(home / "models" / "random-embed.gguf")
    (home / "models" / "vision").mkdir()
    vision_model(home / "models" / "vision")
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(home, "embedded"))
    async with running([provider], home) as up:
        yield up


@pytest.fixture(scope="module")
async def client(engine_door: Running) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=engine_door.url, api_key="none", max_retries=0, timeout=60
    ) as one:
        yield one


@pytest.fixture(scope="module")
def sync(engine_door: Running) -> Callable[[Callable[[anthropic.Anthropic], T]], object]:
    """Runs something with the blocking client in a thread, as the gateway lives on this one's loop."""

    def use(work: Callable[[anthropic.Anthropic], T]) -> T:
        with anthropic.Anthropic(base_url=engine_door.url, api_key="none", max_retries=0, timeout=60) as one:
            return work(one)

    async def run(work: Callable[[anthropic.Anthropic], T]) -> T:
        return await asyncio.to_thread(use, work)

    return run


async def test_models_are_listed_and_retrieved(client: anthropic.AsyncAnthropic) -> None:
    listed = [model.id async for model in client.models.list()]
    assert {TINY, "random-chat"} <= set(listed)
    assert "random-embed" not in listed
    one = await client.models.retrieve(TINY)
    assert (one.display_name, one.max_input_tokens) == (TINY, 2048)


async def test_the_context_of_a_model_is_the_one_it_is_loaded_with(
    client: anthropic.AsyncAnthropic, engine_door: Running
) -> None:
    await engine_door.hub.load("random-small", LoadOptions(context_length=512))
    assert (await client.models.retrieve("random-small")).max_input_tokens == 512
    assert {m.id: m.max_input_tokens async for m in client.models.list()}["random-small"] == 512


async def test_a_message_is_answered(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(model=TINY, max_tokens=200, messages=ABOUT, extra_body=GREEDY)
    (block,) = answer.content
    assert block.type == "text"
    assert "computer" in block.text
    assert (answer.stop_reason, answer.model, answer.role) == ("end_turn", TINY, "assistant")
    assert answer.usage.output_tokens > 20
    assert answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0) == 12


async def test_a_message_is_streamed_and_adds_up_to_the_same(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(model=TINY, max_tokens=200, messages=ABOUT, extra_body=GREEDY) as stream:
        words = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert len(words) > 20
    assert final.content[0].type == "text"
    assert final.content[0].text == "".join(words)
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens >= len(words)
    assert final.usage.input_tokens + (final.usage.cache_read_input_tokens or 0) == 12


async def test_the_tokens_of_the_prompt_are_told_at_the_start_of_a_stream(
    client: anthropic.AsyncAnthropic,
) -> None:
    for _ in range(2):  # the second time from the engine's cache
        stream = await client.messages.create(model=TINY, max_tokens=9, messages=ABOUT, stream=True)
        starts = [event.message.usage async for event in stream if event.type == "message_start"]
        assert [usage.input_tokens for usage in starts] == [12]


async def test_the_blocking_client_is_answered_and_streamed_to(sync) -> None:
    def work(client: anthropic.Anthropic) -> tuple[str, str]:
        whole = client.messages.create(model=TINY, max_tokens=20, messages=ABOUT, extra_body=GREEDY)
        with client.messages.stream(model=TINY, max_tokens=20, messages=ABOUT, extra_body=GREEDY) as stream:
            return getattr(whole.content[0], "text", ""), stream.get_final_text()

    whole, streamed = await sync(work)
    assert whole == streamed
    assert whole


async def test_the_beta_client_is_answered(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.beta.messages.create(
        model=TINY, max_tokens=200, messages=ABOUT, extra_body=GREEDY, betas=["context-management-2025-06-27"]
    )
    assert answer.content[0].type == "text"


async def test_a_limit_of_tokens_is_kept_and_told(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(model=TINY, max_tokens=5, messages=ABOUT)
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 5)


async def test_a_stop_text_ends_the_answer(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(
        model=TINY, max_tokens=200, messages=ABOUT, stop_sequences=[" models"], extra_body=GREEDY
    )
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "lmbridge makes the language"
    assert answer.stop_reason == "end_turn"


async def test_a_system_prompt_reaches_the_model(client: anthropic.AsyncAnthropic) -> None:
    plain = await client.messages.count_tokens(model=TINY, messages=ABOUT)
    told = await client.messages.count_tokens(
        model=TINY, messages=ABOUT, system=[{"type": "text", "text": "Be brief."}]
    )
    answer = await client.messages.create(model=TINY, max_tokens=9, messages=ABOUT, system="Be brief.")
    usage = answer.usage
    assert plain.input_tokens < told.input_tokens
    assert told.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)


async def test_instructions_amid_the_turns_suit_templates_that_know_them_at_the_beginning_only(
    client: anthropic.AsyncAnthropic,
) -> None:
    answer = await client.messages.create(
        model="random-strict",
        max_tokens=3,
        system="Be brief.",
        messages=[*ABOUT, {"role": "system", "content": "These agents are there: none."}],
    )
    assert answer.usage.output_tokens == 3


async def test_a_turn_that_was_begun_is_continued(client: anthropic.AsyncAnthropic) -> None:
    begun: list[MessageParam] = [*ABOUT, {"role": "assistant", "content": "lmbridge makes the"}]
    answer = await client.messages.create(model=TINY, max_tokens=20, messages=begun, extra_body=GREEDY)
    async with client.messages.stream(model=TINY, max_tokens=20, messages=begun, extra_body=GREEDY) as stream:
        streamed = await stream.get_final_text()
    assert answer.content[0].type == "text"
    assert answer.content[0].text == streamed
    assert streamed.startswith(" language models")


# ---- tools


async def test_a_tool_is_called_and_its_result_is_used(client: anthropic.AsyncAnthropic) -> None:
    asked = await client.messages.create(
        model=TINY, max_tokens=200, messages=PARIS, tools=[WEATHER], extra_body=GREEDY
    )
    assert asked.stop_reason == "tool_use"
    call = asked.content[-1]
    assert isinstance(call, ToolUseBlock)
    assert (call.name, call.input) == ("get_weather", {"city": "Paris"})
    assert call.id.startswith("toolu_")
    answer = await client.messages.create(
        model=TINY,
        max_tokens=200,
        tools=[WEATHER],
        extra_body=GREEDY,
        messages=[
            *PARIS,
            asked.to_param(),
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees and sunny"}],
            },
        ],
    )
    assert answer.stop_reason == "end_turn"
    assert answer.content[0].type == "text"
    assert "18 degrees" in answer.content[0].text


async def test_a_call_is_streamed(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(
        model=TINY, max_tokens=200, messages=PARIS, tools=[WEATHER], extra_body=GREEDY
    ) as stream:
        pieces = [event.partial_json async for event in stream if event.type == "input_json"]
        final = await stream.get_final_message()
    assert len(pieces) > 1
    call = final.content[-1]
    assert isinstance(call, ToolUseBlock)
    assert call.input == {"city": "Paris"}
    assert final.stop_reason == "tool_use"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
@pytest.mark.parametrize("model", [TINY, "random-chat"])
async def test_a_tool_that_must_be_called_is_called(
    client: anthropic.AsyncAnthropic, choice: dict[str, str], model: str
) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"]}
    answer = await client.messages.create(
        model=model,
        max_tokens=200,
        messages=ABOUT,
        tools=[{**WEATHER, "input_schema": {**schema, "additionalProperties": False}}],
        tool_choice={**choice, "disable_parallel_tool_use": True},  # type: ignore[arg-type]
    )
    (call,) = (block for block in answer.content if block.type == "tool_use")
    assert set(call.input) == {"city"}
    assert answer.stop_reason == "tool_use"


async def test_no_tool_is_called_where_none_may_be(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(
        model=TINY, max_tokens=200, messages=PARIS, tools=[WEATHER], tool_choice={"type": "none"}
    )
    assert [block.type for block in answer.content] == ["text"]


@anthropic.beta_async_tool
async def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: its name
    """
    return f"18 degrees and sunny in {city}"


async def test_the_packages_tool_runner_runs_tools(client: anthropic.AsyncAnthropic) -> None:
    whole = client.beta.messages.tool_runner(
        model=TINY, max_tokens=200, messages=PARIS, tools=[get_weather], extra_body=GREEDY
    )
    answer = await whole.until_done()
    assert answer.content[0].type == "text"
    assert "18 degrees" in answer.content[0].text
    streamed = client.beta.messages.tool_runner(
        model=TINY, max_tokens=200, messages=PARIS, tools=[get_weather], extra_body=GREEDY, stream=True
    )
    reasons = [(await stream.get_final_message()).stop_reason async for stream in streamed]
    assert reasons == ["tool_use", "end_turn"]


# ---- the shape of the answer


class Size(BaseModel):
    large: bool


async def test_an_answer_is_parsed_into_a_model_of_pydantic(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.parse(model=TINY, max_tokens=200, messages=ABOUT, output_format=Size)
    assert isinstance(answer.parsed_output, Size)
    async with client.messages.stream(model=TINY, max_tokens=200, messages=ABOUT, output_format=Size) as stream:
        final = await stream.get_final_message()
    assert isinstance(final.parsed_output, Size)


# ---- pictures


async def test_a_model_that_cannot_see_refuses_pictures(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="cannot see"):
        await client.messages.create(model=TINY, max_tokens=9, messages=PICTURE)


async def test_a_model_that_can_see_takes_pictures(client: anthropic.AsyncAnthropic) -> None:
    (name,) = [model.id async for model in client.models.list() if "vision" in model.id]
    answer = await client.messages.create(model=name, max_tokens=3, messages=PICTURE)
    assert answer.usage.output_tokens == 3


# ---- errors


async def test_errors_are_of_the_packages_own_classes(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="lmbridge ls") as missing:
        await client.messages.create(model="claude-of-somebody", max_tokens=9, messages=ABOUT)
    assert (missing.value.type, missing.value.error_code) == ("not_found_error", "model_not_found")
    with pytest.raises(anthropic.BadRequestError, match="made_up") as unknown:
        await client.messages.create(model=TINY, max_tokens=9, messages=ABOUT, extra_body={"made_up": 1})
    assert unknown.value.type == "invalid_request_error"
    with pytest.raises(anthropic.BadRequestError, match="random-embed"):
        await client.messages.create(model="random-embed", max_tokens=9, messages=ABOUT)


async def test_a_tool_of_anthropics_own_is_refused_by_its_kind(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="web_search_20250305"):
        await client.messages.create(
            model=TINY,
            max_tokens=9,
            messages=ABOUT,
            tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 1}],
        )


@pytest.mark.parametrize("stream", [False, True])
async def test_too_long_a_prompt_is_told_in_anthropics_words(
    client: anthropic.AsyncAnthropic, stream: bool
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > \d+ maximum"):
        await client.messages.create(
            model=TINY, max_tokens=9, messages=[{"role": "user", "content": "x " * 9000}], stream=stream
        )


# ---- time


async def test_leaving_a_stream_frees_the_engine(client: anthropic.AsyncAnthropic, engine_door: Running) -> None:
    async with client.messages.stream(model="random-chat", max_tokens=1900, messages=ABOUT) as stream:
        await anext(aiter(stream.text_stream))
    await until(lambda: not any(tally.in_flight for tally in engine_door.hub.activity.tallies))
    assert not any(state.leases for state in await engine_door.hub.instances())


async def test_while_a_model_loads_the_package_waits_without_noticing(tmp_path: Path) -> None:
    provider = ScriptedProvider([ModelInfo("slow", "scripted")])
    provider.gate.clear()
    async with (
        running([provider], tmp_path, GatewaySettings(port=0, heartbeat_s=0.01)) as up,
        anthropic.AsyncAnthropic(base_url=up.url, api_key="none", max_retries=0, timeout=20) as client,
    ):
        # The answer's head comes with the first sign of life, and nothing else is said while the model loads.
        events = await client.messages.create(model="slow", max_tokens=9, messages=ABOUT, stream=True)
        provider.gate.set()
        kinds = [event.type async for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
