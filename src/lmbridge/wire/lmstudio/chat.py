"""LM Studio's own chat, `POST /api/v1/chat` (0.4.0 and newer).

It remembers conversations, runs the tools of MCP servers by itself, and tells how far loading and reading
the prompt are. It takes no tools of the caller, no assistant turns, and gives no reason to finish. What
core has no word for are events of this module: `Loading`, `Reading`, `ToolRun`, `ToolFailed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from lmbridge.core.errors import BridgeError, BrokenAnswer, InvalidRequest, UnsupportedParameter
from lmbridge.core.events import Event, Finished, ReasoningDelta, Started, TextDelta, Timings, Usage
from lmbridge.core.messages import ImagePart, TextPart
from lmbridge.core.requests import Sampling
from lmbridge.wire.lmstudio.errors import decode_failure
from lmbridge.wire.openai.errors import is_error
from lmbridge.wire.openai.usage import measure
from lmbridge.wire.stream import StreamDecoder

ROUTE: Final = "/chat"
"""After `/api/v1`."""

_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
_encode: Final = msgspec.json.Encoder().encode


class Loading(Struct, frozen=True, tag="loading"):
    """The model is being loaded first.

    Attributes:
        fraction: 0 to 1. model: the instance that is to be.
    """

    fraction: float
    model: str = ""


class Reading(Struct, frozen=True, tag="reading"):
    """The prompt is being read.

    Attributes:
        fraction: 0 to 1.
    """

    fraction: float


class ToolRun(Struct, frozen=True, tag="tool_run"):
    """LM Studio has run a tool of an MCP server: nobody has to do anything.

    Attributes:
        arguments: JSON text. output: what the tool gave, usually JSON text too.
        server: whose tool it is, such as `mcp/files` or the label of a server of the request.
    """

    tool: str
    arguments: str
    output: str
    server: str = ""


class ToolFailed(Struct, frozen=True, tag="tool_failed"):
    """The model called a tool that does not exist, or wrongly. It is told so and goes on."""

    reason: str
    tool: str = ""


NativeEvent: TypeAlias = Event | Loading | Reading | ToolRun | ToolFailed


def encode_native_chat(
    model: str,
    prompt: str | Sequence[TextPart | ImagePart],
    *,
    system: str = "",
    sampling: Sampling = Sampling(),
    reasoning: str | None = None,
    context_length: int | None = None,
    integrations: Sequence[str | Mapping[str, object]] = (),
    previous_response_id: str = "",
    store: bool | None = None,
) -> dict[str, object]:
    """The body of a streamed native chat.

    Args:
        model: key or instance id; an unknown one is refused there.
        prompt: text, or parts where there are pictures.
        reasoning: `off`, `low`, `medium`, `high` or `on`; refused there where the model does not have it.
        context_length: for the case that this request loads the model.
        integrations: MCP servers that may be used, as LM Studio writes them.
        previous_response_id: the earlier answer that this goes on from. store: False keeps nothing.

    Raises:
        UnsupportedParameter: a way of sampling that this route does not know.
        InvalidRequest: a picture that is not in the request itself.
    """
    body: dict[str, object] = {"model": model, "input": _input(prompt), "stream": True}
    told = {
        "system_prompt": system or None,
        "reasoning": reasoning,
        "context_length": context_length,
        "integrations": list(integrations) or None,
        "previous_response_id": previous_response_id or None,
        "store": store,
        **_sampling(sampling),
    }
    return body | {name: value for name, value in told.items() if value is not None}


def _sampling(sampling: Sampling) -> dict[str, object]:
    given = msgspec.structs.asdict(sampling)
    for name, value in given.items():
        if value not in (None, ()) and name not in _SAMPLING:
            raise UnsupportedParameter(name, "LM Studio's own chat does not know it.", hint="Use the other chat.")
    return {theirs: given[ours] for ours, theirs in _SAMPLING.items()}


_SAMPLING: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repeat_penalty": "repeat_penalty",
    "max_tokens": "max_output_tokens",
}


def _input(prompt: str | Sequence[TextPart | ImagePart]) -> object:
    if isinstance(prompt, str):
        return prompt
    if all(isinstance(part, TextPart) for part in prompt):  # the form that every version takes
        return "".join(part.text for part in prompt if isinstance(part, TextPart))
    return [_part(part) for part in prompt]


def _part(part: TextPart | ImagePart) -> dict[str, object]:
    if isinstance(part, TextPart):
        return {"type": "message", "content": part.text}
    if not part.url[:11].lower().startswith("data:image/"):
        raise InvalidRequest(
            "A picture must be a `data:image/…;base64,…` URL; LM Studio fetches no addresses.", param="input"
        )
    return {"type": "image", "data_url": part.url}


# ---- answers


class _Server(Struct):
    plugin_id: object = None
    server_label: object = None


class _Metadata(Struct):
    tool_name: object = None


class _Item(Struct):
    type: str
    content: str = ""
    tool: str = ""
    arguments: object = None
    output: object = None
    reason: object = None
    provider_info: _Server | None = None
    metadata: _Metadata | None = None


class _Stats(Struct):
    input_tokens: _Count | None = None
    total_output_tokens: _Count | None = None
    tokens_per_second: object = None
    time_to_first_token_seconds: object = None


class _Result(Struct):
    output: list[_Item]
    model_instance_id: str = ""
    stats: _Stats | None = None
    response_id: str | None = None


class _Frame(Struct):
    type: str = ""
    model_instance_id: str = ""
    progress: object = None
    load_time_seconds: object = None
    content: str = ""
    tool: str = ""
    arguments: object = None
    output: object = None
    reason: object = None
    provider_info: _Server | None = None
    metadata: _Metadata | None = None
    result: Raw = Raw()
    error: Raw = Raw()


_decode_frame: Final = msgspec.json.Decoder(_Frame).decode
_decode_result: Final = msgspec.json.Decoder(_Result).decode


class NativeChatDecoder(StreamDecoder[NativeEvent]):
    """The bytes of a native chat into events. It is complete with `chat.end`: some builds never hang up.

    Args:
        model: what was asked for, named in errors.

    Attributes:
        response_id: to go on from this answer; "" until the end, and where nothing is stored.
        load_seconds: how long loading took, None where this request loaded nothing.
    """

    def __init__(
        self,
        provider: str,
        model: str = "",
        clock: Callable[[], float] = perf_counter,
        sent: float | None = None,
    ) -> None:
        super().__init__(provider, clock, sent)
        self._model = model
        self._started = False
        self._spoke = False
        self.response_id = ""
        self.load_seconds: float | None = None

    def whole(self, data: bytes) -> list[NativeEvent]:
        """The events of an answer that was not streamed.

        Raises:
            BrokenAnswer: it is none.
            BridgeError: the error it reports instead.
        """
        events: list[NativeEvent] = []
        self._end(data, events)
        return events

    def _take(self, data: bytes, name: str, events: list[NativeEvent]) -> None:
        try:
            frame = _decode_frame(data)
        except (ValueError, RecursionError) as error:
            if name == "error":
                raise decode_failure(None, data, self._provider, self._model) from error
            raise BrokenAnswer(self._provider, f"an event of it: {error}"[:200]) from error
        kind = frame.type or name
        if kind == "error" or is_error(frame.error):
            # `chat.end` with what there is may follow, or may not: half an answer is none.
            raise decode_failure(None, data, self._provider, self._model)
        match kind:
            case "chat.start":
                self._start(frame.model_instance_id, events)
            case "model_load.start" | "model_load.progress":
                events.append(Loading(_fraction(frame.progress), frame.model_instance_id))
            case "model_load.end":
                self.load_seconds = measure(frame.load_time_seconds)
                events.append(Loading(1.0, frame.model_instance_id))
            case "prompt_processing.start" | "prompt_processing.progress":
                events.append(Reading(_fraction(frame.progress)))
            case "prompt_processing.end":
                events.append(Reading(1.0))
            case "message.delta" | "reasoning.delta":
                self._say(kind == "reasoning.delta", frame.content, events)
            case "tool_call.success" | "tool_call.failure":
                self._spoke = True
                events.append(_tool(frame, failed=kind == "tool_call.failure"))
            case "chat.end":
                self._end(frame.result, events)
            case _:  # beginnings and ends of parts, and news
                pass

    def _start(self, model: str, events: list[NativeEvent]) -> None:
        if not self._started:
            self._started = True
            events.append(Started(self._provider, model))

    def _say(self, thought: bool, text: str, events: list[NativeEvent]) -> None:
        if not text:
            return
        if self._first is None:
            self._first = self._clock()
        self._spoke = True
        events.append(ReasoningDelta(text) if thought else TextDelta(text))

    def _end(self, data: Raw | bytes, events: list[NativeEvent]) -> None:
        """The whole answer: all of it where nothing was streamed, else what it cost."""
        try:
            result = _decode_result(data)
        except (ValueError, RecursionError) as error:
            raise _error_or_broken(bytes(data), self._provider, self._model) from error
        if not self._started:
            self._start(result.model_instance_id, events)
        if not self._spoke:
            for item in result.output:
                self._item(item, events)
        if not self._spoke:
            raise BrokenAnswer(self._provider, "it ended without having said anything")
        self._done = True
        self.response_id = result.response_id or ""
        events.append(Finished("stop", *self._cost(result.stats or _Stats())))

    def _item(self, item: _Item, events: list[NativeEvent]) -> None:
        match item.type:
            case "message" | "reasoning":
                self._say(item.type == "reasoning", item.content, events)
            case "tool_call" | "invalid_tool_call":
                self._spoke = True
                events.append(_tool(item, failed=item.type == "invalid_tool_call"))
            case _:
                pass

    def _cost(self, stats: _Stats) -> tuple[Usage | None, Timings]:
        usage = None
        if stats.input_tokens or stats.total_output_tokens:
            usage = Usage(stats.input_tokens or 0, stats.total_output_tokens or 0)
        total = self._clock() - self._sent
        told = measure(stats.time_to_first_token_seconds)
        first = self._first - self._sent if self._first is not None else total
        return usage, Timings(first if told is None else min(told, total), total, measure(stats.tokens_per_second))


def _tool(told: _Frame | _Item, *, failed: bool) -> ToolRun | ToolFailed:
    if failed:
        name = told.metadata.tool_name if told.metadata is not None else None
        reason = told.reason if isinstance(told.reason, str) else "no reason was given"
        return ToolFailed(reason, name if isinstance(name, str) else told.tool)
    server = told.provider_info or _Server()
    whose = next((name for name in (server.plugin_id, server.server_label) if isinstance(name, str)), "")
    return ToolRun(told.tool, _as_text(told.arguments), _as_text(told.output), whose)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else _encode(value).decode()


def _fraction(value: object) -> float:
    return min(1.0, measure(value) or 0.0)


class _Failed(Struct):
    error: Raw = Raw()


def _error_or_broken(data: bytes, provider: str, model: str) -> BridgeError:
    try:
        if is_error(msgspec.json.decode(data, type=_Failed).error):
            return decode_failure(None, data, provider, model)
    except (ValueError, RecursionError):
        pass
    return BrokenAnswer(provider, "it has no `output`, or one of another shape")
