"""An answer as a response object, or as the stream of events that ends with it.

The order of events is that of OpenAI's streaming reference:

    response.created  ( response.queued | response.in_progress )*
    ( response.output_item.added
      ( content_part.added output_text.delta* output_text.done content_part.done
      | content_part.added reasoning_text.delta* reasoning_text.done content_part.done
      | function_call_arguments.delta* function_call_arguments.done )
      response.output_item.done )*
    response.completed | response.incomplete | response.failed

What is alike in all pieces of an item is made once, so a piece costs the encoding of its text and one joining.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from lmbridge.core.errors import BridgeError
from lmbridge.core.events import (
    Answer,
    Event,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)
from lmbridge.core.turns import Facts, Wait
from lmbridge.wire.openai.errors import TYPES
from lmbridge.wire.openai.responding.response import (
    Details,
    ResponseObject,
    Status,
    encode_response,
    failure,
    spent,
)

_Kind: TypeAlias = Literal["message", "reasoning", "function_call"]

_encode: Final = msgspec.json.Encoder().encode

_DELTAS: Final[dict[_Kind, bytes]] = {
    "message": b"response.output_text.delta",
    "reasoning": b"response.reasoning_text.delta",
    "function_call": b"response.function_call_arguments.delta",
}
_PREFIXES: Final[dict[_Kind, str]] = {"message": "msg", "reasoning": "rs", "function_call": "fc"}
_REASONS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is not whole, in this language's words."""


class _Item:
    """One item of the output.

    Attributes:
        said: the pieces of its text, or of a call's arguments.
        head: the bytes with which each of its pieces begins in a stream; none before the item was announced.
        ended: whether its end has been sent.
    """

    __slots__ = ("call_id", "ended", "head", "id", "kind", "name", "place", "said", "space", "status")

    def __init__(
        self, response: str, kind: _Kind, place: int, call_id: str = "", name: str = "", space: str = ""
    ) -> None:
        self.kind, self.place, self.call_id, self.name, self.space = kind, place, call_id, name, space
        # The same each time that the response is told.
        self.id = f"{_PREFIXES[kind]}_{response.removeprefix('resp_')}{place:02x}"
        self.said: list[str] = []
        self.status = "completed"
        self.head = b""
        self.ended = False

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.said)

    def shown(self) -> dict[str, object]:
        """The item as it is in the output."""
        about: dict[str, object] = {"id": self.id, "type": self.kind, "status": self.status}
        if self.kind == "message":
            return {**about, "role": "assistant", "content": [_part(self.kind, self.text)]}
        if self.kind == "reasoning":
            return {**about, "summary": [], "content": [_part(self.kind, self.text)]}
        call = {**about, "call_id": self.call_id, "name": self.name, "arguments": self.text}
        return {**call, "namespace": self.space} if self.space else call


def _part(kind: _Kind, text: str) -> dict[str, object]:
    if kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


class ResponseEncoder:
    """One answer in this language.

    Args:
        begun: the response object before there is an answer.
        sign: a comment that says what is being waited for.
        names: of tools in a namespace, see `Toolbox`.
        quirks: as LM Studio does: an answer that was cut off is `completed` all the same.
        clock: seconds since 1970.
    """

    media = b"text/event-stream; charset=utf-8"
    eager = False

    def __init__(
        self,
        begun: ResponseObject,
        sign: Callable[[Wait], bytes],
        names: Mapping[str, tuple[str, str]] = {},
        *,
        quirks: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._response, self._sign, self._names, self._quirks, self._clock = begun, sign, names, quirks, clock
        self._items: list[_Item] = []
        self._calls: dict[int, _Item] = {}
        self._open: _Item | None = None  # the message or the thought that is being told
        self._sent = 0
        self._whole = b""

    # ---- a stream

    def waiting(self, wait: Wait) -> bytes:
        """A sign of life: a comment that says why, and an event, as there are clients that count events alone."""
        begin = b"" if self._sent else self._told("response.created", "in_progress")
        if wait.phase == "queued":
            return begin + self._told("response.queued", "queued") + self._sign(wait)
        return begin + self._told("response.in_progress", "in_progress") + self._sign(wait)

    def feed(self, event: Event) -> bytes:
        """The next bytes."""
        match event:
            case TextDelta(text, 0) if text:
                return self._say("message", text)
            case ReasoningDelta(text, 0) if text:
                return self._say("reasoning", text)
            case ToolCallDelta(index=0):
                return self._call(event)
            case Started(_, model):
                return self._start(model)
        return b""  # another choice, nothing at all, or what is told elsewhere

    def close(self, answer: Answer, facts: Facts) -> bytes:
        """The end of a stream that went well."""
        body = self.whole(answer, facts)
        ends = []
        for item in self._items:
            if not item.head:
                ends.append(self._announce(item))
            if not item.ended:
                ends.append(self._end(item))
        return b"".join(ends) + self._frame(f"response.{self._response.status}", b'"response":%b' % body)

    def fail(self, error: BridgeError) -> bytes:
        """The end of a stream that goes wrong: the response with its error, and an event that clients raise on."""
        end = b""
        if self._sent:
            self._cut()
            failed = replace(
                self._response, status="failed", error=failure(error), output=self._output(), completed_at=None
            )
            end = self._frame("response.failed", b'"response":%b' % encode_response(failed))
        return end + self._frame("error", _error_fields(error))

    def _start(self, model: str) -> bytes:
        if model:
            self._response = replace(self._response, model=model)
        begin = b"" if self._sent else self._told("response.created", "in_progress")
        return begin + self._told("response.in_progress", "in_progress")

    def _told(self, name: str, status: Status) -> bytes:
        return self._frame(name, b'"response":%b' % self.unfinished(status))

    def _say(self, kind: _Kind, text: str) -> bytes:
        item, begin = self._open, b""
        if item is None or item.kind != kind:
            begin = self._end_open()
            item = self._open = self._add(kind)
            begin += self._announce(item)
        item.said.append(text)
        return begin + self._piece(item, text)

    def _call(self, event: ToolCallDelta) -> bytes:
        item, begin = self._calls.get(event.call), b""
        if item is None:
            begin = self._end_open()
            item = self._calls[event.call] = self._add_call(event.id, event.name)
            begin += self._announce(item)
        if not event.arguments:
            return begin
        item.said.append(event.arguments)
        return begin + self._piece(item, event.arguments)

    def _piece(self, item: _Item, text: str) -> bytes:
        number, self._sent = self._sent, self._sent + 1
        return b'%b%b,"sequence_number":%d}\n\n' % (item.head, _encode(text), number)

    def _end_open(self) -> bytes:
        item, self._open = self._open, None
        return b"" if item is None else self._end(item)

    def _announce(self, item: _Item) -> bytes:
        """The events that open an item."""
        delta, where = _DELTAS[item.kind], self._where(item)
        item.head = b'event: %b\ndata: {"type":"%b",%b,"delta":' % (delta, delta, where)
        empty: dict[str, object] = {"arguments": ""} if item.kind == "function_call" else {"content": []}
        shown = item.shown() | {"status": "in_progress"} | empty
        opened = self._frame(
            "response.output_item.added", b'"output_index":%d,"item":%b' % (item.place, _encode(shown))
        )
        if item.kind == "function_call":
            return opened
        part = _encode(_part(item.kind, ""))
        return opened + self._frame("response.content_part.added", b'%b,"part":%b' % (self._place(item), part))

    def _end(self, item: _Item) -> bytes:
        """The events that close an item."""
        item.ended = True
        done = _DELTAS[item.kind].replace(b".delta", b".done").decode()
        field = b"arguments" if item.kind == "function_call" else b"text"
        end = self._frame(done, b'%b,"%b":%b' % (self._where(item), field, _encode(item.text)))
        if item.kind != "function_call":
            part = _encode(_part(item.kind, item.text))
            end += self._frame("response.content_part.done", b'%b,"part":%b' % (self._place(item), part))
        shown = _encode(item.shown())
        return end + self._frame("response.output_item.done", b'"output_index":%d,"item":%b' % (item.place, shown))

    def _place(self, item: _Item) -> bytes:
        where = b'"item_id":"%b","output_index":%d' % (item.id.encode(), item.place)
        return where if item.kind == "function_call" else where + b',"content_index":0'

    def _where(self, item: _Item) -> bytes:
        return self._place(item) + (b',"logprobs":[]' if item.kind == "message" else b"")

    def _frame(self, name: str, fields: bytes) -> bytes:
        number, self._sent = self._sent, self._sent + 1
        event = name.encode()
        return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (event, event, number, fields)

    # ---- the items

    def _add(self, kind: _Kind) -> _Item:
        item = _Item(self._response.id, kind, len(self._items))
        self._items.append(item)
        return item

    def _add_call(self, id: str, shown_name: str) -> _Item:
        space, name = self._names.get(shown_name, ("", shown_name))
        item = _Item(self._response.id, "function_call", len(self._items), id, name, space)
        self._items.append(item)
        return item

    def _cut(self) -> None:
        """What was told last is not whole."""
        if self._items and not self._items[-1].ended:
            self._items[-1].status = "incomplete"

    def _output(self) -> list[Raw]:
        return [Raw(_encode(item.shown())) for item in self._items]

    # ---- the answer as a whole

    def unfinished(self, status: Status, error: BridgeError | None = None) -> bytes:
        """The response object while there is no answer, or when there will be none."""
        return encode_response(
            replace(self._response, status=status, error=None if error is None else failure(error))
        )

    def whole(self, answer: Answer, facts: Facts | None = None) -> bytes:
        """The response object; the same bytes each time."""
        if not self._whole:
            self._adopt(answer)
            self._response = self._ended(answer)
            self._whole = encode_response(self._response)
        return self._whole

    def _adopt(self, answer: Answer) -> None:
        """Take over what no event has told, and the arguments of calls as they are in the end."""
        message = answer.message
        if not self._items:
            if message.reasoning:
                self._add("reasoning").said = [message.reasoning]
            if message.text or not (message.reasoning or message.tool_calls):
                self._add("message").said = [message.text]
        told = [self._calls[number] for number in sorted(self._calls)]
        for number, call in enumerate(message.tool_calls):
            item = told[number] if number < len(told) else self._add_call(call.id, call.name)
            item.said = [call.arguments]

    def _ended(self, answer: Answer) -> ResponseObject:
        reason = None if self._quirks else _REASONS.get(answer.finish.reason)
        status: Status = "completed"
        if reason is not None:
            self._cut()
            status = "incomplete"
        return replace(
            self._response,
            status=status,
            completed_at=None if reason is not None else int(self._clock()),
            incomplete_details=None if reason is None else Details(reason),
            model=answer.model or self._response.model,
            output=self._output(),
            usage=spent(answer.finish.usage),
        )


def _error_fields(error: BridgeError) -> bytes:
    """OpenAI's event has these at its top; its clients raise on the object that is called `error`."""
    detail: dict[str, object] = {"code": error.code, "message": str(error), "param": error.param}
    inner = {**detail, "type": TYPES.get(error.code, "server_error"), "hint": error.hint}
    return _encode({**detail, "error": inner})[1:-1]
