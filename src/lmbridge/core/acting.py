"""A run of a model with tools, in words: what it may do, what happens in it, and how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Self, TypeAlias, TypedDict, TypeVar

import msgspec
from msgspec import Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.events import Usage
from lmbridge.core.messages import Message, ToolCall
from lmbridge.core.requests import NamedTool, Sampling, Schema, ToolChoice
from lmbridge.core.tools import Toolbox, ToolResult

AnyTool: TypeAlias = Toolbox | Callable[..., object]
"""What can be handed over as a tool: a box of them, or a Python function that is documented and annotated."""

Stop: TypeAlias = Literal[
    "answered",
    "rounds",
    "tokens",
    "seconds",
    "calls",
    "length",
    "filtered",
    "invalid_call",
    "invalid_answer",
    "loop",
    "paused",
]
"""Why a run ended: with an answer; at a budget (`rounds`, `tokens`, `seconds`, `calls` of a tool); because an
answer was cut (`length`) or kept back by a filter (`filtered`); because a call, or the shape of the answer, was
wrong and so was the second try; because the same call was made over and over (`loop`); or because `approve` said
`Pause`."""


# ---- what is decided of a call


class Allow(Struct, frozen=True, tag="allow"):
    """Carry the call out."""


class Edit(Struct, frozen=True, tag="edit"):
    """Carry it out with other arguments; the chat then holds the call as if the model had made it so."""

    arguments: dict[str, object]


class Deny(Struct, frozen=True, tag="deny"):
    """Do not; the model is told so, with the reason."""

    reason: str = ""


class Pause(Struct, frozen=True, tag="pause"):
    """End the run here. It goes on from its state, some other time, with the same question about this call."""


Decision: TypeAlias = Allow | Edit | Deny | Pause


# ---- what happens


class RoundStarted(Struct, frozen=True, tag="round_started"):
    """The model is asked, for the *number*th time."""

    number: int


class PromptRead(Struct, frozen=True, tag="prompt_read"):
    """How far the prompt has been read, where the provider tells. `done` and `total` are tokens."""

    round: int
    done: int
    total: int

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 1.0


class FirstToken(Struct, frozen=True, tag="first_token"):
    """The model begins to write. `seconds`: since it was asked."""

    round: int
    seconds: float


class Fragment(Struct, frozen=True, tag="fragment"):
    """More of what the model writes. `reasoning`: it is a thought, and no part of the answer."""

    content: str
    round: int
    reasoning: bool = False


class CallRequested(Struct, frozen=True, tag="call_requested"):
    """The model wants a call made, and it is one that can be.

    Attributes:
        box, tool: whose tool it is, and what it is called there.
    """

    round: int
    call: ToolCall
    arguments: dict[str, object]
    box: str = ""
    tool: str = ""


class CallProgressed(Struct, frozen=True, tag="call_progressed"):
    """A tool tells how far it is. Of what it tells faster than it is heard, only the newest is here.

    Attributes:
        fraction: 0 to 1; None where it does not say how far.
        text: a word for people.
    """

    round: int
    call: ToolCall
    fraction: float | None = None
    text: str = ""


class CallAnswered(Struct, frozen=True, tag="call_answered"):
    """What came of a call.

    Attributes:
        carried_out: it was; otherwise the result says why not.
    """

    round: int
    call: ToolCall
    result: ToolResult
    seconds: float = 0.0
    carried_out: bool = True


class InvalidCall(Struct, frozen=True, tag="invalid_call"):
    """A call that cannot be made. `problem`: why, as the model is told."""

    round: int
    call: ToolCall
    problem: str


class Said(Struct, frozen=True, tag="said"):
    """A turn for the chat: the model's, or the result of a call."""

    message: Message


class RoundEnded(Struct, frozen=True, tag="round_ended"):
    """A round is over, its calls included."""

    number: int
    seconds: float
    tokens: int
    calls: int


ActEvent: TypeAlias = (
    RoundStarted
    | PromptRead
    | FirstToken
    | Fragment
    | CallRequested
    | CallProgressed
    | CallAnswered
    | InvalidCall
    | Said
    | RoundEnded
)


# ---- where it stands, and how it ended


class Repeat(Struct, frozen=True):
    """How often in a row a call gave the same result. `result`: its fingerprint."""

    result: str
    times: int = 1


class ActState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a run stands, between two rounds or before the calls of one: all that it takes to go on.

    Attributes:
        messages: the whole conversation. began: how many turns of it there were before the run.
        pending: a turn of the model whose calls are not answered yet; no part of `messages`.
        rounds, seconds: so far. tokens: that the model wrote. usage: of all rounds together.
        calls: made so far, by tool. repeats: by fingerprint of a call.
        retry: the tool, or any tool (""), that has to be called as the call before was invalid; None otherwise.
        reshape: the answer has to be given once more, in its shape.
    """

    messages: tuple[Message, ...]
    began: int
    pending: Message | None = None
    rounds: int = 0
    seconds: float = 0.0
    tokens: int = 0
    usage: Usage = Usage()
    calls: dict[str, int] = {}
    repeats: dict[str, Repeat] = {}
    retry: str | None = None
    reshape: bool = False
    format: Literal["lmbridge act 1"] = "lmbridge act 1"

    def to_json(self) -> bytes:
        """For a file, a database, another process."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """What `to_json` gave.

        Raises:
            InvalidRequest: it is something else.
        """
        return _decoded(data, cls)


class ActResult(Struct, frozen=True, kw_only=True):
    """How a run ended, and all that happened in it, so that it can be replayed.

    Attributes:
        stop: why it ended. detail: the same for people, where there is more to say.
        answer: the last turn of the model that has words; None if it said nothing.
        value: the answer as the JSON value it is, where a shape was asked for and `stop` is `answered`.
        state: to go on from: `model.act(result.state, tools)`.
        events: what happened, in order.
    """

    stop: Stop
    detail: str = ""
    answer: Message | None = None
    value: object = None
    state: ActState
    events: tuple[ActEvent, ...] = ()

    @property
    def text(self) -> str:
        """The words of the answer; "" for none."""
        return self.answer.text if self.answer is not None else ""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns that the run added to the conversation."""
        return self.state.messages[self.state.began :]

    @property
    def rounds(self) -> int:
        """How often the model was asked."""
        return self.state.rounds

    @property
    def seconds(self) -> float:
        """How long it took, calls and callbacks included."""
        return self.state.seconds

    @property
    def tokens(self) -> Usage:
        """Tokens of all rounds together."""
        return self.state.usage

    def to_json(self) -> bytes:
        """The whole run, to be replayed without a model."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """What `to_json` gave.

        Raises:
            InvalidRequest: it is something else.
        """
        return _decoded(data, cls)


_S = TypeVar("_S", bound=Struct)


def _decoded(data: bytes | str, shape: type[_S]) -> _S:
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"That is no {shape.__name__}: {error}.") from error


# ---- what can be asked for

_E = TypeVar("_E")
Told: TypeAlias = Callable[[_E], object]
"""A callback. What it returns is awaited if it can be, and thrown away; what it raises ends the run."""

Approve: TypeAlias = Callable[[CallRequested], Decision | bool | Awaitable[Decision | bool]]
"""Asked before a call is carried out; True is `Allow()`, False `Deny()`. One call at a time is asked about."""

OnInvalid: TypeAlias = Callable[[InvalidCall], str | Awaitable[str | None] | None]
"""Told of a call that cannot be made; what it returns is what the model is told, if that is a text."""


class ActCallbacks(TypedDict, total=False):
    """Who is told what. Each is called with one thing, in the event loop, and may be `async`.

    on_message: each turn as it becomes part of the conversation, such as `chat.append`. A turn with calls comes
        together with all of their results: whatever happens, no call is left without one.
    on_prediction_fragment: what the model writes, while it does (`f.content`; thoughts have `f.reasoning`).
    on_first_token, on_prompt_progress, on_round_start, on_round_end: `FirstToken`, `PromptRead`, `RoundStarted`,
        `RoundEnded`.
    on_tool_call, on_tool_progress, on_tool_result: `CallRequested` before approval; `CallProgressed` while a tool
        works, where it tells; `CallAnswered`.
    on_state: where the run stands, whenever that changes: to be kept, and gone on from after a crash.
    """

    on_message: Told[Message]
    on_prediction_fragment: Told[Fragment]
    on_first_token: Told[FirstToken]
    on_prompt_progress: Told[PromptRead]
    on_round_start: Told[RoundStarted]
    on_round_end: Told[RoundEnded]
    on_tool_call: Told[CallRequested]
    on_tool_progress: Told[CallProgressed]
    on_tool_result: Told[CallAnswered]
    on_state: Told[ActState]


class ActOptions(ActCallbacks, total=False):
    """What a run may do besides.

    approve: asked before each call; without it, every call is carried out.
    on_invalid: told of calls that cannot be made.
    max_rounds: how often the model is asked at most. max_tokens: that it writes in all rounds together.
    max_seconds: for all of it. A budget that is used up ends the run, with what there is.
    max_calls: of each tool, or by its name.
    max_result_chars: of what a tool gives back in words (50,000). The rest is left out, and the model is told how
        much; None for no limit.
    identical_calls: the so-many-th call that equals the ones before, which all gave the same result, is not
        carried out and ends the run.
    parallel: whether the calls of one turn are made at the same time; a number is how many at most.
    schema: the shape of the final answer; a dict is a JSON schema.
    tool_choice: of the first round; afterwards the model is free to stop.
    sampling, reasoning_effort, extra, truncate, task: as of `ChatRequest`, for each round.
    """

    approve: Approve | None
    on_invalid: OnInvalid
    max_rounds: int | None
    max_tokens: int | None
    max_seconds: float | None
    max_calls: int | Mapping[str, int] | None
    max_result_chars: int | None
    identical_calls: int
    parallel: bool | int
    schema: Schema | Mapping[str, object] | None
    tool_choice: ToolChoice | NamedTool
    sampling: Sampling
    reasoning_effort: str | None
    extra: Mapping[str, object]
    truncate: bool
    task: str


Tools: TypeAlias = Sequence[AnyTool]
