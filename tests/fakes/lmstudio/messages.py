"""`/v1/messages` (from 0.4.1), in Anthropic's language."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.fakes.lmstudio.chat import overflow
from tests.fakes.lmstudio.http import Frame, Out, Request, Stream, Whole
from tests.fakes.lmstudio.models import Body
from tests.fakes.lmstudio.refusals import Refusal
from tests.fakes.lmstudio.runtime import FakeInstance
from tests.fakes.lmstudio.words import Ask, Said, call_id, random_id

if TYPE_CHECKING:
    from tests.fakes.lmstudio.server import FakeLMStudio

ROLES = ("user", "assistant", "system")
REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def error(status: int, kind: str, message: str) -> Refusal:
    """An error in Anthropic's shape."""
    return Refusal(status, {"type": "error", "error": {"type": kind, "message": message}})


async def converse(fake: FakeLMStudio, request: Request) -> Whole | Stream:
    """`POST /v1/messages`."""
    body = request.fields
    ask = _ask(body, request)
    try:
        instance = await fake.runtime.serving(body.get("model"))
    except Refusal as refusal:
        message = refusal.body["error"]["message"]
        raise error(refusal.status, "invalid_request_error", message) from refusal
    if (message := overflow(ask, instance)) is not None:
        raise error(500, "api_error", message)
    ask.think = (body.get("thinking") or {}).get("type") == "enabled" and bool(instance.model.reasoning)
    said = fake.answer(ask, instance)
    if body.get("stream") is True and request.fault != "unstreamed":
        return Stream(lambda out: _stream(instance, said, out), _errors)
    async with instance.place():
        await fake.think_over(said)
    return Whole(200, _message(instance, said, _blocks(said)))


def _ask(body: Body, request: Request) -> Ask:
    system = body.get("system")
    texts = [system] if isinstance(system, str) else [each.get("text", "") for each in system or []]
    if not isinstance(body.get("messages"), list):
        raise error(400, "invalid_request_error", "request.messages: Required")
    ask = Ask("", sum(len(text.split()) for text in texts), mute=request.fault == "no-content")
    for number, message in enumerate(body["messages"]):
        if message.get("role") not in ROLES:
            problem = "Invalid discriminator value. Expected 'user' | 'assistant'"
            raise error(400, "invalid_request_error", f"request.messages.{number}.role: {problem}")
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = " ".join(_text(each) for each in blocks)
        ask.words += len(text.split())
        ask.told = text if any(each["type"] == "tool_result" for each in blocks) else None
        if message["role"] == "user":
            ask.text = text
    ask.tools = tuple(each["name"] for each in body.get("tools") or [])
    choice = (body.get("tool_choice") or {}).get("type", "auto")
    ask.choice = {"any": "required", "tool": "required"}.get(choice, choice)
    ask.limit, ask.stop = body.get("max_tokens"), tuple(body.get("stop_sequences") or ())
    return ask


def _text(block: Body) -> str:
    match block:
        case {"type": "text", "text": str(text)} | {"type": "tool_result", "content": str(text)}:
            return text
        case {"type": "tool_result", "content": list(parts)}:
            return " ".join(_text(each) for each in parts)
        case {"type": "tool_use", "input": given}:
            return json.dumps(given)
        case _:
            return ""


def _blocks(said: Said) -> list[Body]:
    blocks: list[Body] = []
    if said.thoughts:
        blocks.append({"type": "thinking", "thinking": said.thought, "signature": ""})
    if said.words:
        blocks.append({"type": "text", "text": said.text})
    for name, given in said.calls:
        blocks.append({"type": "tool_use", "id": call_id(), "name": name, "input": json.loads(given)})
    return blocks


def _message(instance: FakeInstance, said: Said, content: list[Body]) -> Body:
    body: Body = {"id": random_id("msg_"), "type": "message", "role": "assistant", "model": instance.id}
    body |= {"content": content, "stop_reason": REASONS[said.reason], "stop_sequence": None}
    return body | {"usage": {"input_tokens": said.prompt_tokens, "output_tokens": said.tokens}}


def _errors(message: str, plain: bool) -> list[Frame]:
    told: Any = message if plain else {"type": "api_error", "message": message}
    return [Frame({"type": "error", "error": told}, "error")]


async def _stream(instance: FakeInstance, said: Said, out: Out) -> None:
    async def event(kind: str, *, said: bool = False, final: bool = False, **fields: Any) -> None:
        await out.frame(Frame({"type": kind, **fields}, kind, said=said, final=final))

    async with instance.place():
        begun = _message(instance, said, []) | {"stop_reason": None}
        await event("message_start", message=begun)
        for index, block in enumerate(_blocks(said)):
            field = {"thinking": "thinking", "text": "text", "tool_use": "input"}[block["type"]]
            empty = {**block, field: {} if field == "input" else ""}
            await event("content_block_start", index=index, content_block=empty)
            kind = {"text": "text_delta", "thinking": "thinking_delta", "input": "input_json_delta"}[field]
            pieces = {"text": said.words, "thinking": said.thoughts}.get(field, [json.dumps(block.get("input"))])
            name = "partial_json" if field == "input" else field
            for piece in pieces:
                await event("content_block_delta", said=True, index=index, delta={"type": kind, name: piece})
            await event("content_block_stop", index=index)
        ended = {"stop_reason": REASONS[said.reason], "stop_sequence": None}
        await event("message_delta", delta=ended, usage={"output_tokens": said.tokens})
        await event("message_stop", final=True)
