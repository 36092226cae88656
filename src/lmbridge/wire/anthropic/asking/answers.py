"""Anthropic's answers into core: the events of a message, streamed or whole, and counted tokens.

(https://platform.claude.com/docs/en/build-with-claude/streaming) Events, blocks and pieces of a kind that is not
known are skipped, as the API may get new ones; a wrong type in a field that is read is a `BrokenAnswer`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from lmbridge.core.errors import BridgeError, BrokenAnswer
from lmbridge.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from lmbridge.wire.anthropic.asking.errors import decode_refusal, is_error
from lmbridge.wire.stream import StreamDecoder

REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Core's words for why an answer ended; others are kept as they are."""

_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
_Position: TypeAlias = Annotated[int, Meta(ge=0, le=4096)]
_T = TypeVar("_T")


class _Details(Struct, gc=False):
    thinking_tokens: _Count | None = None


class _Tokens(Struct, omit_defaults=True):
    """What was counted so far; what comes later counts instead of what came before."""

    input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    output_tokens_details: _Details | None = None


class _Block(Struct):
    type: str
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, object] | None = None


class _Delta(Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Message(Struct):
    type: str | None = None
    model: str | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: _Tokens | None = None


class _Event(Struct):
    type: str
    index: _Position = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Tokens | None = None


class _Counted(Struct):
    input_tokens: _Count


_encode: Final = msgspec.json.Encoder().encode


class MessageEventDecoder(StreamDecoder[Event]):
    """The bytes of a streamed message into core events.

    Feed it every piece, then `close()` it; or give it a `whole` message that was not streamed. It is complete with
    `message_stop`, and not without.
    """

    __slots__ = ("_blocks", "_calls", "_counted", "_reason", "_silent", "_started")

    def __init__(
        self, provider: str, clock: Callable[[], float] = perf_counter, sent: float | None = None
    ) -> None:
        super().__init__(provider, clock, sent)
        self._started = False
        self._blocks: dict[int, str] = {}  # kinds, by their number in the answer
        self._calls: dict[int, int] = {}  # the number of the call that a block is
        self._silent: set[int] = set()  # calls without a piece of input so far
        self._counted = _Tokens()
        self._reason: str | None = None

    def _take(self, data: bytes, name: str, events: list[Event]) -> None:
        event = _decoded(data, _Event, self._provider)
        if event.type == "error":
            raise decode_refusal(None, data, self._provider)
        if event.type != "message_start" and not self._started:
            if event.type == "ping":
                return
            raise BrokenAnswer(self._provider, f"it begins with {event.type[:40]!r}")
        match event.type:
            case "message_start":
                self._start(event.message or _Message(), events)
            case "content_block_start" if event.content_block is not None:
                self._begin(event.index, event.content_block, events)
            case "content_block_delta" if event.delta is not None:
                self._more(event.index, event.delta, events)
            case "content_block_stop":
                self._stop(event.index, events)
            case "message_delta":
                self._count(event.usage)
                self._reason = (event.delta or _Delta()).stop_reason or self._reason
            case "message_stop":
                self._finish(events)
            case _:
                pass  # a ping, or news
        if self._first is None and events and not isinstance(events[-1], Started):
            self._first = self._clock()

    def _start(self, message: _Message, events: list[Event]) -> None:
        if self._started:
            raise BrokenAnswer(self._provider, "it begins twice")
        self._started = True
        self._count(message.usage)
        events.append(Started(self._provider, message.model or "", self._prompt() or None))

    def _begin(self, index: int, block: _Block, events: list[Event]) -> None:
        if index in self._blocks:
            raise BrokenAnswer(self._provider, f"its block {index} begins twice")
        self._blocks[index] = block.type
        if block.type == "tool_use":
            self._call(index, block, events)
        elif block.type == "text" and block.text:
            events.append(TextDelta(block.text))
        elif block.type == "thinking" and block.thinking:
            events.append(ReasoningDelta(block.thinking))

    def _call(self, index: int, block: _Block, events: list[Event]) -> None:
        if not block.name:
            raise BrokenAnswer(self._provider, "a call of it has no name")
        number = self._calls[index] = len(self._calls)
        given = _encode(block.input).decode() if block.input else ""
        if not given:
            self._silent.add(index)
        events.append(ToolCallDelta(number, block.id or "", block.name, given))

    def _more(self, index: int, delta: _Delta, events: list[Event]) -> None:
        if index not in self._blocks:
            raise BrokenAnswer(self._provider, f"its block {index} goes on and has not begun")
        match delta.type:
            case "text_delta" if delta.text:
                events.append(TextDelta(delta.text))
            case "thinking_delta" if delta.thinking:
                events.append(ReasoningDelta(delta.thinking))
            case "input_json_delta" if delta.partial_json and index in self._calls:
                self._silent.discard(index)
                events.append(ToolCallDelta(self._calls[index], arguments=delta.partial_json))
            case _:
                pass  # nothing, a signature, a citation, or the input of a tool that the server runs itself

    def _stop(self, index: int, events: list[Event]) -> None:
        if index in self._silent:  # called without input, for which the API sends no piece
            self._silent.discard(index)
            events.append(ToolCallDelta(self._calls[index], arguments="{}"))

    def whole(self, data: bytes) -> list[Event]:
        """The events of a message that was not streamed.

        Raises:
            BrokenAnswer: it is none.
            BridgeError: the error it reports instead, whatever its status was.
        """
        if is_error(data):
            raise decode_refusal(None, data, self._provider)
        message = _decoded(data, _Message, self._provider)
        if message.content is None or message.stop_reason is None:
            raise BrokenAnswer(self._provider, "it holds no message, or no reason to end")
        events: list[Event] = []
        self._start(message, events)
        for index, block in enumerate(message.content):
            self._begin(index, block, events)
            self._stop(index, events)
        self._reason = message.stop_reason
        self._finish(events)
        return events

    # -- the end ----------------------------------------------------------------------------------

    def _count(self, tokens: _Tokens | None) -> None:
        told = {} if tokens is None else {k: v for k, v in msgspec.structs.asdict(tokens).items() if v is not None}
        self._counted = msgspec.structs.replace(self._counted, **told)

    def _prompt(self) -> int:
        """Tokens of the prompt, remembered ones included: the API tells each of them once."""
        counted = self._counted
        parts = (counted.input_tokens, counted.cache_creation_input_tokens, counted.cache_read_input_tokens)
        return sum(part or 0 for part in parts)

    def _finish(self, events: list[Event]) -> None:
        if self._reason is None:
            raise BrokenAnswer(self._provider, "it ended without a reason")
        self._done = True
        usage = self._usage()
        events.append(Finished(REASONS.get(self._reason, self._reason), usage, self._measured(usage)))

    def _usage(self) -> Usage | None:
        counted = self._counted
        if counted.output_tokens is None or not (prompt := self._prompt()):
            return None
        details = counted.output_tokens_details or _Details()
        return Usage(
            prompt, counted.output_tokens, counted.cache_read_input_tokens or 0, details.thinking_tokens or 0
        )

    def _measured(self, usage: Usage | None) -> Timings:
        total = self._clock() - self._sent
        first = total if self._first is None else self._first - self._sent
        tokens = usage.completion_tokens if usage is not None else 0
        speed = (tokens - 1) / (total - first) if tokens > 1 and total > first else None
        return Timings(first, total, speed)


def decode_count(data: bytes, provider: str) -> int:
    """The tokens of a prompt: the answer of `POST /v1/messages/count_tokens`.

    Raises:
        BrokenAnswer: it tells none.
    """
    return _decoded(data, _Counted, provider).input_tokens


def _decoded(data: bytes, shape: type[_T], provider: str) -> _T:
    try:
        return msgspec.json.decode(data, type=shape)
    except (ValueError, RecursionError) as error:
        raise _broken(data, provider, error) from error


def _broken(data: bytes, provider: str, error: Exception) -> BridgeError:
    """What to make of something else than was expected: the error that it reports, or a broken answer."""
    if is_error(data):
        return decode_refusal(None, data, provider)
    reason = str(error) if isinstance(error, msgspec.DecodeError) else "not text that can be read"
    return BrokenAnswer(provider, reason[:200])
