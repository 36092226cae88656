"""Answers of LM Studio's own chat, `POST /api/v1/chat`, whole and streamed.

The stream tells of everything in order: `chat.start`, the load if there is one, the reading of the prompt,
thoughts and words in parts with a beginning and an end, and at last, whatever happened, `chat.end` with the
whole result. Each frame has its type twice, as its event and in its data; there is no `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final, Literal, TypeAlias, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from lmbridge.core.errors import BridgeError
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
from lmbridge.wire.lmstudio.serving.errors import describe

_Part: TypeAlias = Literal["reasoning", "message"]
_encode: Final = msgspec.json.Encoder().encode

STILL: Final = b": still waiting\n\n"
"""A comment, where there is nothing new: time-outs notice it and clients do not."""

UNKNOWN_TOOL: Final = "The model called a tool that it was not given."


class _Said(Struct):
    type: _Part
    content: str


class _Metadata(Struct, tag="invalid_name"):
    tool_name: str
    arguments: Raw | UnsetType = UNSET


class _InvalidCall(Struct, tag="invalid_tool_call"):
    reason: str
    metadata: _Metadata


class _Stats(Struct):
    input_tokens: int = 0
    total_output_tokens: int = 0
    reasoning_output_tokens: int = 0
    tokens_per_second: float = 0.0
    time_to_first_token_seconds: float = 0.0
    model_load_time_seconds: float | UnsetType = UNSET


class _Result(Struct):
    model_instance_id: str
    output: list[_Said | _InvalidCall]
    stats: _Stats
    response_id: str | UnsetType = UNSET


def _frames() -> dict[_Part, tuple[bytes, bytes, bytes]]:
    kinds: tuple[_Part, ...] = ("reasoning", "message")
    return {
        kind: (_frame(f"{kind}.start"), _head(f"{kind}.delta", "content"), _frame(f"{kind}.end")) for kind in kinds
    }


def _frame(kind: str, **fields: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **fields}))


def _head(kind: str, field: str) -> bytes:
    """The beginning of a frame up to the value of its one field."""
    return f'event: {kind}\ndata: {{"type":"{kind}","{field}":'.encode()


_PARTS: Final = _frames()
_READING: Final = (_frame("prompt_processing.start"), _frame("prompt_processing.end"))


class NativeChatEncoder:
    """One answer for who asked in LM Studio's own way.

    Args:
        model: what the instance is called, or will be when it is loaded.
        response_id: to go on from this answer; "" when it is not stored.
        quirks: keep to what LM Studio sends: the place in the queue is a comment then, no event.

    Attributes:
        media: content type of the stream.
        eager: it begins before the model is there, as it tells of the load.
    """

    media: Final = b"text/event-stream; charset=utf-8"
    eager: Final = True

    def __init__(
        self,
        model: str,
        response_id: str = "",
        *,
        quirks: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._model, self._id, self._quirks, self._clock = model, response_id, quirks, clock
        self._begun = False
        self._position = 0
        self._load_began: float | None = None
        self._reading: Literal["before", "now", "done"] = "before"
        self._progress = 0.0  # of the load, then of the prompt
        self._part: _Part | None = None
        self._said: list[tuple[_Part, list[str]]] = []

    def waiting(self, wait: Wait) -> bytes:
        """That there is no answer yet, and why."""
        match wait.phase:
            case "queued":
                told = self._begin() + self._queue(wait.position)
            case "loading":
                told = self._begin() + self._load(wait.progress)
            case "prompt":
                told = self._begin() + self._read(wait.progress)
            case _:
                assert_never(wait.phase)
        return told or STILL

    def feed(self, event: Event) -> bytes:
        """The next event of the answer."""
        match event:
            case TextDelta(text, 0):
                return self._say("message", text)
            case ReasoningDelta(text, 0):
                return self._say("reasoning", text)
            case PromptProgress():
                return self._begin() + self._read(event.fraction)
            case Started():
                return self._begin() + self._read(0.0)
            case Finished(index=0):
                return self._begin() + self._finish_reading() + self._end_part()
            case TextDelta() | ReasoningDelta() | ToolCallDelta() | Finished():
                return b""  # other choices; and calls, which are told when they are whole
            case _:
                assert_never(event)

    def close(self, answer: Answer, facts: Facts) -> bytes:
        """The end of a stream that went well."""
        failures = [
            _frame("tool_call.failure", reason=UNKNOWN_TOOL, metadata=_about(c)) for c in answer.tool_calls
        ]
        end = _frame("chat.end", result=self._result(answer, facts))
        return b"".join((self._begin(), self._end_part(), *failures, end))

    def whole(self, answer: Answer, facts: Facts) -> bytes:
        """The body of an answer that is not streamed."""
        return _encode(self._result(answer, facts))

    def failed(self, error: BridgeError) -> bytes:
        """The end of a stream that has failed: why, and then what there is of the answer."""
        items: list[_Said | _InvalidCall] = [_Said(kind, "".join(pieces)) for kind, pieces in self._said]
        end = _frame("chat.end", result=_Result(self._model, items, _Stats()))
        return self._begin() + self._end_part() + _frame("error", error=describe(error, quirks=self._quirks)) + end

    # ---- before the first word

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return _frame("chat.start", model_instance_id=self._model)

    def _queue(self, position: int) -> bytes:
        if position == self._position:
            return b""
        self._position = position
        if self._quirks:
            return b": %d ahead in the queue\n\n" % position
        return _frame("queue.progress", position=position)

    def _load(self, progress: float) -> bytes:
        start = b""
        if self._load_began is None:
            self._load_began, self._progress = self._clock(), 0.0
            start = _frame("model_load.start", model_instance_id=self._model)
        self._progress = max(self._progress, min(1.0, progress))
        return start + _frame("model_load.progress", model_instance_id=self._model, progress=self._progress)

    def _loaded(self) -> bytes:
        if self._load_began is None or self._reading != "before":
            return b""
        seconds = round(self._clock() - self._load_began, 3)
        return _frame("model_load.end", model_instance_id=self._model, load_time_seconds=seconds)

    def _read(self, progress: float) -> bytes:
        if self._reading == "done":
            return b""
        if self._reading == "before":
            start = self._loaded() + _READING[0]
            self._reading, self._progress = "now", min(1.0, progress)
            return start + self._read_so_far()
        if progress <= self._progress:
            return b""
        self._progress = min(1.0, progress)
        return self._read_so_far()

    def _read_so_far(self) -> bytes:
        return _frame("prompt_processing.progress", progress=self._progress)

    def _finish_reading(self) -> bytes:
        if self._reading == "done":
            return b""
        told = self._read(1.0) + _READING[1]
        self._reading = "done"
        return told

    # ---- words

    def _say(self, kind: _Part, text: str) -> bytes:
        start, head, _ = _PARTS[kind]
        if self._part == kind:
            self._said[-1][1].append(text)
            return b"%b%b}\n\n" % (head, _encode(text))
        before = self._begin() + self._finish_reading() + self._end_part()
        self._part = kind
        self._said.append((kind, [text]))
        return b"%b%b%b%b}\n\n" % (before, start, head, _encode(text))

    def _end_part(self) -> bytes:
        if self._part is None:
            return b""
        ended, self._part = self._part, None
        return _PARTS[ended][2]

    # ---- the result

    def _result(self, answer: Answer, facts: Facts) -> _Result:
        message = answer.message
        said: list[tuple[_Part, str]] = [("reasoning", message.reasoning or ""), ("message", message.text)]
        output: list[_Said | _InvalidCall] = [_Said(kind, text) for kind, text in said if text]
        output += [_InvalidCall(UNKNOWN_TOOL, _about(call)) for call in answer.tool_calls]
        stats = _cost(answer.finish.usage, facts, message.reasoning or "", message.text)
        return _Result(facts.name, output, stats, self._id or UNSET)


def _cost(usage: Usage | None, facts: Facts, thought: str, text: str) -> _Stats:
    """What an answer cost. Tokens that nobody counted are 0: LM Studio's clients insist on numbers."""
    used = usage or Usage()
    talking = facts.total_s - facts.first_event_s
    speed = facts.tokens_per_s or (used.completion_tokens / talking if talking > 0 else 0.0)
    return _Stats(
        used.prompt_tokens,
        used.completion_tokens,
        thinking(used, thought, text),
        round(speed, 3),
        round(facts.first_event_s, 4),
        UNSET if facts.load_s is None else round(facts.load_s, 3),
    )


def thinking(usage: Usage, thought: str, text: str) -> int:
    """Tokens of the thoughts: no engine counts them apart, so they are told by their share of the letters."""
    return round(usage.completion_tokens * len(thought) / ((len(thought) + len(text)) or 1))


def _about(call: ToolCall) -> _Metadata:
    try:
        parsed = msgspec.json.decode(call.arguments)
    except (ValueError, RecursionError):
        parsed = None
    return _Metadata(call.name, Raw(call.arguments.encode()) if isinstance(parsed, dict) else UNSET)
