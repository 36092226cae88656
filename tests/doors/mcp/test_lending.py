"""What the host's own model is asked, and what becomes of what it says. The asking itself is in `test_server`."""

from __future__ import annotations

import mcp_types as types
import pytest
from mcp.client.session import ClientRequestContext
from tests.doors.mcp.asking import MODES, connected, error_of, text_of
from tests.fakes.openai_server import FakeOpenAI

from lmbridge.providers.openai import OpenAIProvider

modes = pytest.mark.parametrize("mode", MODES)
Params = types.CreateMessageRequestParams
PICTURE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}


class Lent:
    """A host's model that says what it is told to, and remembers what it was asked."""

    def __init__(self, content: types.SamplingContent, stop_reason: str | None = "endTurn") -> None:
        self.content, self.stop_reason = content, stop_reason
        self.asked: list[Params] = []

    async def __call__(self, context: ClientRequestContext, params: Params) -> types.CreateMessageResult:
        self.asked.append(params)
        return types.CreateMessageResult(
            role="assistant", content=self.content, model="host-1", stop_reason=self.stop_reason
        )


def says(text: str, stop_reason: str | None = "endTurn") -> Lent:
    return Lent(types.TextContent(type="text", text=text), stop_reason)


@modes
async def test_a_conversation_with_pictures_reaches_the_host(provider: OpenAIProvider, mode: str) -> None:
    lent = says("A cat.", "maxTokens")
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]},
        {"role": "assistant", "content": "Hm."},
    ]
    call = {"model": "host", "messages": turns, "prompt": "Well?", "temperature": 0.5, "stop": ["."]}
    async with connected([provider], mode, sampling_callback=lent) as client:
        result = await client.call_tool("chat", call)
    (asked,) = lent.asked
    assert [turn.role for turn in asked.messages] == ["user", "assistant", "user"]
    assert [block.type for block in asked.messages[0].content_as_list] == ["text", "image"]
    assert (asked.temperature, asked.stop_sequences, asked.max_tokens) == (0.5, ["."], 2048)
    assert asked.system_prompt is None
    assert (text_of(result), result.structured_content["finish_reason"]) == ("A cat.", "length")


@modes
async def test_no_model_here_is_asked_instead(provider: OpenAIProvider, upstream: FakeOpenAI, mode: str) -> None:
    async with connected([provider], mode, sampling_callback=says("Yes.")) as client:
        result = await client.call_tool("complete", {"model": "host", "prompt": "x"})
    assert result.structured_content == {
        "text": "Yes.",
        "model": "host-1",
        "provider": "host",
        "finish_reason": "stop",
    }
    assert upstream.requests == []


@modes
@pytest.mark.parametrize(
    "field", [{"seed": 1}, {"top_p": 0.5}, {"schema": {"type": "object"}}, {"truncate": True}]
)
async def test_what_a_host_cannot_be_told_is_refused_by_its_name(
    provider: OpenAIProvider, mode: str, field: dict[str, object]
) -> None:
    async with connected([provider], mode, sampling_callback=says("x")) as client:
        result = await client.call_tool("chat", {"model": "host", "prompt": "x", **field})
    assert error_of(result)["code"] == "unsupported_parameter"
    assert error_of(result)["param"] == next(iter(field))


@modes
async def test_what_is_no_text_is_a_broken_answer(provider: OpenAIProvider, mode: str) -> None:
    picture = types.ImageContent(type="image", data="aGk=", mime_type="image/png")
    async with connected([provider], mode, sampling_callback=Lent(picture)) as client:
        result = await client.call_tool("chat", {"model": "host", "prompt": "x"})
    assert error_of(result)["code"] == "broken_answer"


async def test_a_user_who_does_not_want_to_is_heard(provider: OpenAIProvider) -> None:
    async def refuse(context: ClientRequestContext, params: Params) -> types.ErrorData:
        return types.ErrorData(code=-1, message="The user said no.")

    async with connected([provider], sampling_callback=refuse) as client:
        result = await client.call_tool("chat", {"model": "host", "prompt": "x"})
    assert error_of(result)["code"] == "provider_refused"
    assert "The user said no." in text_of(result)
