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
from msgspec import UNSET, Raw, UnsetType

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
from lmbridge.wire.lmstudio.serving.errors import as_asked, describe
from lmbridge.wire.lmstudio.serving.events import (
    ChatEnd,
    ChatResult,
    ChatStart,
    ErrorEvent,
    InvalidName,
    InvalidToolCall,
    ModelLoadEnd,
    ModelLoadProgress,
    ModelLoadStart,
    OutputItem,
    PromptProcessingEnd,
    PromptProcessingProgress,
    PromptProcessingStart,
    QueueProgress,
    Stats,
    Thoughts,
    ThoughtsEnd,
    ThoughtsPiece,
    ThoughtsStart,
    ToolCallFailure,
    Words,
    WordsEnd,
    WordsPiece,
    WordsStart,
    before_content,
    frame,
)

_Part: TypeAlias = Literal["reasoning", "message"]
_encode: Final = msgspec.json.Encoder().encode

STILL: Final = b": still waiting\n\n"
"""A comment, where there is nothing new: time-outs notice it and clients do not."""

UNKNOWN_TOOL: Final = "The model called a tool that it was not given."


_PARTS: Final[dict[_Part, tuple[bytes, bytes, bytes]]] = {
    "reasoning": (frame(ThoughtsStart()), before_content(ThoughtsPiece), frame(ThoughtsEnd())),
    "message": (frame(WordsStart()), before_content(WordsPiece), frame(WordsEnd())),
}
"""How each kind of part begins, how a piece of it begins up to the words, and how it ends."""
_ITEMS: Final[dict[_Part, type[Thoughts] | type[Words]]] = {"reasoning": Thoughts, "message": Words}


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

    media = b"text/event-stream; charset=utf-8"
    eager = True

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
        self._items: list[OutputItem] = []

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
        failures = [frame(ToolCallFailure(UNKNOWN_TOOL, _about(call))) for call in answer.tool_calls]
        end = frame(ChatEnd(self._result(answer, facts)))
        return b"".join((self._begin(), self._end_part(), *failures, end))

    def whole(self, answer: Answer, facts: Facts) -> bytes:
        """The body of an answer that is not streamed."""
        return _encode(self._result(answer, facts))

    def failed(self, error: BridgeError) -> bytes:
        """The end of a stream that has failed: why, and then what there is of the answer."""
        output = self._so_far()
        told = frame(ErrorEvent(describe(as_asked(error), quirks=self._quirks)))
        return self._begin() + self._end_part() + told + frame(ChatEnd(ChatResult(self._model, output, Stats())))

    def _so_far(self) -> tuple[OutputItem, ...]:
        """What has been said and done, in its order."""
        self._items += [_ITEMS[kind]("".join(pieces)) for kind, pieces in self._said if any(pieces)]
        self._said.clear()
        return tuple(self._items)

    # ---- before the first word

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return frame(ChatStart(self._model))

    def _queue(self, position: int) -> bytes:
        if position == self._position:
            return b""
        self._position = position
        if self._quirks:
            return b": %d ahead in the queue\n\n" % position
        return frame(QueueProgress(position))

    def _load(self, progress: float) -> bytes:
        if self._reading != "before":
            return b""
        start = b""
        if self._load_began is None:
            self._load_began, self._progress = self._clock(), 0.0
            start = frame(ModelLoadStart(self._model))
        self._progress = max(self._progress, min(1.0, progress))
        return start + frame(ModelLoadProgress(self._model, self._progress))

    def _loaded(self) -> bytes:
        if self._load_began is None or self._reading != "before":
            return b""
        return frame(ModelLoadEnd(self._model, round(self._clock() - self._load_began, 3)))

    def _read(self, progress: float) -> bytes:
        if self._reading == "done":
            return b""
        if self._reading == "before":
            start = self._loaded() + frame(PromptProcessingStart())
            self._reading, self._progress = "now", min(1.0, progress)
            return start + self._read_so_far()
        if progress <= self._progress:
            return b""
        self._progress = min(1.0, progress)
        return self._read_so_far()

    def _read_so_far(self) -> bytes:
        return frame(PromptProcessingProgress(self._progress))

    def _finish_reading(self) -> bytes:
        if self._reading == "done":
            return b""
        told = self._read(1.0) + frame(PromptProcessingEnd())
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

    def _result(self, answer: Answer, facts: Facts) -> ChatResult:
        message = answer.message
        said: list[tuple[_Part, str]] = [("reasoning", message.reasoning or ""), ("message", message.text)]
        parts = [_ITEMS[kind](text) for kind, text in said if text]
        calls = [InvalidToolCall(UNKNOWN_TOOL, _about(call)) for call in answer.tool_calls]
        stats = cost(answer.finish.usage, facts, message.reasoning or "", message.text)
        return ChatResult(facts.name, (*parts, *calls), stats, self._id or UNSET)


def cost(usage: Usage | None, facts: Facts, thought: str, text: str) -> Stats:
    """What an answer cost."""
    used = usage or Usage()
    talking = facts.total_s - facts.first_event_s
    speed = facts.tokens_per_s or (used.completion_tokens / talking if talking > 0 else 0.0)
    return Stats(
        used.prompt_tokens,
        used.completion_tokens,
        thinking(used, thought, text),
        round(speed, 3),
        round(facts.first_event_s, 4),
        UNSET if facts.load_s is None else round(facts.load_s, 3),
    )


def thinking(usage: Usage, thought: str, text: str) -> int:
    """Tokens of the thoughts: as they were counted, else by their share of the letters."""
    share = len(thought) / ((len(thought) + len(text)) or 1)
    return usage.reasoning_tokens or round(usage.completion_tokens * share)


def written_arguments(call: ToolCall) -> Raw | UnsetType:
    """The arguments of a call, if they are an object."""
    try:
        parsed: object = msgspec.json.decode(call.arguments)
    except (ValueError, RecursionError):
        return UNSET
    return Raw(call.arguments.encode()) if isinstance(parsed, dict) else UNSET


def _about(call: ToolCall) -> InvalidName:
    return InvalidName(call.name, written_arguments(call))
