"""OpenAI answers into core: chat and text completions, streamed or not, embeddings, and lists of models.

The shapes are those of the OpenAI API reference (chat completion chunk, chat completion, completion,
embedding, model list), plus what llama.cpp, LM Studio, Ollama and vLLM add. Fields we have no word for are
skipped; a wrong type in one that we read is a `BrokenAnswer`.
"""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Callable
from time import perf_counter
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from lmbridge.core.errors import BridgeError, BrokenAnswer
from lmbridge.core.events import (
    Answer,
    AnswerBuilder,
    Embeddings,
    Event,
    Finished,
    PromptProgress,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from lmbridge.wire.openai.errors import decode_error, is_error
from lmbridge.wire.openai.usage import Count, StatsFields, TimingFields, UsageFields, measure, to_usage
from lmbridge.wire.stream import CUT, StreamDecoder

MAX_CALLS: Final = 1024
"""Highest position of a tool call or a choice that is believed."""

_Position = Annotated[int, Meta(ge=0, le=MAX_CALLS)]
_T = TypeVar("_T")


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, object] | None = None  # an object where a server forgets to make it text


class _Call(Struct, gc=False):
    index: _Position | None = None
    id: str | None = None
    function: _Function | None = None


class _Said(Struct):
    """The `delta` of a chunk and the `message` of a whole answer: the same fields."""

    content: str | None = None
    reasoning_content: str | None = None  # DeepSeek, llama.cpp, LM Studio
    reasoning: str | None = None  # Ollama, OpenRouter, newer vLLM
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    index: _Position = 0
    delta: _Said | None = None
    message: _Said | None = None
    text: str | None = None  # of a text completion, streamed or whole
    finish_reason: str | None = None


class _Reading(Struct, gc=False):
    """How far llama.cpp has read the prompt, told where a request has `return_progress`."""

    total: Count = 0
    processed: Count = 0  # what came from its cache included


class _Chunk(Struct):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: UsageFields | None = None
    timings: TimingFields | None = None
    stats: StatsFields | None = None
    prompt_progress: _Reading | None = None
    error: Raw = Raw()


_decode_chunk: Final = msgspec.json.Decoder(_Chunk).decode
_encode: Final = msgspec.json.Encoder().encode


class ChatEventDecoder(StreamDecoder[Event]):
    """The bytes of a streamed answer, a chat's or a text completion's, into core events.

    Feed it every piece, then `close()` it; or give it a `whole` answer that was not streamed. It is complete
    with `[DONE]`, or at its end once a reason to finish has come.
    """

    __slots__ = (
        "_model",
        "_named",
        "_numbers",
        "_reasons",
        "_started",
        "_stats",
        "_timings",
        "_usage",
    )

    def __init__(
        self, provider: str, clock: Callable[[], float] = perf_counter, sent: float | None = None
    ) -> None:
        super().__init__(provider, clock, sent)
        self._started = False
        self._model = ""
        self._reasons: dict[int, str] = {}
        self._named: dict[tuple[int, int], str] = {}  # the ids of calls whose name has come
        self._numbers: dict[tuple[int, int], int] = {}  # of calls that go by the number of an earlier one
        self._usage: UsageFields | None = None
        self._timings: TimingFields | None = None
        self._stats: StatsFields | None = None

    def _unmarked(self, events: list[Event]) -> None:
        if not self._reasons:
            raise BrokenAnswer(self._provider, CUT)
        self._finish(events)

    def _take(self, data: bytes, name: str, events: list[Event]) -> None:
        if data == b"[DONE]":
            if not self._reasons:
                raise BrokenAnswer(self._provider, "the stream ended without a reason to finish")
            self._finish(events)
            return
        if name == "error":
            raise decode_error(None, data, self._provider)
        try:
            chunk = _decode_chunk(data)
        except (ValueError, RecursionError) as error:
            # Something that is not a chunk may still say what went wrong.
            raise _error_or_broken(data, self._provider, error) from error
        if chunk.error and is_error(chunk.error):
            raise decode_error(None, data, self._provider)
        if not self._started:
            self._started = True
            self._model = chunk.model or ""
            events.append(Started(self._provider, self._model))
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.timings is not None:
            self._timings = chunk.timings
        if chunk.stats is not None:
            self._stats = chunk.stats
        if chunk.prompt_progress is not None:
            reading = chunk.prompt_progress
            events.append(PromptProgress(min(reading.processed, reading.total), reading.total))
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self._said(choice.delta, choice.index, events)
            elif choice.text:
                events.append(TextDelta(choice.text, choice.index))
            if choice.finish_reason:
                self._reasons[choice.index] = choice.finish_reason
        # Who answers is said before the prompt is read: only a piece of the answer ends the waiting.
        if self._first is None and events and not isinstance(events[-1], Started | PromptProgress):
            self._first = self._clock()

    def _said(self, said: _Said, index: int, events: list[Event]) -> None:
        thought = said.reasoning_content or said.reasoning
        if thought:
            events.append(ReasoningDelta(thought, index))
        text = said.content or said.refusal
        if text:
            events.append(TextDelta(text, index))
        if said.tool_calls:
            self._calls(said.tool_calls, index, events)

    def _calls(self, calls: list[_Call], index: int, events: list[Event]) -> None:
        for position, call in enumerate(calls):
            function = call.function or _Function()
            number = self._number(index, call.index if call.index is not None else position, call)
            key = (index, number)
            # Some servers repeat id and name in every piece: only the first counts.
            known = key in self._named
            if function.name:
                self._named.setdefault(key, call.id or "")
            events.append(
                ToolCallDelta(
                    number,
                    "" if known else call.id or "",
                    "" if known else function.name or "",
                    _text(function.arguments),
                    index,
                )
            )

    def _number(self, index: int, told: int, call: _Call) -> int:
        """The position of a call: some servers give several calls the same, each with an id and a name."""
        number = self._numbers.get((index, told), told)
        given = self._named.get((index, number))
        if given and call.id and call.id != given and call.function is not None and call.function.name:
            number = 1 + max(each for choice, each in self._named if choice == index)
            if number > MAX_CALLS:
                raise BrokenAnswer(self._provider, f"it has more than {MAX_CALLS:,} tool calls")
            self._numbers[index, told] = number
        return number

    def whole(self, data: bytes) -> list[Event]:
        """The events of an answer that was not streamed.

        Raises:
            BrokenAnswer: it is none.
            BridgeError: the error it reports instead, whatever its status was.
        """
        chunk = decode_as(data, _Chunk, self._provider)
        if chunk.error and is_error(chunk.error):
            raise decode_error(None, data, self._provider)
        if not chunk.choices:
            raise BrokenAnswer(self._provider, "it holds no choice")
        events: list[Event] = [Started(self._provider, chunk.model or "")]
        for choice in chunk.choices:
            said = choice.message or (None if choice.text is None else _Said(choice.text))
            if said is None or choice.finish_reason is None:
                raise BrokenAnswer(self._provider, "a choice of it has no message, or no reason to finish")
            self._said(said, choice.index, events)
            self._reasons[choice.index] = choice.finish_reason
        self._usage, self._timings, self._stats = chunk.usage, chunk.timings, chunk.stats
        self._finish(events)
        return events

    def _finish(self, events: list[Event]) -> None:
        """The last events, index 0 at the very end with what it all cost."""
        self._done = True
        usage = to_usage(self._usage, self._timings)
        timings = self._measured(usage)
        for index in sorted(self._reasons, reverse=True):
            last = index == min(self._reasons)
            events.append(
                Finished(self._reasons[index], usage if last else None, timings if last else None, index)
            )

    def _measured(self, usage: Usage | None) -> Timings:
        total = self._clock() - self._sent
        stats = self._stats or StatsFields()
        told = measure(stats.time_to_first_token)
        first = (total if told is None else told) if self._first is None else self._first - self._sent
        speed = self._timings.predicted_per_second if self._timings is not None else None
        speed = speed if speed is not None else measure(stats.tokens_per_second)
        if speed is None and usage is not None and usage.completion_tokens > 1 and total > first:
            speed = (usage.completion_tokens - 1) / (total - first)
        return Timings(first, total, speed)


def _text(arguments: str | dict[str, object] | None) -> str:
    if isinstance(arguments, dict):
        return _encode(arguments).decode()
    return arguments or ""


class _Anything(Struct):
    error: Raw = Raw()


def _error_or_broken(data: bytes, provider: str, error: Exception) -> BridgeError:
    """What to make of bytes that are not what was expected: the error they report, or a broken answer."""
    try:
        if is_error(msgspec.json.decode(data, type=_Anything).error):
            return decode_error(None, data, provider)
    except (ValueError, RecursionError):
        pass
    reason = str(error) if isinstance(error, msgspec.DecodeError) else "not text that can be read"
    return BrokenAnswer(provider, reason[:200])


def decode_as(data: bytes, shape: type[_T], provider: str) -> _T:
    """An answer, or a piece of one, as *shape* has it.

    Raises:
        BrokenAnswer: it is something else.
        BridgeError: the error it reports instead.
    """
    try:
        data.decode()  # all of it: fields that nobody reads may be passed on
        return msgspec.json.decode(data, type=shape)
    except (ValueError, RecursionError) as error:
        raise _error_or_broken(data, provider, error) from error


def decode_chat_answer(
    data: bytes, provider: str, clock: Callable[[], float] = perf_counter, sent: float | None = None
) -> list[Event]:
    """An unstreamed chat completion, as the events of a stream that came all at once.

    Args:
        provider, clock, sent: as for `ChatEventDecoder`.

    Raises:
        BrokenAnswer: not a chat completion.
        BridgeError: the error it reports instead, whatever its status was.
    """
    return ChatEventDecoder(provider, clock, sent).whole(data)


def build_answer(events: list[Event]) -> Answer:
    """The `Answer` that complete events add up to."""
    builder = AnswerBuilder()
    for event in events:
        builder.feed(event)
    return builder.close()


class _Vector(Struct):
    embedding: list[float] | str
    index: Count | None = None


class _Vectors(Struct):
    data: list[_Vector]
    model: str | None = None
    usage: UsageFields | None = None


def decode_embeddings(data: bytes, provider: str, inputs: int) -> Embeddings:
    """The answer to an embeddings request.

    Args:
        inputs: how many texts were sent; exactly so many vectors of one length must come back.

    Raises:
        BrokenAnswer: another number of vectors, of different lengths, or no vectors at all.
    """
    answer = decode_as(data, _Vectors, provider)
    if len(answer.data) != inputs:
        raise BrokenAnswer(provider, f"{inputs} inputs gave {len(answer.data)} vectors")
    order = [item.index if item.index is not None else k for k, item in enumerate(answer.data)]
    if sorted(order) != list(range(inputs)):
        raise BrokenAnswer(provider, "its vectors are not numbered 0, 1, 2 …")
    vectors: list[tuple[float, ...]] = [()] * inputs
    for index, item in zip(order, answer.data, strict=True):
        vectors[index] = _vector(item.embedding, provider)
    if len({len(vector) for vector in vectors}) > 1 or not all(vectors):
        raise BrokenAnswer(provider, "its vectors are empty or differ in length")
    return Embeddings(tuple(vectors), provider, answer.model or "", to_usage(answer.usage, None))


def _vector(given: list[float] | str, provider: str) -> tuple[float, ...]:
    if isinstance(given, list):
        return tuple(given)
    try:  # `encoding_format: base64`: little-endian 32-bit floats, which some servers send unasked
        return tuple(value for (value,) in struct.iter_unpack("<f", b64decode(given, validate=True)))
    except (ValueError, struct.error) as error:
        raise BrokenAnswer(provider, "a vector of it is not base64 of 32-bit floats") from error


class _Counted(Struct):
    input_tokens: Count


def decode_count(data: bytes, provider: str) -> int:
    """The tokens of a prompt: the answer of llama.cpp's `POST /chat/completions/input_tokens`.

    Raises:
        BrokenAnswer: it tells none.
    """
    return decode_as(data, _Counted, provider).input_tokens


class ListedModel(Struct):
    """One entry of `GET /v1/models`, with what different servers add to it: of any type, as nobody agrees.

    Attributes:
        id: the name to ask for.
        type: `llm`, `vlm` or `embeddings` (LM Studio).
        capabilities: words such as `tool_use` (LM Studio), `completion`, `multimodal` (llama.cpp).
        arch, quantization: of the model file (LM Studio).
        max_model_len: context length (vLLM). max_context_length: context length (LM Studio).
        loaded_context_length: context length it is loaded with (LM Studio).
        meta: `n_ctx_train`, `n_params` and `size` of the model file, `n_ctx` of the server (llama.cpp).
        architecture: its `input_modalities` (llama.cpp, OpenRouter).
    """

    id: str
    type: object = None
    capabilities: object = None
    arch: object = None
    quantization: object = None
    max_model_len: object = None
    max_context_length: object = None
    loaded_context_length: object = None
    meta: object = None
    architecture: object = None

    @property
    def abilities(self) -> frozenset[str]:
        """The words of `capabilities`; empty when it is no list."""
        given = self.capabilities
        return (
            frozenset(word for word in given if isinstance(word, str)) if isinstance(given, list) else frozenset()
        )


class _Listing(Struct):
    data: list[ListedModel]


def decode_models(data: bytes, provider: str) -> list[ListedModel]:
    """The models of a `GET /v1/models`.

    Raises:
        BrokenAnswer: it is no such list.
    """
    return decode_as(data, _Listing, provider).data
