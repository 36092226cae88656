"""Answers as OpenAI writes them: the chunks of a streamed chat or text completion, and whole ones.

The shapes are those of OpenAI's API reference, with `reasoning_content` (DeepSeek, llama.cpp, LM Studio).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from lmbridge.core.events import Answer, Event, Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta, Usage

DONE: Final = b"data: [DONE]\n\n"

More: TypeAlias = Callable[[Finished], Mapping[str, object]]
"""Fields that are added to what ends an answer, as another API has them there."""


class _Function(Struct, omit_defaults=True):
    name: str = ""
    arguments: str | None = None


class _Call(Struct, omit_defaults=True, kw_only=True):
    index: int | None = None
    id: str = ""
    type: str = ""
    function: _Function


class _Delta(Struct, omit_defaults=True):
    role: str = ""
    content: str | None = None
    reasoning_content: str = ""
    tool_calls: list[_Call] = []


class _Piece(Struct):
    delta: _Delta
    index: int = 0
    logprobs: None = None
    finish_reason: str | None = None


class _TextChoice(Struct):
    text: str
    finish_reason: str | None
    index: int = 0
    logprobs: None = None


class _Cached(Struct):
    cached_tokens: int


class _Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _Cached


Calls: TypeAlias = Sequence[_Call]
Pieces: TypeAlias = list[_Piece] | list[_TextChoice]


class _Chunk(Struct, omit_defaults=True):
    id: str
    object: str
    created: int
    model: str
    choices: Pieces
    usage: _Usage | None = None


class _Message(Struct, omit_defaults=True):
    role: str
    content: str | None
    reasoning_content: str = ""
    tool_calls: list[_Call] = []


class _Choice(Struct):
    message: _Message
    finish_reason: str
    index: int = 0
    logprobs: None = None


class _Completion(Struct, omit_defaults=True):
    id: str
    object: str
    created: int
    model: str
    choices: list[_Choice] | list[_TextChoice]
    usage: _Usage | None = None


_encode: Final = msgspec.json.Encoder().encode


class ChatEncoder:
    """One answer of a chat; made for each request.

    Args:
        answer_id: its id. created: seconds since 1970. model: who answers.
        include_usage: a stream is to end with the counts.
        more: fields for the last piece of a stream, and for a whole answer.
    """

    _object = "chat.completion.chunk"

    def __init__(
        self, answer_id: str, created: int, model: str, *, include_usage: bool = False, more: More | None = None
    ) -> None:
        self._id, self._created, self._model, self._include_usage = answer_id, created, model, include_usage
        self._more = more
        self._role = "assistant"  # of the first piece alone
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        """The next bytes of a stream; b"" for what OpenAI has no word for."""
        match event:
            case Started():
                self._model = event.model or self._model
            case TextDelta(text, 0):
                return self._event([_Piece(self._delta(content=text))])
            case ReasoningDelta(text, 0):
                return self._event([_Piece(self._delta(reasoning_content=text))])
            case ToolCallDelta(index=0):
                return self._event([_Piece(self._delta(tool_calls=[_call(event)]))])
            case Finished(index=0):
                self._usage = event.usage
                return self._event([_Piece(self._delta(), finish_reason=event.reason)], end=event)
            case _:
                pass
        return b""

    def close(self) -> bytes:
        """The end of a stream that went well."""
        if not self._include_usage or self._usage is None:
            return DONE
        return self._event([], usage=_usage(self._usage)) + DONE

    def whole(self, answer: Answer) -> bytes:
        """An answer that is not streamed."""
        said = answer.message
        calls = [
            _Call(id=call.id, type="function", function=_Function(call.name, call.arguments))
            for call in said.tool_calls
        ]
        message = _Message("assistant", said.text or (None if calls else ""), said.reasoning or "", calls)
        return self._whole(answer, "chat.completion", [_Choice(message, answer.finish.reason)])

    def _delta(self, content: str | None = None, reasoning_content: str = "", tool_calls: Calls = ()) -> _Delta:
        role, self._role = self._role, ""
        return _Delta(role, content, reasoning_content, list(tool_calls))

    def _event(self, choices: Pieces, *, usage: _Usage | None = None, end: Finished | None = None) -> bytes:
        chunk = _Chunk(self._id, self._object, self._created, self._model, choices, usage)
        return b"data: " + self._encoded(chunk, end) + b"\n\n"

    def _whole(self, answer: Answer, kind: str, choices: list[_Choice] | list[_TextChoice]) -> bytes:
        usage, model = answer.finish.usage, answer.model or self._model
        cost = _usage(usage) if usage is not None else None
        return self._encoded(_Completion(self._id, kind, self._created, model, choices, cost), answer.finish)

    def _encoded(self, value: Struct, end: Finished | None) -> bytes:
        if self._more is None or end is None:
            return _encode(value)
        return _encode({**msgspec.to_builtins(value), **self._more(end)})


class TextEncoder(ChatEncoder):
    """One answer of a text completion."""

    _object = "text_completion"

    def feed(self, event: Event) -> bytes:
        """The next bytes of a stream; b"" for what OpenAI has no word for."""
        match event:
            case Started():
                self._model = event.model or self._model
            case TextDelta(text, 0):
                return self._event([_TextChoice(text, None)])
            case Finished(index=0):
                self._usage = event.usage
                return self._event([_TextChoice("", event.reason)], end=event)
            case _:
                pass
        return b""

    def whole(self, answer: Answer) -> bytes:
        """An answer that is not streamed."""
        return self._whole(answer, self._object, [_TextChoice(answer.text, answer.finish.reason)])


def _call(delta: ToolCallDelta) -> _Call:
    """A piece of a call: its id, kind and name only with the first one."""
    function = _Function(delta.name, delta.arguments)
    return _Call(index=delta.call, id=delta.id, type="function" if delta.name else "", function=function)


def _usage(usage: Usage) -> _Usage:
    cached = _Cached(usage.cached_tokens)
    return _Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, cached)
