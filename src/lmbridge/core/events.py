"""What comes back: the events of a streamed answer, and the whole answer they add up to."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from lmbridge.core.messages import Message, ToolCall

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]

StopReason: TypeAlias = Literal["end_turn", "tool_use", "max_tokens", "refusal"]

_STOPS: dict[str, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


class Usage(Struct, frozen=True):
    """Tokens counted by the engine. A provider that reports none gives no Usage rather than zeros.

    Attributes:
        cached_tokens: those of the prompt that were remembered.
        reasoning_tokens: those of the completion that were thought; 0 also where nobody counts them apart.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class Timings(Struct, frozen=True):
    """How long it took, as the engine or the client measured it.

    Attributes:
        first_event_s: seconds from sending the request to the first piece of the answer.
        total_s: seconds from sending the request to the end.
        tokens_per_s: speed of generation alone, None when nothing measured it.
    """

    first_event_s: float
    total_s: float
    tokens_per_s: float | None = None


class Started(Struct, frozen=True, tag="started"):
    """The first event: who answers.

    Attributes:
        model: as the provider names it, for comparison with what was asked.
        prompt_tokens: tokens of the prompt, where they were told before the answer (see `PromptProgress`).
    """

    provider: str
    model: str
    prompt_tokens: int | None = None


class PromptProgress(Struct, frozen=True, tag="prompt_progress"):
    """How far the prompt has been read: no part of the answer, and only for who asked (`ChatRequest.progress`).

    Attributes:
        done, total: tokens; what was remembered from an earlier prompt counts as done.
    """

    done: int
    total: int

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 1.0


class TextDelta(Struct, frozen=True, tag="text"):
    """More of the answer."""

    text: str
    index: int = 0


class ReasoningDelta(Struct, frozen=True, tag="reasoning"):
    """More of what the model thinks, apart from the answer."""

    text: str
    index: int = 0


class ToolCallDelta(Struct, frozen=True, tag="tool_call_delta"):
    """More of a tool call.

    Attributes:
        call: position of the call within the answer; `id` and `name` come with its first piece.
        arguments: next piece of the JSON text.
    """

    call: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    index: int = 0


class Finished(Struct, frozen=True, tag="finished"):
    """The last event: why it ended and what it cost.

    Attributes:
        reason: as the provider gave it, an unknown one kept.
    """

    reason: FinishReason | str
    usage: Usage | None = None
    timings: Timings | None = None
    index: int = 0


Event: TypeAlias = Started | PromptProgress | TextDelta | ReasoningDelta | ToolCallDelta | Finished


class Answer(Struct, frozen=True):
    """A whole answer.

    Attributes:
        message: the assistant's turn, ready to be appended to the conversation.
    """

    message: Message
    finish: Finished
    provider: str
    model: str

    @property
    def text(self) -> str:
        """The words of the answer."""
        return self.message.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls the model wants made."""
        return self.message.tool_calls

    @property
    def usage(self) -> Usage | None:
        """What it cost in tokens; None where the provider does not count."""
        return self.finish.usage

    @property
    def stop_reason(self) -> StopReason | str:
        """Why it ended, in the words that loops over tools use: `tool_use` whenever there are calls to be made."""
        return "tool_use" if self.tool_calls else _STOPS.get(self.finish.reason, self.finish.reason)


class _Call:
    """A call as far as it has come."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = self.name = ""
        self.arguments: list[str] = []  # put together once: they may be long, and come letter by letter

    def whole(self) -> ToolCall:
        return ToolCall(self.id, self.name, "".join(self.arguments))


class AnswerBuilder:
    """Adds events up to the `Answer` they describe. Feed every event, then `close()`."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._started = Started("", "")
        self._finished: Finished | None = None

    def feed(self, event: Event) -> None:
        """Take the next event. Only the first choice (index 0) is built."""
        match event:
            case Started():
                self._started = event
            case TextDelta(text, 0):
                self._text.append(text)
            case ReasoningDelta(text, 0):
                self._reasoning.append(text)
            case ToolCallDelta(call, call_id, name, arguments, 0):
                known = self._calls.setdefault(call, _Call())
                known.id += call_id
                known.name += name
                known.arguments.append(arguments)
            case Finished(index=0):
                self._finished = event
            case _:
                pass

    @property
    def finished(self) -> bool:
        """Whether the last event has come."""
        return self._finished is not None

    def close(self) -> Answer:
        """The answer.

        Raises:
            ValueError: the events stopped before `Finished`.
        """
        if self._finished is None:
            raise ValueError("the events stopped before the answer was finished")
        message = Message(
            "assistant",
            "".join(self._text),
            reasoning="".join(self._reasoning) or None,
            tool_calls=tuple(self._calls[k].whole() for k in sorted(self._calls)),
        )
        return Answer(message, self._finished, self._started.provider, self._started.model)


class Embeddings(Struct, frozen=True):
    """Vectors, one for each input in the order of the inputs.

    Attributes:
        vectors: shape (inputs, dimensions).
    """

    vectors: tuple[tuple[float, ...], ...]
    provider: str
    model: str
    usage: Usage | None = None
