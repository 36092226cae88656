"""Answers in Ollama's words: line by line (NDJSON), or whole.

Every line tells the model, the time and whether it is the last; the last one counts tokens and nanoseconds
(https://github.com/ollama/ollama/blob/main/docs/api.md). Tool calls are told whole, their arguments as an object.
There are no comments in NDJSON, so a sign of life is a line without words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time_ns
from typing import Final, TypeAlias, TypedDict

import msgspec
from msgspec import UNSET, UnsetType

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import (
    Answer,
    Embeddings,
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)
from lmbridge.core.messages import ToolCall
from lmbridge.core.turns import Facts, Wait
from lmbridge.wire.ollama.continued import Continuation
from lmbridge.wire.ollama.durations import LONGEST_S
from lmbridge.wire.ollama.shapes import (
    Call,
    CalledFunction,
    ChatEnd,
    ChatLine,
    Embedded,
    GenerateEnd,
    GenerateLine,
    Said,
    rfc3339,
)

NDJSON: Final = b"application/x-ndjson"

Clock: TypeAlias = Callable[[], int]
"""Nanoseconds since 1970."""

_encode: Final = msgspec.json.Encoder().encode


def embedded(model: str, vectors: Embeddings | None, total_s: float, load_s: float | None) -> Embedded:
    """The answer to a request for vectors; None for one that only loaded the model.

    Args:
        total_s: seconds it took. load_s: seconds of loading, if it loaded the model.
    """
    usage = vectors.usage if vectors is not None else None
    return Embedded(
        model=model,
        embeddings=vectors.vectors if vectors is not None else (),
        total_duration=_ns(total_s),
        load_duration=_ns(load_s or 0.0),
        prompt_eval_count=usage.prompt_tokens if usage is not None else UNSET,
    )


# ---- what an answer cost


class _Counted(TypedDict):
    total_duration: int
    load_duration: int
    prompt_eval_count: int | UnsetType
    prompt_eval_duration: int
    eval_count: int | UnsetType
    eval_duration: int


def _counted(answer: Answer, facts: Facts) -> _Counted:
    """The fields of `Counts`. Reading the prompt is what came before the first word, less the load."""
    usage, load_s = answer.finish.usage, facts.load_s or 0.0
    speed = facts.tokens_per_s
    speaking_s = facts.total_s - facts.first_event_s
    if usage is not None and speed:
        speaking_s = usage.completion_tokens / speed
    return {
        "total_duration": _ns(facts.total_s),
        "load_duration": _ns(load_s),
        "prompt_eval_count": UNSET if usage is None else usage.prompt_tokens,
        "prompt_eval_duration": _ns(facts.first_event_s - load_s),
        "eval_count": UNSET if usage is None else usage.completion_tokens,
        "eval_duration": _ns(speaking_s),
    }


def _ns(seconds: float) -> int:
    """Nanoseconds, at least one: clients divide by them."""
    return max(1, round(min(seconds, LONGEST_S) * 1e9)) if seconds else 0


def _reason(answer: Answer) -> str:
    # Ollama has no word of its own for an answer that calls tools.
    reason = answer.finish.reason
    return "stop" if reason == "tool_calls" else reason


# ---- encoders


class _Calls:
    """Tool calls as their pieces come; told when all of them are whole."""

    def __init__(self) -> None:
        self._parts: dict[int, list[str]] = {}

    def feed(self, delta: ToolCallDelta) -> None:
        """More of a call."""
        parts = self._parts.setdefault(delta.call, ["", "", ""])
        parts[0] += delta.id
        parts[1] += delta.name
        parts[2] += delta.arguments

    def close(self, provider: str) -> tuple[Call, ...]:
        """All calls, now that the answer is finished.

        Raises:
            BrokenAnswer: the arguments of one are no JSON object.
        """
        return _told([ToolCall(*self._parts[at]) for at in sorted(self._parts)], provider)


def _told(calls: Sequence[ToolCall], provider: str) -> tuple[Call, ...]:
    """Tool calls in Ollama's form.

    Raises:
        BrokenAnswer: the arguments of one are no JSON object, which is what its clients get.
    """
    return tuple(
        Call(call.id, CalledFunction(at, call.name, _arguments(call, provider))) for at, call in enumerate(calls)
    )


def _arguments(call: ToolCall, provider: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(call.arguments or "{}", type=dict[str, object])
    except (ValueError, RecursionError) as error:
        raise BrokenAnswer(
            provider, f"the arguments of its call of {call.name[:100]!r} are cut off, or no JSON object"
        ) from error


class ChatEncoder:
    """One answer to `POST /api/chat`.

    Args:
        model: as the caller named it.
        begun: what the answer begins with already and is not said again.
        clock: tells the time.
    """

    media = NDJSON
    eager = False

    def __init__(self, model: str, begun: str = "", clock: Clock = time_ns) -> None:
        self._model, self._clock, self._calls, self._provider = model, clock, _Calls(), ""
        self._begun, self._continued = begun, Continuation(begun)

    def waiting(self, wait: Wait) -> bytes:
        """A sign of life: a line without words."""
        return self._line(Said("assistant", ""))

    def feed(self, event: Event) -> bytes:
        """The next lines."""
        match event:
            case TextDelta(text, 0):
                return self._line(Said("assistant", new)) if (new := self._continued.feed(text)) else b""
            case ReasoningDelta(text, 0) if text:
                return self._line(Said("assistant", "", text))
            case ToolCallDelta(index=0):
                self._calls.feed(event)
            case Started():
                self._provider = event.provider
            case Finished(index=0):
                if calls := self._calls.close(self._provider):
                    return self._line(Said("assistant", "", tool_calls=calls))
            case _:
                pass
        return b""

    def close(self, answer: Answer, facts: Facts) -> bytes:
        """The last line."""
        held = self._continued.close()
        return _encode(self._end(Said("assistant", held), answer, facts)) + b"\n"

    def whole(self, answer: Answer, facts: Facts) -> bytes:
        """The whole answer.

        Raises:
            BrokenAnswer: the arguments of a tool call are no JSON object.
        """
        message = answer.message
        calls = _told(message.tool_calls, answer.provider)
        said = Said("assistant", message.text.removeprefix(self._begun), message.reasoning or "", calls)
        return _encode(self._end(said, answer, facts))

    def _line(self, said: Said) -> bytes:
        line = ChatLine(model=self._model, created_at=rfc3339(self._clock()), message=said)
        return _encode(line) + b"\n"

    def _end(self, said: Said, answer: Answer, facts: Facts) -> ChatEnd:
        return ChatEnd(
            model=self._model,
            created_at=rfc3339(self._clock()),
            message=said,
            done_reason=_reason(answer),
            **_counted(answer, facts),
        )


class GenerateEncoder:
    """One answer to `POST /api/generate`.

    Args:
        model: as the caller named it.
        clock: tells the time.
    """

    media = NDJSON
    eager = False

    def __init__(self, model: str, clock: Clock = time_ns) -> None:
        self._model, self._clock = model, clock

    def waiting(self, wait: Wait) -> bytes:
        """A sign of life: a line without words."""
        return self._line("")

    def feed(self, event: Event) -> bytes:
        """The next line. There are no tools in a generation."""
        match event:
            case TextDelta(text, 0) if text:
                return self._line(text)
            case ReasoningDelta(text, 0) if text:
                return self._line("", text)
            case _:
                return b""

    def close(self, answer: Answer, facts: Facts) -> bytes:
        """The last line."""
        return _encode(self._end("", UNSET, answer, facts)) + b"\n"

    def whole(self, answer: Answer, facts: Facts) -> bytes:
        """The whole answer."""
        return _encode(self._end(answer.text, answer.message.reasoning or UNSET, answer, facts))

    def _line(self, text: str, thought: str | UnsetType = UNSET) -> bytes:
        line = GenerateLine(model=self._model, created_at=rfc3339(self._clock()), response=text, thinking=thought)
        return _encode(line) + b"\n"

    def _end(self, text: str, thought: str | UnsetType, answer: Answer, facts: Facts) -> GenerateEnd:
        return GenerateEnd(
            model=self._model,
            created_at=rfc3339(self._clock()),
            response=text,
            thinking=thought,
            done_reason=_reason(answer),
            **_counted(answer, facts),
        )
