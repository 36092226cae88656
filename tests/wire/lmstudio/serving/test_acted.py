"""A native chat with tools, as it is told: rounds, calls, and everything in its order in the whole answer."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from lmbridge.core.events import Answer, Event, Finished, ReasoningDelta, Started, TextDelta, Usage
from lmbridge.core.messages import ImagePart, Message, TextPart, ToolCall
from lmbridge.core.models import Endpoint, Instance, ModelInfo
from lmbridge.core.tools import ToolResult
from lmbridge.core.turns import Facts, Wait
from lmbridge.wire.lmstudio.serving.acted import ActingChatEncoder, output_of
from lmbridge.wire.lmstudio.serving.events import EphemeralInfo, PluginInfo

MINE = PluginInfo("mcp/x")
CALL = {"type": "plugin", "plugin_id": "mcp/x"}


def facts() -> Facts:
    model = ModelInfo("m", "p")
    instance = Instance("m", model, Endpoint("http://h", (), "m"))
    return Facts(model=model, instance=instance, name="m", first_event_s=0.5, total_s=2.5)


def ended() -> Answer:
    return Answer(Message("assistant", "Five."), Finished("stop", Usage(10, 8)), "p", "m")


def frames(data: bytes) -> Iterator[dict[str, object]]:
    for part in data.decode().split("\n\n")[:-1]:
        event, _, body = part.partition("\n")
        found = json.loads(body.removeprefix("data: "))
        assert event == f"event: {found['type']}"
        yield found


def rounds(encoder: ActingChatEncoder) -> bytes:
    """Thinks, calls, talks."""
    first: list[Event] = [Started("p", "m"), ReasoningDelta("Hm."), Finished("tool_calls")]
    second: list[Event] = [Started("p", "m"), TextDelta("Five."), Finished("stop")]
    told = [encoder.waiting(Wait("loading", progress=0.5)), *map(encoder.feed, first)]
    told += [encoder.calling("add", {"a": 2}, MINE), encoder.called("add", {"a": 2}, ToolResult("5"), MINE)]
    return b"".join([*told, *map(encoder.feed, second)])


def test_each_round_is_read_and_told_and_each_call_between_them() -> None:
    encoder = ActingChatEncoder("m", "resp_1")
    told = list(frames(rounds(encoder) + encoder.close(ended(), facts())))
    assert [event["type"] for event in told] == [
        "chat.start",
        "model_load.start",
        "model_load.progress",
        "model_load.end",
        "prompt_processing.start",
        "prompt_processing.progress",
        "prompt_processing.progress",
        "prompt_processing.end",
        "reasoning.start",
        "reasoning.delta",
        "reasoning.end",
        "tool_call.start",
        "tool_call.arguments",
        "tool_call.success",
        "prompt_processing.start",
        "prompt_processing.progress",
        "prompt_processing.progress",
        "prompt_processing.end",
        "message.start",
        "message.delta",
        "message.end",
        "chat.end",
    ]
    assert told[11] == {"type": "tool_call.start", "tool": "add", "provider_info": CALL}
    assert told[12] == {
        "type": "tool_call.arguments",
        "tool": "add",
        "arguments": {"a": 2},
        "provider_info": CALL,
    }
    output = '[{"type":"text","text":"5"}]'
    assert told[13]["output"] == output
    result = msgspec.convert(told[-1]["result"], dict[str, object])
    assert result["output"] == [
        {"type": "reasoning", "content": "Hm."},
        {"type": "tool_call", "tool": "add", "arguments": {"a": 2}, "output": output, "provider_info": CALL},
        {"type": "message", "content": "Five."},
    ]
    assert result["response_id"] == "resp_1"


def test_the_whole_answer_is_the_same_without_a_stream() -> None:
    encoder = ActingChatEncoder("m")
    rounds(encoder)
    result = json.loads(encoder.whole(ended(), facts()))
    assert [item["type"] for item in result["output"]] == ["reasoning", "tool_call", "message"]
    assert result["stats"]["total_output_tokens"] == 8
    assert result["stats"]["reasoning_output_tokens"] == 3  # by its share of the letters
    assert "response_id" not in result


def test_a_call_that_cannot_be_made_is_a_failure_and_no_error() -> None:
    encoder = ActingChatEncoder("m")
    remote = EphemeralInfo("far")
    told = encoder.feed(Started("p", "m"))
    told += encoder.invalid(ToolCall("1", "nothing", '{"a": 1}'), "There is no such tool.", None)
    told += encoder.invalid(ToolCall("2", "add", "{"), "The arguments are not JSON.", remote)
    failures = [event for event in frames(told) if event["type"] == "tool_call.failure"]
    assert failures == [
        {
            "type": "tool_call.failure",
            "reason": "There is no such tool.",
            "metadata": {"type": "invalid_name", "tool_name": "nothing", "arguments": {"a": 1}},
        },
        {
            "type": "tool_call.failure",
            "reason": "The arguments are not JSON.",
            "metadata": {
                "type": "invalid_arguments",
                "tool_name": "add",
                "provider_info": {"type": "ephemeral_mcp", "server_label": "far"},
            },
        },
    ]
    result = json.loads(encoder.whole(ended(), facts()))
    assert [item["type"] for item in result["output"]] == ["invalid_tool_call", "invalid_tool_call"]


def test_a_picture_is_told_as_mcp_has_it() -> None:
    result = ToolResult((TextPart("look"), ImagePart("data:image/png;base64,aGk=")))
    assert json.loads(output_of(result)) == [
        {"type": "text", "text": "look"},
        {"type": "image", "data": "aGk=", "mimeType": "image/png"},
    ]
