"""What is looked at in an answer that is passed on as it came: the types of the fields that OpenAI's clients read.

(https://platform.openai.com/docs/api-reference: chat, completions, embeddings) Nothing is changed and nothing is
missed, as servers leave out much and have fields of their own. But what is there has the type that the API gives
it, in JSON and in UTF-8, so that no client falls over what a server has made up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Final, TypeVar

from msgspec import Meta, Raw, Struct
from msgspec.json import Decoder

from lmbridge.core.errors import BridgeError, BrokenAnswer
from lmbridge.core.events import Usage
from lmbridge.wire.openai.answers import MAX_CALLS, decode_as
from lmbridge.wire.openai.errors import decode_error, is_error
from lmbridge.wire.openai.usage import Count, TimingFields, UsageFields, to_usage
from lmbridge.wire.sse import SSEDecoder, SSEError, SSEEvent

_EVENT: Final = re.compile(rb".*?(?:\r\n\r\n|\n\n)", re.DOTALL)
# `error: {…}` is how older llama.cpp servers begin the line.
_OLDER_ERROR: Final = re.compile(rb"^error:", re.MULTILINE)
_ERROR: Final = rb"event: error\ndata:"

_Place = Annotated[int, Meta(ge=0, le=MAX_CALLS)]


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, gc=False):
    index: _Place | None = None
    id: str | None = None
    type: str | None = None
    function: _Function | None = None


class _Said(Struct, gc=False):
    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct, gc=False):
    index: _Place = 0
    finish_reason: str | None = None
    logprobs: dict[str, Raw] | None = None


class _Whole(_Choice, kw_only=True):
    message: _Said


class _Piece(_Choice, kw_only=True):
    delta: _Said


class _Text(_Choice):
    text: str | None = None


class Relayed(Struct, kw_only=True, gc=False):
    """What all answers have.

    Attributes:
        model: who says that he answers.
    """

    id: str | None = None
    object: str | None = None
    created: float | None = None
    model: str | None = None
    usage: UsageFields | None = None
    timings: TimingFields | None = None
    error: Raw = Raw()


class ChatAnswer(Relayed):
    """A whole chat completion."""

    choices: Annotated[list[_Whole], Meta(min_length=1)]


class ChatPiece(Relayed):
    """A chunk of a chat completion; the last one may only tell what it all cost."""

    choices: list[_Piece] = []


class TextAnswer(Relayed):
    """A whole text completion."""

    choices: Annotated[list[_Text], Meta(min_length=1)]


class TextPiece(Relayed):
    """A piece of one."""

    choices: list[_Text] = []


class _Vector(Struct):
    embedding: list[float] | str
    index: Count = 0


class VectorAnswer(Relayed):
    """Vectors of texts, as numbers or in base64."""

    data: Annotated[list[_Vector], Meta(min_length=1)]


_T = TypeVar("_T", bound=Relayed)


def check(data: bytes, shape: type[_T], provider: str) -> _T:
    """Make sure that a whole answer, or the data of an event, is what its API says.

    Raises:
        BrokenAnswer: it is not.
        BridgeError: the error that it reports instead, whatever its status was.
    """
    answer = decode_as(data, shape, provider)
    if answer.error and is_error(answer.error):
        raise decode_error(None, data, provider)
    return answer


_decode_piece: Final[Mapping[type[ChatPiece | TextPiece], Callable[[bytes], ChatPiece | TextPiece]]] = {
    ChatPiece: Decoder(ChatPiece).decode,
    TextPiece: Decoder(TextPiece).decode,
}


class RelayedEvents:
    """The events of a stream that is passed on: give it pieces that end with an event.

    Args:
        shape: of an event's data.

    Attributes:
        ended: whether `[DONE]` has come; what follows it is dropped.
        finished: whether a reason to finish has come, which tells how far a cut stream got.
        usage: tokens, None if they were not told.
    """

    __slots__ = ("_decode", "_decoder", "_provider", "_shape", "ended", "finished", "usage")

    def __init__(self, shape: type[ChatPiece | TextPiece], provider: str) -> None:
        self._shape, self._provider = shape, provider
        self._decode, self._decoder = _decode_piece[shape], SSEDecoder()
        self.ended = self.finished = False
        self.usage: Usage | None = None

    def feed(self, events: bytes) -> tuple[bytes, BridgeError | None]:
        """The events that may pass, and the error that comes instead of the next one, if there is one."""
        if self.ended:
            return b"", None
        if self._passes_at_once(events):
            return events, None
        try:
            if all(self._passes(event) for event in self._decoder.feed(events)) and b"error:" not in events:
                return events, None
        except (BridgeError, SSEError):
            self._decoder = SSEDecoder()
        self.ended = False
        return self._one_by_one(events)

    def _passes_at_once(self, events: bytes) -> bool:
        """Whether this is one event in one line, as nearly all are, and a good one. If not, others look closer."""
        if not events.startswith(b"data: {") or events.find(b"\n") != len(events) - 2 or b"\r" in events:
            return False
        data = events[6:-2]
        try:
            data.decode()  # all of it, as `decode_as` does
            piece = self._decode(data)
        except (ValueError, RecursionError):
            return False
        if piece.error and is_error(piece.error):
            return False
        self._note(piece)
        return True

    def _note(self, piece: ChatPiece | TextPiece) -> None:
        for choice in piece.choices:
            if choice.finish_reason is not None:
                self.finished = True
        if piece.usage is not None or piece.timings is not None:
            self.usage = to_usage(piece.usage, piece.timings) or self.usage

    def _one_by_one(self, events: bytes) -> tuple[bytes, BridgeError | None]:
        good: list[bytes] = []
        for event in _EVENT.findall(events):
            try:
                passes = [self._passes(each) for each in SSEDecoder().feed(_OLDER_ERROR.sub(_ERROR, event))]
            except SSEError as error:
                return b"".join(good), BrokenAnswer(self._provider, str(error))
            except BridgeError as error:
                return b"".join(good), error
            if all(passes):
                good.append(event)
        return b"".join(good), None

    def _passes(self, event: SSEEvent) -> bool:
        """Whether an event is good; False if it is to be dropped.

        Raises:
            BridgeError: what it reports, or that it is none of an answer.
        """
        if self.ended or event.data == b"null":  # llama.cpp begins so where there are several prompts
            return False
        if event.data == b"[DONE]":
            self.ended = True
        elif event.name == "error":
            raise decode_error(None, event.data, self._provider)
        else:
            self._note(check(event.data, self._shape, self._provider))
        return True
