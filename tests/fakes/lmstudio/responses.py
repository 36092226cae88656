"""`/v1/responses` (from 0.3.29): remembers, takes tools, and streams in OpenAI's grammar."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.fakes.lmstudio import refusals
from tests.fakes.lmstudio.chat import is_picture, overflow
from tests.fakes.lmstudio.http import Frame, Out, Request, Stream, Whole
from tests.fakes.lmstudio.models import Body
from tests.fakes.lmstudio.runtime import FakeInstance
from tests.fakes.lmstudio.words import Ask, Said, call_id, random_id, response_id

if TYPE_CHECKING:
    from tests.fakes.lmstudio.server import FakeLMStudio


async def respond(fake: FakeLMStudio, request: Request) -> Whole | Stream:
    """`POST /v1/responses`."""
    body = request.fields
    ask = _ask(fake, body, request)
    instance = await fake.runtime.serving(body.get("model"))  # `ttl` is taken and ignored here
    if (message := overflow(ask, instance)) is not None:
        raise refusals.openai(500, "internal_error", message, "unknown")
    if ask.images and not instance.model.vision:
        raise _invalid("Model does not support images.", "invalid_value", "input")
    effort = (body.get("reasoning") or {}).get("effort")
    ask.think = bool(instance.model.reasoning) and effort != "none" and not ask.mute
    exchange = _Exchange(fake, body, instance, fake.answer(ask, instance), ask)
    if body.get("stream") is True and request.fault != "unstreamed":
        return Stream(exchange.stream, exchange.errors)
    async with instance.place():
        await fake.think_over(exchange.said)
    return Whole(200, exchange.whole())


def _invalid(message: str, code: str | None, param: str | None) -> refusals.Refusal:
    return refusals.openai(400, "invalid_request_error", message, code, param)


def _ask(fake: FakeLMStudio, body: Body, request: Request) -> Ask:
    """The request in common words.

    Raises:
        Refusal: as it refuses what it does not take.
    """
    ask = Ask("", 0, limit=body.get("max_output_tokens"), mute=request.fault == "no-content")
    earlier = body.get("previous_response_id")
    if earlier is not None:
        if earlier not in fake.stored:
            message = f"Previous response with id '{earlier.removeprefix('resp_')}' not found."
            raise _invalid(message, "previous_response_not_found", "previous_response_id")
        ask.words += len(" ".join(fake.stored[earlier]).split())
    ask.words += len(str(body.get("instructions") or "").split())
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise _invalid("Invalid type for 'input'.", "invalid_type", "input")
    for item in items:
        _hear(ask, item)
    ask.tools = tuple(_tool(number, tool) for number, tool in enumerate(body.get("tools") or []))
    choice = body.get("tool_choice", "auto")
    ask.choice = "required" if isinstance(choice, dict) else choice
    text = body.get("text")
    if text is not None:
        if "format" not in text:
            raise _invalid("Required", "missing_required_parameter", "text.format")
        ask.schema = text["format"].get("schema") if text["format"].get("type") == "json_schema" else None
    return ask


def _hear(ask: Ask, item: Any) -> None:
    match item:
        case {"type": "function_call", "arguments": str(text)}:
            ask.told = None
        case {"type": "function_call_output", "output": str(text)}:
            ask.told = text
        case {"type": "reasoning"}:
            text = ""
        case {"role": str(role), "content": str() | list() as content}:
            text = content if isinstance(content, str) else "".join(_part(ask, part) for part in content)
            ask.told = None
            if role == "user":
                ask.text = text
        case _:
            raise _invalid("Invalid type for 'input'.", "invalid_type", "input")
    ask.words += len(text.split())


def _part(ask: Ask, part: Any) -> str:
    match part:
        case {"type": "input_text" | "output_text", "text": str(text)}:
            return text
        case {"type": "input_image", "image_url": str(url)} if is_picture(url):
            ask.images += 1
            ask.words += 256
            return ""
        case _:
            raise _invalid("Invalid input", "invalid_union", "input")


def _tool(number: int, tool: Body) -> str:
    if tool.get("type") not in ("function", "mcp"):
        raise _invalid("Invalid tool type.", "invalid_string", f"tools.{number}.type")
    if tool["type"] == "function" and "type" not in (tool.get("parameters") or {}):
        raise _invalid("Invalid input", "custom", f"tools.{number}")
    return str(tool.get("name", ""))


class _Exchange:
    """One response, whole or in events."""

    def __init__(self, fake: FakeLMStudio, body: Body, instance: FakeInstance, said: Said, ask: Ask) -> None:
        self.fake, self.body, self.instance, self.said, self._ask = fake, body, instance, said, ask
        self.id, self._begun, self._number = response_id(), int(time.time()), 0
        self._items = self._output()

    def _output(self) -> list[Body]:
        items: list[Body] = []
        if self.said.thoughts:
            content = [{"type": "reasoning_text", "text": self.said.thought}]
            items.append({"id": random_id("rs_"), "type": "reasoning", "summary": [], "content": content})
        for name, given in self.said.calls:
            call = {"id": random_id("fc_"), "type": "function_call", "call_id": call_id(), "name": name}
            items.append({**call, "arguments": given, "status": "completed"})
        if self.said.words:
            content = [{"type": "output_text", "text": self.said.text, "annotations": [], "logprobs": []}]
            message = {"id": random_id("msg_"), "type": "message", "role": "assistant", "status": "completed"}
            items.append({**message, "content": content})
        return items

    def _response(self, status: str, output: list[Body], error: Body | None = None) -> Body:
        body: Body = {"id": self.id, "object": "response", "created_at": self._begun}
        body |= {"completed_at": int(time.time()) if status == "completed" else None, "status": status}
        body |= {"incomplete_details": None, "model": self.instance.id}
        for name in ("previous_response_id", "instructions"):
            body[name] = self.body.get(name)
        body |= {"output": output, "error": error, "tools": self.body.get("tools") or [], "tool_choice": "auto"}
        body |= {"truncation": "auto", "parallel_tool_calls": True, "text": {"format": {"type": "text"}}}
        body |= {"top_p": self.body.get("top_p", False), "presence_penalty": 0, "frequency_penalty": 1.1}
        body |= {"top_logprobs": 0, "temperature": self.body.get("temperature", 0.8)}
        body |= {"reasoning": {"summary": None, "effort": (self.body.get("reasoning") or {}).get("effort")}}
        body["usage"] = self._usage() if status == "completed" else None
        body |= {"max_output_tokens": self.body.get("max_output_tokens"), "max_tool_calls": None}
        body |= {"store": self.body.get("store", True), "background": False, "service_tier": "default"}
        return body | {"metadata": {}, "safety_identifier": None, "prompt_cache_key": None}

    def _usage(self) -> Body:
        made, taken = self.said.tokens, self.said.prompt_tokens
        usage: Body = {"input_tokens": taken, "output_tokens": made, "total_tokens": taken + made}
        usage["input_tokens_details"] = {"cached_tokens": 0}
        return usage | {"output_tokens_details": {"reasoning_tokens": len(self.said.thoughts)}}

    def whole(self) -> Body:
        """The finished response; kept from now on, unless it is not to be."""
        if self.body.get("store", True):
            earlier = self.fake.stored.get(self.body.get("previous_response_id") or "", [])
            self.fake.stored[self.id] = [*earlier, self._ask.text, self.said.text]
        return self._response("completed", self._items)

    def errors(self, message: str, plain: bool) -> list[Frame]:
        """The stream fails: an `error` with a bare string, or the response that failed."""
        if plain:
            return [Frame({"type": "error", "error": message}, "error")]
        error = {"code": "server_error", "message": message}
        return [self._event("response.failed", response=self._response("failed", [], error))]

    def _event(self, kind: str, *, said: bool = False, final: bool = False, **fields: Any) -> Frame:
        self._number += 1
        frame = {"type": kind, **fields, "sequence_number": self._number - 1}
        return Frame(frame, kind, said=said, final=final)

    async def stream(self, out: Out) -> None:
        """The response in events."""
        async with self.instance.place():
            for kind in ("created", "in_progress"):
                await out.frame(self._event(f"response.{kind}", response=self._response("in_progress", [])))
            for index, item in enumerate(self._items):
                place = {"output_index": index}
                begun = {**item, "status": "in_progress"} | ({"content": []} if "content" in item else {})
                await out.frame(self._event("response.output_item.added", **place, item=begun))
                place["item_id"] = item["id"]
                if item["type"] == "function_call":
                    await self._call(out, item["arguments"], place)
                else:
                    await self._text(out, item, place)
                await out.frame(self._event("response.output_item.done", output_index=index, item=item))
            await out.frame(self._event("response.completed", response=self.whole(), final=True))

    async def _call(self, out: Out, given: str, place: Body) -> None:
        kind = "response.function_call_arguments"
        for piece in (given[:5], given[5:10], given[10:]):
            await out.frame(self._event(f"{kind}.delta", said=True, **place, delta=piece))
        await out.frame(self._event(f"{kind}.done", **place, arguments=given))

    async def _text(self, out: Out, item: Body, place: Body) -> None:
        part = item["content"][0]
        place = {**place, "content_index": 0}
        kind = f"response.{part['type']}"
        plain = item["type"] == "message"
        if plain:
            await out.frame(self._event("response.content_part.added", **place, part={**part, "text": ""}))
        for word in self.said.words if plain else self.said.thoughts:
            await out.frame(self._event(f"{kind}.delta", said=True, **place, delta=word))
        await out.frame(self._event(f"{kind}.done", **place, text=part["text"]))
        if plain:
            await out.frame(self._event("response.content_part.done", **place, part=part))
