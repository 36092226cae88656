"""Core's requests as bodies of the Messages API and of its counting of tokens.

(https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/api/messages-count-tokens)
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import Tool
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling
from lmbridge.wire.anthropic.asking.fields import (
    BIAS,
    CARRIED,
    REFUSED,
    TEMPERATURE,
    THOUGHTS_INSIDE,
)
from lmbridge.wire.anthropic.asking.models import Abilities
from lmbridge.wire.anthropic.asking.shapes import closed, shaped
from lmbridge.wire.anthropic.asking.thinking import Thinking, think
from lmbridge.wire.anthropic.asking.turns import encode_turns
from lmbridge.wire.fields import Refused, refuse

MAX_TOKENS: Final = 8192
"""Most tokens of an answer, unless the request or the settings say otherwise: the API insists on a number."""

_COUNTED: Final = (
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "cache_control",
)
"""What a prompt is made of."""
_OF_DOORS: Final = ("reasoning_format", "continue_final_message", "add_generation_prompt")


class Asked(Struct, frozen=True):
    """A body, and how its answer is to be read.

    Attributes:
        answer_tool: the tool whose call is the answer; "" for none.
    """

    body: dict[str, object]
    answer_tool: str = ""


def encode_messages(
    request: ChatRequest, model: str, can: Abilities = Abilities(), max_tokens: int = MAX_TOKENS
) -> Asked:
    """The body of a streamed `POST /v1/messages`.

    Args:
        model: the server's own name of the model. can: what that can do.
        max_tokens: of an answer that the request does not limit.

    Raises:
        UnsupportedParameter: a wish that the API or the model cannot honour.
        InvalidRequest: a turn that cannot be, or a schema that is nested too deeply.
    """
    _refuse(request)
    request, answer_tool = shaped(request, can)
    limit = request.sampling.max_tokens
    thought = _thinking(request, can, can.max_tokens if limit is None else limit)
    body = _prompt(request, model, can, thought)
    most = can.max_tokens or 2**53
    body["max_tokens"] = limit if limit is not None else min(max_tokens + thought.budget, most)
    body["stream"] = True
    _add_sampling(body, request.sampling)
    body |= {name: value for name, value in request.extra.items() if name in CARRIED}
    return Asked(body, answer_tool)


def encode_count(request: ChatRequest, model: str, can: Abilities = Abilities()) -> dict[str, object]:
    """The body of `POST /v1/messages/count_tokens`.

    Raises:
        UnsupportedParameter, InvalidRequest: as `encode_messages`.
    """
    body = encode_messages(request, model, can).body
    return {name: body[name] for name in _COUNTED if name in body}


def _refuse(request: ChatRequest) -> None:
    sampling = request.sampling
    refuse(sampling, REFUSED)
    if sampling.logit_bias:
        raise _refused(BIAS)
    if sampling.temperature is not None and sampling.temperature > 1:
        raise _refused(TEMPERATURE)
    if request.extra.get("reasoning_format") == "none":
        raise _refused(THOUGHTS_INSIDE)
    for name, value in request.extra.items():
        if value is not None and name not in CARRIED and name not in _OF_DOORS:
            raise UnsupportedParameter(name[:200], "Anthropic's API does not know it.")


def _refused(field: Refused) -> UnsupportedParameter:
    return UnsupportedParameter(field.name, field.reason, hint=field.hint)


def _thinking(request: ChatRequest, can: Abilities, limit: int | None) -> Thinking:
    if "thinking" in request.extra:
        return Thinking()  # the caller says it himself
    return think(
        request.reasoning_effort,
        can,
        limit,
        forced=bool(request.tools) and request.tool_choice not in ("auto", "none"),
        after_tools=request.turns[-1:] != () and request.turns[-1].role == "tool",
    )


def _prompt(request: ChatRequest, model: str, can: Abilities, thought: Thinking) -> dict[str, object]:
    system, messages = encode_turns(request.turns)
    body: dict[str, object] = {"model": model, "messages": messages}
    if system:
        body["system"] = system
    try:
        output = _output(request, thought)
        if request.tools:
            body["tools"] = [_tool(tool, can) for tool in request.tools]
    except RecursionError as error:
        raise InvalidRequest("A schema is nested too deeply.") from error
    if request.tools and (choice := _choice(request)):
        body["tool_choice"] = choice
    if thought.thinking is not None:
        body["thinking"] = thought.thinking
    if output:
        body["output_config"] = output
    return body


def _output(request: ChatRequest, thought: Thinking) -> dict[str, object]:
    output: dict[str, object] = {"effort": thought.effort} if thought.effort else {}
    if request.schema is not None and request.schema.schema is not None:
        output["format"] = {"type": "json_schema", "schema": closed(request.schema.schema)}
    return output


def _tool(tool: Tool, can: Abilities) -> dict[str, object]:
    schema: dict[str, object] = {"type": "object", **tool.parameters}
    strict = tool.strict and can.structured is not False
    made: dict[str, object] = {"name": tool.name, "input_schema": closed(schema) if strict else schema}
    if tool.description:
        made["description"] = tool.description
    if strict:
        made["strict"] = True
    return made


def _choice(request: ChatRequest) -> dict[str, object]:
    """Which tools may or must be called; {} leaves it to the API, which leaves it to the model."""
    choice = request.tool_choice
    if choice == "none":
        return {"type": "none"}
    made: dict[str, object] = {"type": "auto"}
    if isinstance(choice, NamedTool):
        made = {"type": "tool", "name": choice.name}
    elif choice == "required":
        made = {"type": "any"}
    if request.parallel_tool_calls is False:
        made["disable_parallel_tool_use"] = True
    return made if made != {"type": "auto"} else {}


def _add_sampling(body: dict[str, object], sampling: Sampling) -> None:
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(sampling, name)
        if value is not None and (name != "top_k" or value > 0):
            body[name] = value
    if sampling.stop:
        body["stop_sequences"] = list(sampling.stop)
