"""An Anthropic request as core's: the conversation, the tools, and how the answer is wanted."""

from __future__ import annotations

from typing import Final, assert_never

from lmbridge.core.messages import Tool
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling, Schema
from lmbridge.core.requests import ToolChoice as Choice
from lmbridge.wire.anthropic.parts import GAP
from lmbridge.wire.anthropic.requests import (
    AnyChoice,
    AutoChoice,
    CountTokensBody,
    DisabledThinking,
    EnabledThinking,
    MessagesBody,
    NoneChoice,
    ToolChoice,
    ToolDefinition,
)
from lmbridge.wire.anthropic.turns import as_json, to_messages

CONTINUED: Final[dict[str, object]] = {"continue_final_message": True, "add_generation_prompt": False}
"""What makes llama.cpp and vLLM go on with a last turn of the assistant instead of beginning a new one."""


def to_chat(body: CountTokensBody) -> ChatRequest:
    """The request in core's words.

    Raises:
        InvalidRequest: a turn that cannot be, such as an assistant's with a picture; `param` names it.
        UnsupportedParameter: a block that cannot be honoured.
    """
    messages = to_messages(body)
    choice, parallel = _choice(body)
    return ChatRequest(
        body.model,
        messages,
        tools=tuple(_tool(tool) for tool in body.tools or ()),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        schema=_schema(body),
        sampling=_sampling(body) if isinstance(body, MessagesBody) else Sampling(),
        reasoning_effort=_effort(body),
        extra=CONTINUED if messages[-1].role == "assistant" else {},
    )


def begun(chat: ChatRequest) -> str:
    """What the answer begins with already: the words of a last turn of the assistant, "" without one."""
    last = chat.turns[-1]
    return last.text if last.role == "assistant" else ""


def _sampling(body: MessagesBody) -> Sampling:
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        max_tokens=body.max_tokens,
        stop=tuple(body.stop_sequences or ()),
    )


def _effort(body: CountTokensBody) -> str | None:
    """How hard to think. llama.cpp and LM Studio both stop thinking at `none`."""
    if isinstance(body.thinking, DisabledThinking):
        return "none"
    effort = body.output_config.effort if body.output_config is not None else None
    if effort is not None:
        return "high" if effort in ("xhigh", "max") else effort
    if isinstance(body.thinking, EnabledThinking):
        budget = body.thinking.budget_tokens
        return "low" if budget <= 4096 else "medium" if budget <= 16384 else "high"
    return None


def _schema(body: CountTokensBody) -> Schema | None:
    wanted = body.output_config.format if body.output_config is not None else None
    wanted = wanted or body.output_format
    return Schema(wanted.schema) if wanted is not None else None


def _choice(body: CountTokensBody) -> tuple[Choice | NamedTool, bool | None]:
    """Which tools may or must be called, and whether several at once."""
    match body.tool_choice:
        case None:
            return "auto", None
        case NoneChoice():
            return "none", None
        case AutoChoice(alone):
            return "auto", _parallel(alone)
        case AnyChoice(alone):
            return "required", _parallel(alone)
        case ToolChoice(name, alone):
            return NamedTool(name), _parallel(alone)
        case _ as never:
            assert_never(never)


def _parallel(alone: bool | None) -> bool | None:
    return None if alone is None else not alone


def _tool(tool: ToolDefinition) -> Tool:
    described = [tool.description] if tool.description else []
    described += [f"Example of its input: {as_json(example)}" for example in tool.input_examples or ()]
    return Tool(tool.name, GAP.join(described), tool.input_schema, tool.strict is True)
