"""The client side of OpenAI's newer language, `POST /responses`: requests out, answers and streams in.

Written for LM Studio's form of it (0.3.29 and newer), which leaves out events that open and close parts,
and for OpenAI's own. What the events did not tell is taken from the last one, `response.completed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from lmbridge.core.errors import BrokenAnswer, InvalidRequest, UnsupportedParameter
from lmbridge.core.events import Event, Finished, ReasoningDelta, Started, TextDelta, Timings, ToolCallDelta, Usage
from lmbridge.core.messages import ImagePart, Message, Part, Tool
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling, Schema
from lmbridge.wire.openai.errors import decode_error, is_error
from lmbridge.wire.stream import CUT, StreamDecoder

ROUTE: Final = "/responses"

_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
_Place: TypeAlias = Annotated[int, Meta(ge=0, le=1024)]

_SAMPLING: Final = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_output_tokens"}


# ---- requests


def encode_response(
    request: ChatRequest, model: str, *, previous_response_id: str = "", store: bool | None = None
) -> dict[str, object]:
    """The body of a streamed response.

    The first system message becomes `instructions`. Fields of `request.extra` come last and win.

    Args:
        model: the runtime's own name of the model.
        previous_response_id: the earlier answer that this goes on from. store: False keeps nothing there.

    Raises:
        UnsupportedParameter: a way of sampling that this language does not know.
        InvalidRequest: a picture that is not in the request itself, or a tool choice without its tool.
    """
    turns = list(request.turns)
    body: dict[str, object] = {"model": model, "stream": True}
    if turns and turns[0].role in ("system", "developer"):
        body["instructions"] = turns.pop(0).text
    body["input"] = [item for turn in turns for item in _items(turn)]
    _add_sampling(body, request.sampling)
    _add_tools(body, request)
    if request.schema is not None:
        body["text"] = {"format": _format(request.schema)}
    if request.reasoning_effort is not None:
        body["reasoning"] = {"effort": request.reasoning_effort}
    if previous_response_id:
        body["previous_response_id"] = previous_response_id
    if store is not None:
        body["store"] = store
    body.update(request.extra)
    return body


def _items(turn: Message) -> list[dict[str, object]]:
    if turn.role == "tool":
        return [{"type": "function_call_output", "call_id": turn.tool_call_id or "", "output": turn.text}]
    items: list[dict[str, object]] = []
    if turn.content or not turn.tool_calls:
        role = "system" if turn.role == "developer" else turn.role
        items.append({"type": "message", "role": role, "content": _content(turn)})
    items += [
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
        for call in turn.tool_calls
    ]
    return items


def _content(turn: Message) -> str | list[dict[str, object]]:
    if isinstance(turn.content, tuple) and any(isinstance(part, ImagePart) for part in turn.content):
        return [_part(part) for part in turn.content]
    return turn.text


def _part(part: Part) -> dict[str, object]:
    if not isinstance(part, ImagePart):
        return {"type": "input_text", "text": part.text}
    if not part.url[:11].lower().startswith("data:image/"):
        raise InvalidRequest(
            "A picture must be a `data:image/…;base64,…` URL; addresses are not fetched.", param="messages"
        )
    return {"type": "input_image", "image_url": part.url}


def _add_sampling(body: dict[str, object], sampling: Sampling) -> None:
    for name, value in msgspec.structs.asdict(sampling).items():
        if value in (None, ()):
            continue
        if name not in _SAMPLING:
            raise UnsupportedParameter(name, "This route does not know it.", hint="Use chat instead.")
        body[_SAMPLING[name]] = value


def _add_tools(body: dict[str, object], request: ChatRequest) -> None:
    tools, choice = request.tools, request.tool_choice
    if isinstance(choice, NamedTool):
        # LM Studio knows words only: insisting on one tool is insisting on a tool, and there being no other.
        tools = tuple(tool for tool in tools if tool.name == choice.name)
        if not tools:
            raise InvalidRequest(f"{choice.name!r} is not among the tools.", param="tool_choice")
        choice = "required"
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
        if choice != "auto":
            body["tool_choice"] = choice


def _tool(tool: Tool) -> dict[str, object]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters or {"type": "object", "properties": {}},
        "strict": tool.strict,
    }


def _format(schema: Schema) -> dict[str, object]:
    shape: Mapping[str, object] = schema.schema or {"type": "object"}
    return {"type": "json_schema", "name": schema.name, "schema": shape, "strict": schema.strict}


# ---- answers


class _Content(Struct):
    type: str = ""
    text: str = ""
    refusal: str = ""


class _Item(Struct):
    type: str = ""
    id: str | None = None
    content: list[_Content] | None = None
    summary: list[_Content] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None


class _Cached(Struct):
    cached_tokens: _Count | None = None


class _Thought(Struct):
    reasoning_tokens: _Count | None = None


class _Usage(Struct):
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    input_tokens_details: _Cached | None = None
    output_tokens_details: _Thought | None = None


class _Why(Struct):
    reason: str | None = None


class _Response(Struct):
    """The whole answer. Fields of no interest may have wrong types (`top_p: false`), so they are not read."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[_Item] | None = None
    usage: _Usage | None = None
    incomplete_details: _Why | None = None
    error: Raw = Raw()


class _Frame(Struct):
    type: str = ""
    response: Raw = Raw()
    output_index: _Place | None = None
    item_id: str | None = None
    item: _Item | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    error: Raw = Raw()


_decode_frame: Final = msgspec.json.Decoder(_Frame).decode
_decode_response: Final = msgspec.json.Decoder(_Response).decode

_WORDS: Final = {"message": "text", "reasoning": "reasoning", "function_call": "call"}

_Key: TypeAlias = int | str
"""Which item an event is about: its place, else its id, else "" where an event tells neither."""


class _Part(Struct):
    """What has been told of one item.

    Attributes:
        said: its text, or a call's arguments. call: number of the call among the calls.
    """

    said: str = ""
    call: int | None = None
    named: bool = False


class ResponseDecoder(StreamDecoder[Event]):
    """The bytes of a streamed response into core events. It is complete with `response.completed`.

    Attributes:
        response_id: to go on from this answer; "" before it is known.
        model: who answers; "" before it is known, and where nothing tells.
    """

    def __init__(
        self, provider: str, clock: Callable[[], float] = perf_counter, sent: float | None = None
    ) -> None:
        super().__init__(provider, clock, sent)
        self._started = False
        self._parts: dict[tuple[str, _Key], _Part] = {}
        self._places: dict[str, int] = {}  # of the ids that came with a place
        self._calls = 0
        self.response_id = ""
        self.model = ""

    def whole(self, data: bytes) -> list[Event]:
        """The events of an answer that was not streamed.

        Raises:
            BrokenAnswer: it is none.
            BridgeError: the error it reports instead, whatever its status was.
        """
        events: list[Event] = []
        self._end(data, events)
        return events

    def _take(self, data: bytes, name: str, events: list[Event]) -> None:
        if data == b"[DONE]":
            raise BrokenAnswer(self._provider, CUT)
        try:
            frame = _decode_frame(data)
        except (ValueError, RecursionError) as error:
            if name == "error":
                raise decode_error(None, data, self._provider) from error
            raise BrokenAnswer(self._provider, f"an event of it: {error}"[:200]) from error
        kind = frame.type or name
        if kind == "error" or is_error(frame.error):
            raise decode_error(None, data, self._provider)
        match kind:
            case "response.created" | "response.in_progress":
                response = self._response(frame.response)
                self._start(response, events)
            case "response.completed" | "response.incomplete" | "response.failed":
                self._end(frame.response, events)
            case _:
                pieces: list[Event] = []
                self._piece(kind, frame, pieces)
                if pieces and not self._started:
                    self._started = True
                    events.append(Started(self._provider, self.model))
                events += pieces
        # Who answers is said before the prompt is read: only a piece of the answer ends the waiting.
        if self._first is None and events and not isinstance(events[-1], Started):
            self._first = self._clock()

    def _start(self, response: _Response, events: list[Event]) -> None:
        self.response_id = response.id or self.response_id
        self.model = response.model or self.model
        if not self._started and self.model:
            self._started = True
            events.append(Started(self._provider, self.model))

    def _piece(self, kind: str, frame: _Frame, events: list[Event]) -> None:
        """More of one item; where the pieces were left out, its end says it all."""
        item_id = frame.item_id or (frame.item.id if frame.item is not None else None) or ""
        if frame.output_index is not None and item_id:
            self._places[item_id] = frame.output_index
        place = frame.output_index if frame.output_index is not None else self._places.get(item_id)
        key: _Key = place if place is not None else item_id
        whole = frame.text if frame.text is not None else frame.refusal
        match kind:
            case "response.output_text.delta" | "response.refusal.delta":
                self._say("text", key, frame.delta or "", events)
            case "response.output_text.done" | "response.refusal.done":
                self._complete("text", key, whole or "", events)
            case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
                self._say("reasoning", key, frame.delta or "", events)
            case "response.reasoning_text.done" | "response.reasoning_summary_text.done":
                self._complete("reasoning", key, whole or "", events)
            case "response.function_call_arguments.delta":
                self._say("call", key, frame.delta or "", events)
            case "response.function_call_arguments.done":
                self._complete("call", key, frame.arguments or "", events)
            case "response.output_item.added" | "response.output_item.done" if frame.item is not None:
                self._item(key, frame.item, events)
            case _:  # parts that open and close, and news
                pass

    def _say(self, kind: str, key: _Key, text: str, events: list[Event]) -> None:
        if not text:
            return
        part = self._parts.setdefault((kind, key), _Part())
        part.said += text
        match kind:
            case "text":
                events.append(TextDelta(text))
            case "reasoning":
                events.append(ReasoningDelta(text))
            case _:
                events.append(ToolCallDelta(self._number(part), arguments=text))

    def _complete(self, kind: str, key: _Key, whole: str, events: list[Event]) -> None:
        """Tell what *whole* has beyond what was told; pieces that contradict it stand as they were given."""
        part = self._parts.setdefault((kind, key), _Part())
        if whole.startswith(part.said):
            self._say(kind, key, whole[len(part.said) :], events)

    def _number(self, part: _Part) -> int:
        if part.call is None:
            part.call = self._calls
            self._calls += 1
        return part.call

    def _item(self, key: _Key, item: _Item, events: list[Event]) -> None:
        """An item as it stands now: at its beginning empty, at its end and in the whole answer complete."""
        match item.type:
            case "message":
                self._complete("text", key, "".join(c.text or c.refusal for c in item.content or ()), events)
            case "reasoning":
                parts = item.content or item.summary or ()
                self._complete("reasoning", key, "".join(c.text for c in parts), events)
            case "function_call":
                part = self._parts.setdefault(("call", key), _Part())
                if not part.named and item.name:
                    part.named = True
                    call_id = item.call_id or item.id or ""
                    events.append(ToolCallDelta(self._number(part), call_id, item.name))
                self._complete("call", key, item.arguments or "", events)
            case _:  # tools that the server runs itself
                pass

    def _response(self, data: Raw | bytes) -> _Response:
        try:
            return _decode_response(data)
        except (ValueError, RecursionError) as error:
            raise BrokenAnswer(self._provider, f"its `response`: {error}"[:200]) from error

    def _end(self, data: Raw | bytes, events: list[Event]) -> None:
        response = self._response(data)
        if is_error(response.error) or response.status == "failed":
            raise decode_error(None, bytes(data), self._provider)
        if response.output is None:
            raise BrokenAnswer(self._provider, "it has no `output`")
        self._start(response, events)
        if not self._started:
            self._started = True
            events.append(Started(self._provider, ""))
        for place, item in enumerate(response.output):
            self._item(self._known(place, item), item, events)
        self._done = True
        spoke = any(part.said or part.named for part in self._parts.values())
        if not spoke and _reason(response) == "stop" and all(item.type in _WORDS for item in response.output):
            raise BrokenAnswer(self._provider, "it ended without having said anything")
        reason = "tool_calls" if self._calls else _reason(response)
        events.append(Finished(reason, *self._cost(response.usage)))

    def _known(self, place: int, item: _Item) -> _Key:
        """By which key the events called an item of the whole answer."""
        kind = _WORDS.get(item.type, "")
        item_id = item.id or ""
        keys: tuple[_Key, ...] = (self._places.get(item_id, place), item_id, "")
        return next((key for key in keys if (kind, key) in self._parts), place)

    def _cost(self, usage: _Usage | None) -> tuple[Usage | None, Timings]:
        total = self._clock() - self._sent
        first = total if self._first is None else self._first - self._sent
        if usage is None or not (usage.input_tokens or usage.output_tokens):
            return None, Timings(first, total)
        cached = usage.input_tokens_details.cached_tokens if usage.input_tokens_details is not None else None
        thought = usage.output_tokens_details.reasoning_tokens if usage.output_tokens_details is not None else None
        told = Usage(usage.input_tokens or 0, usage.output_tokens or 0, cached or 0, thought or 0)
        speed = None
        if told.completion_tokens > 1 and total > first:
            speed = (told.completion_tokens - 1) / (total - first)
        return told, Timings(first, total, speed)


def _reason(response: _Response) -> str:
    """Why it ended. LM Studio says `completed` even of an answer that it cut short: nothing else can be told."""
    if response.status != "incomplete":
        return "stop"
    why = response.incomplete_details.reason if response.incomplete_details is not None else None
    return "length" if why in (None, "max_output_tokens") else why
