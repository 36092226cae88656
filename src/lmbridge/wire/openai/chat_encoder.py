"""Answers as OpenAI writes them: the chunks of a streamed chat completion, and a whole one.

The shapes are those of OpenAI's API reference, with `reasoning_content` (DeepSeek, llama.cpp, LM Studio).
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.events import Answer, Event, Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta, Usage

DONE: Final = b"data: [DONE]\n\n"


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


class _Cached(Struct):
    cached_tokens: int


class _Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _Cached


class _Chunk(Struct, omit_defaults=True):
    id: str
    object: str
    created: int
    model: str
    choices: list[_Piece]
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
    choices: list[_Choice]
    usage: _Usage | None = None


_encode: Final = msgspec.json.Encoder().encode


class ChatEncoder:
    """One answer; made for each request.

    Args:
        answer_id: its id. created: seconds since 1970. model: who answers.
        include_usage: the stream is to end with the counts.
    """

    def __init__(self, answer_id: str, created: int, model: str, *, include_usage: bool = False) -> None:
        self._id, self._created, self._model, self._include_usage = answer_id, created, model, include_usage
        self._role = "assistant"  # of the first piece alone
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        """The next bytes of a stream; b"" for what OpenAI has no word for."""
        match event:
            case Started():
                self._model = event.model or self._model
            case TextDelta(text, 0):
                return self._chunk(_Delta(content=text))
            case ReasoningDelta(text, 0):
                return self._chunk(_Delta(reasoning_content=text))
            case ToolCallDelta(index=0):
                return self._chunk(_Delta(tool_calls=[_call(event)]))
            case Finished(index=0):
                self._usage = event.usage
                return self._chunk(_Delta(), event.reason)
            case _:
                pass
        return b""

    def close(self) -> bytes:
        """The end of a stream that went well."""
        if not self._include_usage or self._usage is None:
            return DONE
        return self._event([], _usage(self._usage)) + DONE

    def whole(self, answer: Answer) -> bytes:
        """An answer that is not streamed."""
        said, usage = answer.message, answer.finish.usage
        calls = [
            _Call(id=call.id, type="function", function=_Function(call.name, call.arguments))
            for call in said.tool_calls
        ]
        message = _Message("assistant", said.text or (None if calls else ""), said.reasoning or "", calls)
        choices = [_Choice(message, answer.finish.reason)]
        cost = _usage(usage) if usage is not None else None
        model = answer.model or self._model
        return _encode(_Completion(self._id, "chat.completion", self._created, model, choices, cost))

    def _chunk(self, delta: _Delta, reason: str | None = None) -> bytes:
        if self._role:
            delta.role, self._role = self._role, ""
        return self._event([_Piece(delta, finish_reason=reason)])

    def _event(self, choices: list[_Piece], usage: _Usage | None = None) -> bytes:
        chunk = _Chunk(self._id, "chat.completion.chunk", self._created, self._model, choices, usage)
        return b"data: " + _encode(chunk) + b"\n\n"


def _call(delta: ToolCallDelta) -> _Call:
    """A piece of a call: its id, kind and name only with the first one."""
    function = _Function(delta.name, delta.arguments)
    return _Call(index=delta.call, id=delta.id, type="function" if delta.name else "", function=function)


def _usage(usage: Usage) -> _Usage:
    cached = _Cached(usage.cached_tokens)
    return _Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, cached)
