"""A core answer in Anthropic's words: as a stream of events, or whole.

A stream is a message of blocks that follow each other, each with a start, its pieces and a stop
(https://platform.claude.com/docs/en/build-with-claude/streaming). Tokens are counted at its end and told in
`message_delta`; those of the prompt in `message_start` as well, where the provider tells them before it answers:
Claude Code looks there alone (https://github.com/vercel/ai/issues/17326).

This is on the way of every word: a piece is joined from bytes, and only its text is encoded.
"""

from __future__ import annotations

import re
from typing import Final, assert_never

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import (
    Answer,
    Event,
    Finished,
    PromptProgress,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from lmbridge.core.messages import ToolCall
from lmbridge.core.turns import Facts, Wait
from lmbridge.wire.anthropic.events import (
    ContentBlockStart,
    MessageDelta,
    MessageEnd,
    MessageObject,
    MessageStart,
    MessageUsage,
    Said,
    SaidText,
    SaidThinking,
    SaidToolUse,
    StopReason,
)

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
"""A sign of life. Anthropic's packages skip it wherever it stands, before `message_start` too."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode

_DELTAS: Final = {"text": b"text_delta", "thinking": b"thinking_delta", "tool_use": b"input_json_delta"}
_FIELDS: Final = {"text": b"text", "thinking": b"thinking", "tool_use": b"partial_json"}
_END: Final = b"}}\n\n"
_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class _Call(Struct):
    """A call as far as it has come, and whether its block was begun."""

    id: str = ""
    name: str = ""
    pieces: list[str] = []
    told: bool = False


class MessageEncoder:
    """One answer to one request.

    Args:
        message_id: of the answer, `msg_…`.
        model: the name that was asked for; told where the provider names none.
        thinking: whether the caller wants to see what the model thinks.
        begun: what the answer begins with already and is not said again (see `chat.begun`).
    """

    media = b"text/event-stream; charset=utf-8"
    eager = False

    def __init__(self, message_id: str, model: str = "", *, thinking: bool = True, begun: str = "") -> None:
        self._id, self._model, self._shows, self._begun = message_id, model, thinking, begun
        self._held = ""  # of an answer that may only repeat how it begins
        self._provider = ""
        self._kind = ""  # of the block that is open
        self._index = -1
        self._frame = b""
        self._calls: dict[int, _Call] = {}
        self._call: int | None = None  # whose block is open

    def waiting(self, wait: Wait) -> bytes:
        """A sign of life."""
        return PING

    def feed(self, event: Event) -> bytes:
        """The next bytes of the stream.

        Raises:
            BrokenAnswer: more of a tool call that was complete.
        """
        match event:
            case TextDelta(text, 0):
                return self._say("text", self._new(text) if self._begun else text)
            case ReasoningDelta(text, 0):
                return self._say("thinking", text) if self._shows else b""
            case ToolCallDelta(index=0):
                return self._called(event)
            case Started():
                return self._begin(event)
            case TextDelta() | ReasoningDelta() | ToolCallDelta() | Finished() | PromptProgress():
                return b""  # further choices; and the end, which `close` tells
            case _ as never:
                assert_never(never)

    def close(self, answer: Answer, facts: Facts) -> bytes:
        """The end of the stream.

        Raises:
            BrokenAnswer: a call whose arguments are no JSON object, though nothing cut them off.
        """
        self._begun = ""
        rest = self._say("text", self._held) + self._further(last=True) + self._shut()
        reason = _reason(answer)
        for call in answer.tool_calls:
            _input(call, answer)
        return (
            rest + _event("message_delta", MessageDelta(MessageEnd(reason), _usage(answer.finish.usage))) + _STOP
        )

    def whole(self, answer: Answer, facts: Facts) -> bytes:
        """The answer at once. A call that was cut off is left out; the stop reason tells that something was.

        Raises:
            BrokenAnswer: as `close`.
        """
        content: list[Said] = []
        if answer.message.reasoning and self._shows:
            content.append(SaidThinking(answer.message.reasoning))
        if text := answer.text.removeprefix(self._begun):
            content.append(SaidText(text))
        for number, call in enumerate(answer.tool_calls):
            given = _input(call, answer)
            if given is not None:
                content.append(SaidToolUse(self._tool_id(call.id, number), call.name, given))
        return _encode(
            MessageObject(
                id=self._id,
                model=answer.model or self._model,
                content=content,
                stop_reason=_reason(answer),
                usage=_usage(answer.finish.usage),
            )
        )

    def _begin(self, started: Started) -> bytes:
        self._provider = started.provider
        usage = MessageUsage(input_tokens=started.prompt_tokens or 0)
        message = MessageObject(id=self._id, model=started.model or self._model, usage=usage)
        return _event("message_start", MessageStart(message))

    # -- text and thoughts

    def _say(self, kind: str, text: str) -> bytes:
        if not text:
            return b""
        if self._kind == kind:
            return self._frame + _encode(text) + _END
        block: Said = SaidText() if kind == "text" else SaidThinking()
        return self._open(kind, block) + self._frame + _encode(text) + _END

    def _new(self, text: str) -> str:
        """What of a text is not the beginning that was given: engines that continue a turn say all of it."""
        held = self._held + text
        if held != self._begun and self._begun.startswith(held):
            self._held = held
            return ""
        new = held.removeprefix(self._begun)
        self._begun = self._held = ""
        return new

    # -- calls

    def _called(self, piece: ToolCallDelta) -> bytes:
        """More of a call. Blocks follow each other, so a call waits until the one before it is complete."""
        call = self._calls.get(piece.call)
        if call is None:
            call = self._calls[piece.call] = _Call()
        call.id += piece.id
        call.name += piece.name
        if piece.arguments:
            call.pieces.append(piece.arguments)
        if piece.call == self._call:
            return self._frame + _encode(piece.arguments) + _END if piece.arguments else b""
        if call.told and piece.arguments.strip():
            raise BrokenAnswer(self._provider, f"it goes on with a call of {call.name!r} that was complete")
        return self._further()

    def _further(self, *, last: bool = False) -> bytes:
        """Begin the calls that wait and may begin: at the *last* all of them."""
        begun = b""
        for number in sorted(self._calls):
            call = self._calls[number]
            if call.told or not (call.name or last):
                continue
            if self._call is not None and not last and not _complete("".join(self._calls[self._call].pieces)):
                break
            begun += self._open("tool_use", SaidToolUse(self._tool_id(call.id, number), call.name))
            self._call, call.told = number, True
            if call.pieces:
                begun += self._frame + _encode("".join(call.pieces)) + _END
        return begun

    def _tool_id(self, given: str, number: int) -> str:
        """The provider's own id in Anthropic's form; it comes back with the result and is used as it is."""
        if not _ID.fullmatch(given):
            given = f"{self._id.removeprefix('msg_')}_{number}"
        return given if given.startswith("toolu_") else f"toolu_{given}"

    # -- blocks

    def _open(self, kind: str, block: Said) -> bytes:
        shut = self._shut()
        self._kind, self._index = kind, self._index + 1
        self._frame = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % self._index
        )
        self._frame += b'{"type":"%s","%s":' % (_DELTAS[kind], _FIELDS[kind])
        return shut + _event("content_block_start", ContentBlockStart(self._index, block))

    def _shut(self) -> bytes:
        kind, self._kind, self._call = self._kind, "", None
        if not kind:
            return b""
        stop = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index
        if kind != "thinking":
            return stop
        signed = (
            b'{"type":"content_block_delta","index":%d,"delta":{"type":"signature_delta","signature":""'
            % self._index
        )
        return b"event: content_block_delta\ndata: " + signed + _END + stop


def _event(name: str, data: Struct) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _encode(data))


def _usage(usage: Usage | None) -> MessageUsage:
    if usage is None:
        return MessageUsage()
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    return MessageUsage(usage.prompt_tokens - cached, 0, cached, usage.completion_tokens)


def _reason(answer: Answer) -> StopReason:
    """Why it ended. A stop text and the model's own end are the same to engines: `stop`."""
    match answer.finish.reason:
        case "length":
            return "max_tokens"
        case "content_filter":
            return "refusal"
        case _:
            return "tool_use" if answer.tool_calls else "end_turn"


def _input(call: ToolCall, answer: Answer) -> dict[str, object] | None:
    """The arguments of a call; None if they were cut off.

    Raises:
        BrokenAnswer: they are no JSON object, though nothing cut them off.
    """
    try:
        given = _decode(call.arguments.strip() or "{}")
    except (ValueError, RecursionError):
        given = None
    if isinstance(given, dict) and call.name:
        return given
    if answer.finish.reason == "length":
        return None
    raise BrokenAnswer(answer.provider, f"the arguments of its call of {call.name!r} are not a JSON object")


def _complete(arguments: str) -> bool:
    try:
        _decode(arguments.strip() or "{}")
    except (ValueError, RecursionError):
        return False
    return True
