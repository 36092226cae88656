"""The shapes of Ollama's answers: lines of a stream, their ends, whole answers, vectors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from msgspec import UNSET, Struct, UnsetType


def rfc3339(ns: int) -> str:
    """A moment as Ollama's clients parse it, to the nanosecond."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest:09}Z"


@lru_cache(maxsize=8)  # a stream has hundreds of lines in a second
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


class CalledFunction(Struct, frozen=True):
    """The function of a tool call. `index` is its place among the calls of the answer."""

    index: int
    name: str
    arguments: dict[str, object]


class Call(Struct, frozen=True):
    """A call the model wants made."""

    id: str
    function: CalledFunction


class Said(Struct, frozen=True, omit_defaults=True):
    """The assistant's turn, or a piece of it."""

    role: str
    content: str
    thinking: str = ""
    tool_calls: Sequence[Call] = ()


class Counts(Struct, frozen=True, kw_only=True):
    """What an answer cost, in tokens and nanoseconds; tokens are left out where nobody counted them."""

    model: str
    created_at: str
    total_duration: int
    load_duration: int
    prompt_eval_count: int | UnsetType = UNSET
    prompt_eval_duration: int
    eval_count: int | UnsetType = UNSET
    eval_duration: int


class ChatLine(Struct, frozen=True, kw_only=True):
    """A line of a chat that is not the last."""

    model: str
    created_at: str
    message: Said
    done: bool = False


class ChatEnd(Counts, frozen=True, kw_only=True):
    """The last line of a chat, or the whole of it."""

    message: Said
    done: bool = True
    done_reason: str


class GenerateLine(Struct, frozen=True, kw_only=True):
    """A line of a generation that is not the last."""

    model: str
    created_at: str
    response: str
    thinking: str | UnsetType = UNSET
    done: bool = False


class GenerateEnd(Counts, frozen=True, kw_only=True):
    """The last line of a generation, or the whole of it."""

    response: str
    thinking: str | UnsetType = UNSET
    done: bool = True
    done_reason: str


class ChatLoaded(Struct, frozen=True, kw_only=True):
    """The answer to a chat without messages. `done_reason`: `load` or `unload`."""

    model: str
    created_at: str
    message: Said = Said("assistant", "")
    done: bool = True
    done_reason: str


class GenerateLoaded(Struct, frozen=True, kw_only=True):
    """The answer to a generation without a prompt. `done_reason`: `load` or `unload`."""

    model: str
    created_at: str
    response: str = ""
    done: bool = True
    done_reason: str


class Embedded(Struct, frozen=True, kw_only=True):
    """The answer to `POST /api/embed`."""

    model: str
    embeddings: Sequence[Sequence[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int | UnsetType = UNSET


class EmbeddedOne(Struct, frozen=True):
    """The answer to `POST /api/embeddings`."""

    embedding: Sequence[float]
