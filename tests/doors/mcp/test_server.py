"""Our tools and resources, asked by the official client: in both ways that hosts speak."""

from __future__ import annotations

import asyncio

import mcp_types as types
import pytest
from mcp import MCPError
from mcp.client.session import ClientRequestContext
from tests.doors.gateway.asking import until
from tests.doors.mcp.asking import MODES, connected, error_of, text_of
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.depth import META
from lmbridge.core.models import ModelInfo
from lmbridge.doors.mcp.offer import Offer
from lmbridge.doors.mcp.server import apart
from lmbridge.providers.openai import OpenAIProvider

modes = pytest.mark.parametrize("mode", MODES)
HELLO = {"prompt": "hello there"}


@modes
async def test_tools_are_listed_with_what_hosts_want_to_know(provider: OpenAIProvider, mode: str) -> None:
    async with connected([provider], mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {
        "chat",
        "complete",
        "embed",
        "list_models",
        "status",
        "load_model",
        "unload_model",
    }
    assert tools["chat"].annotations is not None
    assert tools["chat"].annotations.read_only_hint is True
    assert tools["unload_model"].annotations is not None
    assert tools["unload_model"].annotations.destructive_hint is True
    assert tools["embed"].output_schema is not None


async def test_what_changes_models_is_there_only_for_who_asked_for_it(provider: OpenAIProvider) -> None:
    plain = Offer("lmbridge", "lmbridge", "1.0", "", manage=False)
    async with connected([provider], offer=plain) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        refused = await client.call_tool("load_model", {"model": "fake-chat"})
    assert "load_model" not in names
    assert "--manage" in error_of(refused)["hint"]


@modes
async def test_a_chat_is_answered_with_text_and_facts(provider: OpenAIProvider, mode: str) -> None:
    async with connected([provider], mode) as client:
        result = await client.call_tool("chat", HELLO)
    assert text_of(result) == "You said: hello there "
    assert result.structured_content["model"] == "fake-chat"
    assert result.structured_content["provider"] == "fake"
    assert result.structured_content["finish_reason"] == "stop"
    assert result.structured_content["usage"]["completion_tokens"] == 4


@modes
async def test_the_answer_is_told_while_it_comes(provider: OpenAIProvider, mode: str) -> None:
    told: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async with connected([provider], mode) as client:
        await client.call_tool("chat", HELLO, progress_callback=hear)
        await until(lambda: bool(told) and told[-1][1] == "You said: hello there ")
    numbers = [number for number, _ in told]
    assert numbers == sorted(set(numbers)), "each is larger than the one before"


@modes
async def test_a_call_that_is_cancelled_frees_the_engine(
    provider: OpenAIProvider, upstream: FakeOpenAI, mode: str
) -> None:
    upstream.pace = 0.05
    async with connected([provider], mode) as client:
        call = asyncio.ensure_future(client.call_tool("chat", {"prompt": "word " * 1000}))
        await until(lambda: any(route.endswith("/chat/completions") for route, _ in upstream.requests))
        call.cancel()
        await asyncio.wait({call})
        await until(lambda: upstream.left == 1)
        assert text_of(await client.call_tool("chat", {"prompt": "again", "max_tokens": 3})) == "You said: again "


@modes
async def test_an_error_is_a_result_that_says_what_to_do(provider: OpenAIProvider, mode: str) -> None:
    async with connected([provider], mode) as client:
        result = await client.call_tool("chat", {**HELLO, "model": "fake-chad"})
    assert error_of(result) == {
        "code": "model_not_found",
        "hint": "Did you mean 'fake-chat'?",
        "param": "model",
    }
    assert "Did you mean 'fake-chat'?" in text_of(result)


async def test_a_tool_that_is_not_there_is_an_error_of_the_protocol(provider: OpenAIProvider) -> None:
    async with connected([provider]) as client:
        with pytest.raises(MCPError, match="no tool 'shell'"):
            await client.call_tool("shell", {})


@modes
async def test_each_model_is_a_document(provider: OpenAIProvider, mode: str) -> None:
    async with connected([provider], mode) as client:
        listed = (await client.list_resources()).resources
        (template,) = (await client.list_resource_templates()).resource_templates
        (content,) = (await client.read_resource(listed[0].uri)).contents
    assert [one.uri for one in listed] == [
        "lmbridge://models/fake:fake-chat",
        "lmbridge://models/fake:fake-embed",
    ]
    assert template.uri_template == "lmbridge://models/{+name}"
    assert isinstance(content, types.TextResourceContents)
    assert '"name":"fake-chat"' in content.text


async def test_a_document_that_is_not_there_is_told_with_what_is(provider: OpenAIProvider) -> None:
    async with connected([provider]) as client:
        with pytest.raises(MCPError, match="No model named 'fake-chad'") as caught:
            await client.read_resource("lmbridge://models/fake-chad")
    assert caught.value.code == -32002
    assert caught.value.data["code"] == "model_not_found"


@pytest.mark.parametrize("method", ["list_tools", "list_resources", "list_resource_templates"])
async def test_a_cursor_that_is_none_of_ours_is_refused(provider: OpenAIProvider, method: str) -> None:
    async with connected([provider]) as client:
        with pytest.raises(MCPError, match="one page"):
            await getattr(client, method)(cursor="2")


@modes
async def test_models_are_loaded_and_unloaded(mode: str) -> None:
    scripted = ScriptedProvider([ModelInfo("a", "scripted")])
    told: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with connected([scripted], mode) as client:
        loaded = await client.call_tool("load_model", {"model": "a"}, progress_callback=hear)
        there = await client.call_tool("status", {})
        await client.call_tool("unload_model", {"model": "a"})
        await until(lambda: bool(told))
    assert loaded.structured_content["state"] == "ready"
    assert [one["model"] for one in there.structured_content["in_memory"]] == ["a"]
    assert scripted.unloads == ["a"]
    assert told[-1] in ("Loading the model: 50%", "Loading the model: 100%")


@modes
async def test_a_call_that_came_through_a_server_of_ours_already_is_refused(
    provider: OpenAIProvider, upstream: FakeOpenAI, mode: str
) -> None:
    async with connected([provider], mode) as client:
        assert (await client.call_tool("chat", HELLO)).is_error is False
        assert upstream.headers["x-lmbridge-depth"] == "1", "what it asks for is marked"
        refused = await client.call_tool("chat", HELLO, meta={META: 1})
    assert error_of(refused)["code"] == "too_deep"
    assert "round and round" in text_of(refused)


@modes
async def test_the_hosts_own_model_is_asked_by_its_name(provider: OpenAIProvider, mode: str) -> None:
    asked: list[types.CreateMessageRequestParams] = []

    async def sample(
        context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult:
        asked.append(params)
        content = types.TextContent(type="text", text="From the host.")
        return types.CreateMessageResult(role="assistant", content=content, model="host-1", stop_reason="endTurn")

    call = {"prompt": "hello", "model": "host", "system": "Be brief.", "max_tokens": 9}
    async with connected([provider], mode, sampling_callback=sample) as client:
        result = await client.call_tool("chat", call)
    assert text_of(result) == "From the host."
    assert (result.structured_content["model"], result.structured_content["provider"]) == ("host-1", "host")
    assert (asked[0].system_prompt, asked[0].max_tokens) == ("Be brief.", 9)


async def test_a_host_that_lends_no_model_is_told_so(provider: OpenAIProvider) -> None:
    async with connected([provider]) as client:
        result = await client.call_tool("chat", {"prompt": "hello", "model": "host"})
    assert error_of(result)["code"] == "provider_unavailable"


async def test_work_that_is_cancelled_is_struck_once_and_waited_for() -> None:
    begun, cleaned = asyncio.Event(), []

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    task = asyncio.ensure_future(apart(work()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [True]


async def test_work_that_fails_while_it_is_cancelled_is_no_news() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("too late") from None

    task = asyncio.ensure_future(apart(work()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
