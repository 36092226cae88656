"""Several choices in one answer, counted rightly.

llama.cpp (b11549) reports what one of them cost as if it were all: in a whole answer nothing tells of the
others, in a stream every choice ends with a count of its own. So such an answer is always asked for as a
stream; here the counts are added up, and the whole answer is put together where that was wanted.
"""

from __future__ import annotations

from typing import Final

import msgspec

from lmbridge.core.errors import BridgeError, BrokenAnswer
from lmbridge.core.events import Usage
from lmbridge.wire.openai.errors import decode_error
from lmbridge.wire.openai.usage import UsageFields, to_usage

Fields = dict[str, object]

_encode: Final = msgspec.json.Encoder().encode


class Choices:
    """Feed it the data of every event, then read the rest.

    Args:
        provider: id of the provider that answers, for errors.
        each: choices for one prompt (`n`); a completion request may hold several prompts.

    Attributes:
        done: whether `[DONE]` has come.
    """

    def __init__(self, provider: str, each: int) -> None:
        self._provider, self._each = provider, each
        self._first: Fields = {}
        self._choices: dict[int, Fields] = {}
        self._costs: list[Usage] = []
        self.done = False

    @property
    def usage(self) -> Usage:
        """All choices together; a prompt counts once, however many choices it has."""
        prompt = sum(cost.prompt_tokens for cost in self._costs) // self._each
        cached = min(prompt, sum(cost.cached_tokens for cost in self._costs) // self._each)
        return Usage(prompt, sum(cost.completion_tokens for cost in self._costs), cached)

    def feed(self, data: bytes) -> bytes:
        """Take the next event; returns the event to pass on, b"" for none.

        Raises:
            BrokenAnswer: it is no part of an answer. BridgeError: the error it reports.
        """
        if data == b"[DONE]":
            self.done = True
            return b""
        try:
            chunk = msgspec.json.decode(data)
        except (ValueError, RecursionError) as error:
            raise BrokenAnswer(self._provider, str(error)) from error
        if chunk is None:
            return b""  # with several prompts llama.cpp begins with `data: null`
        try:
            return self._take(chunk, data)
        except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
            raise BrokenAnswer(self._provider, f"an event has another shape ({error!r})") from error

    def _take(self, chunk: Fields, data: bytes) -> bytes:
        if chunk.get("error"):
            raise self._reported(data)
        usage = to_usage(msgspec.convert(chunk.pop("usage", None), UsageFields | None), None)
        if usage is not None:
            self._costs.append(usage)
        chunk.pop("timings", None)  # of one choice
        if not self._first:
            self._first = {k: v for k, v in chunk.items() if k != "choices"}
        choices = msgspec.convert(chunk["choices"], list[Fields])
        for choice in choices:
            _add(self._choices.setdefault(msgspec.convert(choice["index"], int), {}), choice)
        return b"data: " + _encode(chunk) + b"\n\n" if choices else b""

    def _reported(self, data: bytes) -> BridgeError:
        return decode_error(None, data, self._provider)

    def close(self) -> None:
        """The stream has ended.

        Raises:
            BrokenAnswer: before the answer had.
        """
        if not self.done and not all(choice.get("finish_reason") for choice in self._choices.values() or [{}]):
            raise BrokenAnswer(self._provider, "the stream ended before the answer did")

    def last_events(self, wants_usage: bool) -> bytes:
        """What ends a stream."""
        counted = {**self._first, "choices": [], "usage": self._usage_fields()}
        return (b"data: " + _encode(counted) + b"\n\n" if wants_usage else b"") + b"data: [DONE]\n\n"

    def whole(self) -> bytes:
        """The answer as it would have come unstreamed."""
        choices = []
        for index in sorted(self._choices):
            choice = dict(self._choices[index])
            if "delta" in choice:
                choice["message"] = _message(choice.pop("delta"))
            choices.append(choice)
        kind = str(self._first.get("object", "")).removesuffix(".chunk")
        return _encode({**self._first, "object": kind, "choices": choices, "usage": self._usage_fields()})

    def _usage_fields(self) -> Fields:
        usage = self.usage
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        }


def _add(whole: Fields, piece: Fields) -> None:
    """Add a piece of a choice to what came before: texts and lists grow, objects by their fields."""
    for key, value in piece.items():
        before = whole.get(key)
        if value is None or before is None or key in ("index", "role", "id", "type", "name"):
            if before is None:
                whole[key] = _copy(value)
        elif isinstance(before, str) and isinstance(value, str) and key != "finish_reason":
            whole[key] = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            _add(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            _extend(before, value, numbered=key == "tool_calls")
        else:
            whole[key] = value


def _copy(value: object) -> object:
    if isinstance(value, dict):
        copied: Fields = {}
        _add(copied, value)
        return copied
    if isinstance(value, list):
        return list(value)
    return value


def _extend(whole: list[object], pieces: list[object], *, numbered: bool) -> None:
    for piece in pieces:
        same = [
            old
            for old in whole
            if numbered
            and isinstance(old, dict)
            and isinstance(piece, dict)
            and old.get("index") == piece.get("index")
        ]
        if same and isinstance(piece, dict):
            _add(same[0], piece)
        else:
            whole.append(piece)


def _message(delta: object) -> Fields:
    message: Fields = {"role": "assistant", "content": None, **(delta if isinstance(delta, dict) else {})}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            {k: v for k, v in call.items() if k != "index"} for call in calls if isinstance(call, dict)
        ]
    return message
