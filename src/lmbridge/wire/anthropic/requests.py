"""The bodies of Anthropic requests, decoded in one pass into typed structs and checked.

The fields are those of the Messages API and of counting tokens (https://platform.claude.com/docs/en/api/messages),
the beta fields that clients send included. An unknown field is refused by its name, also inside a tool; what
becomes of the known ones is in `fields`, and `chat` makes core's request of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.wire.anthropic.blocks import Block, TextBlock
from lmbridge.wire.anthropic.fields import CALLERS, FOREIGN_TOOL, REFUSED
from lmbridge.wire.fields import refuse
from lmbridge.wire.strict import decode_strictly

_Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_Some: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)]
_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
_Stops: TypeAlias = Annotated[list[str], Meta(max_length=64)]
_Display: TypeAlias = Literal["summarized", "omitted"]


class Turn(Struct):
    """One message. Fields not named here are let pass."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


# ---- tools


class ToolDefinition(Struct, forbid_unknown_fields=True):
    """A tool of the caller's; `input_schema` is a JSON schema."""

    name: _Name
    input_schema: dict[str, object]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    input_examples: list[dict[str, object]] | None = None
    allowed_callers: list[str] | None = None
    cache_control: object = None
    defer_loading: bool | None = None
    eager_input_streaming: bool | None = None


class AutoChoice(Struct, tag="auto", gc=False, forbid_unknown_fields=True):
    """The model decides."""

    disable_parallel_tool_use: bool | None = None


class AnyChoice(Struct, tag="any", gc=False, forbid_unknown_fields=True):
    """Some tool must be called."""

    disable_parallel_tool_use: bool | None = None


class ToolChoice(Struct, tag="tool", gc=False, forbid_unknown_fields=True):
    """This tool must be called."""

    name: _Name
    disable_parallel_tool_use: bool | None = None


class NoneChoice(Struct, tag="none", gc=False, forbid_unknown_fields=True):
    """No tool may be called."""


# ---- thinking and the shape of the answer


class EnabledThinking(Struct, tag="enabled", gc=False, forbid_unknown_fields=True):
    """Think, with so many tokens."""

    budget_tokens: _Some
    display: _Display | None = None


class AdaptiveThinking(Struct, tag="adaptive", gc=False, forbid_unknown_fields=True):
    """The model decides how much."""

    display: _Display | None = None


class ThinkingBetweenTools(Struct, tag="between_tools", gc=False, forbid_unknown_fields=True):
    """The model decides how much, and when."""


class DisabledThinking(Struct, tag="disabled", gc=False, forbid_unknown_fields=True):
    """Answer at once."""


class JSONFormat(Struct, forbid_unknown_fields=True):
    """An answer that follows a schema."""

    type: Literal["json_schema"]
    schema: dict[str, object]


class OutputConfig(Struct, forbid_unknown_fields=True):
    """How hard to try, and the shape of the answer."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JSONFormat | None = None


# ---- bodies


class CountTokensBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`: what a prompt is made of."""

    model: str = ""
    messages: Annotated[list[Turn], Meta(min_length=1)]
    system: str | list[TextBlock] | None = None
    tools: list[ToolDefinition] | None = None
    tool_choice: AutoChoice | AnyChoice | ToolChoice | NoneChoice | None = None
    thinking: EnabledThinking | AdaptiveThinking | ThinkingBetweenTools | DisabledThinking | None = None
    output_config: OutputConfig | None = None
    output_format: JSONFormat | None = None
    # accepted and ignored: see fields.IGNORED
    cache_control: object = None
    context_management: object = None
    speed: object = None
    # refused by name: see fields.REFUSED
    mcp_servers: object = None
    container: object = None
    fallbacks: object = None
    inference_geo: object = None
    thread: object = None
    compaction: object = None


class MessagesBody(CountTokensBody, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/messages`."""

    max_tokens: _Some
    stream: bool | None = None
    temperature: _Probability | None = None
    top_p: _Probability | None = None
    top_k: _Count | None = None
    stop_sequences: _Stops | None = None
    # accepted and ignored
    metadata: object = None
    service_tier: str | None = None
    billing_policy: object = None
    fallback_credit_token: object = None
    diagnostics: object = None

    @property
    def streamed(self) -> bool:
        """Whether the answer is wanted as a stream of events."""
        return self.stream is True

    @property
    def shows_thinking(self) -> bool:
        """Whether the caller wants to see what the model thinks."""
        match self.thinking:
            case DisabledThinking():
                return False
            case EnabledThinking(display="omitted") | AdaptiveThinking(display="omitted"):
                return False
            case _:
                return True


class _Kind(Struct):
    type: object = None
    name: object = None


class _Tools(Struct):
    tools: list[_Kind]


_Body = TypeVar("_Body", bound=CountTokensBody)

_messages: Final = msgspec.json.Decoder(MessagesBody)
_count: Final = msgspec.json.Decoder(CountTokensBody)
_tools: Final = msgspec.json.Decoder(_Tools)


def decode_messages_body(data: bytes) -> MessagesBody:
    """Decode and check the body of a request for an answer.

    Raises:
        InvalidRequest: malformed JSON, a wrong type or value; `param` names the field.
        UnsupportedParameter: a field or a kind of tool that cannot be honoured.
    """
    return _checked(_messages, data)


def decode_count_body(data: bytes) -> CountTokensBody:
    """Decode and check the body of a request to count tokens.

    Raises:
        InvalidRequest, UnsupportedParameter: as `decode_messages_body`.
    """
    return _checked(_count, data)


def _checked(decoder: msgspec.json.Decoder[_Body], data: bytes) -> _Body:
    try:
        body = decode_strictly(decoder, data)
    except InvalidRequest as error:
        # A tool of Anthropic's own has fields of its own: the tool is what is not known, not its fields.
        raise _foreign_tool(data) or error from error
    refuse(body, REFUSED)
    _check_tools(body.tools or ())
    _check_choice(body)
    if body.output_format is not None and body.output_config is not None and body.output_config.format is not None:
        raise InvalidRequest(
            "`output_format` and `output_config.format` mean the same; only one may be given.",
            param="output_format",
        )
    return body


def _foreign_tool(data: bytes) -> UnsupportedParameter | None:
    try:
        tools = _tools.decode(data).tools
    except (ValueError, RecursionError):
        return None
    for position, tool in enumerate(tools):
        if isinstance(tool.type, str) and tool.type != "custom":
            return UnsupportedParameter(
                f"tools[{position}]",
                f"Its type is {tool.type[:80]!r}. {FOREIGN_TOOL.reason}",
                hint=FOREIGN_TOOL.hint,
            )
    return None


def _check_tools(tools: Sequence[ToolDefinition]) -> None:
    for position, tool in enumerate(tools):
        if tool.allowed_callers is not None and "direct" not in tool.allowed_callers:
            raise UnsupportedParameter(f"tools[{position}].allowed_callers", CALLERS.reason, hint=CALLERS.hint)


def _check_choice(body: CountTokensBody) -> None:
    names = [tool.name for tool in body.tools or ()]
    match body.tool_choice:
        case ToolChoice(name) if name not in names:
            raise InvalidRequest(
                f"`tool_choice` names {name!r}, which is not among the tools.",
                hint=f"The tools are: {', '.join(names[:20])}." if names else "Send it in `tools`.",
                param="tool_choice.name",
            )
        case AnyChoice() if not names:
            raise InvalidRequest("`tool_choice` is `any`, and there are no tools.", param="tool_choice")
        case _:
            pass
