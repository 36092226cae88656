"""`/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/models`, and the same below `/api/v0`."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from struct import pack
from typing import TYPE_CHECKING, Any

from tests.fakes.lmstudio import refusals
from tests.fakes.lmstudio.http import DONE, Frame, Out, Request, Stream, Whole
from tests.fakes.lmstudio.models import Body, older_model
from tests.fakes.lmstudio.runtime import FakeInstance
from tests.fakes.lmstudio.words import Ask, Said, call_id, random_id

if TYPE_CHECKING:
    from tests.fakes.lmstudio.server import FakeLMStudio

PICTURES = ("data:image/png;base64,", "data:image/jpeg;base64,", "data:image/webp;base64,")


def models(fake: FakeLMStudio, fault: str = "") -> Whole:
    """`GET /v1/models`: everything on disk while models are loaded on demand, else what is loaded."""
    names = [] if fault == "vanishes" else [name for name, _, _ in _listed(fake)]
    data = [{"id": name, "object": "model", "owned_by": "organization_owner"} for name in names]
    return Whole(200, {"data": data, "object": "list"})


def older_models(fake: FakeLMStudio, name: str = "", fault: str = "") -> Whole:
    """`GET /api/v0/models`, and `/api/v0/models/{id}`."""
    data = []
    for each, model, instance in [] if fault == "vanishes" else _listed(fake):
        state = "not-loaded" if instance is None else "loaded" if instance.ready else "loading"
        context = instance.context_length if instance is not None and instance.ready else None
        abilities = fake.runtime.version >= (0, 3, 16)
        data.append(older_model(model, each, state, context, abilities=abilities))
    if not name:
        return Whole(200, {"data": data, "object": "list"})
    found = next((each for each in data if each["id"] == name), None)
    if found is None:
        raise refusals.text(f"Model {name!r} not found.", 404)
    return Whole(200, found)


def _listed(fake: FakeLMStudio) -> list[tuple[str, Any, FakeInstance | None]]:
    """Names, models and instances that the lists tell of: every instance, and what is not loaded."""
    fake.runtime.sweep()
    listed: list[tuple[str, Any, FakeInstance | None]] = []
    listed += [(each.id, each.model, each) for each in fake.runtime.instances if each.ready or fake.runtime.jit]
    named = {name for name, _, _ in listed}
    if fake.runtime.jit:
        listed += [(each.key, each, None) for each in fake.runtime.models if each.key not in named]
    return listed


async def chat(fake: FakeLMStudio, request: Request) -> Whole | Stream:
    """A chat completion, whole or in events."""
    body = request.fields
    ask = _ask(body, request)
    instance = await fake.runtime.serving(body.get("model"), ttl=body.get("ttl"))
    _check_images(ask, instance)
    _check_length(ask, instance)
    think = bool(instance.model.reasoning) and body.get("reasoning_effort") not in ("none", "off")
    ask.think = think and not ask.mute
    said = fake.answer(ask, instance)
    if body.get("stream") is True and request.fault != "unstreamed":
        return Stream(lambda out: _stream(fake, body, instance, said, out), _errors)
    async with instance.place():
        await fake.think_over(said)
    return Whole(200, _completion(fake, request, instance, said))


def _ask(body: Body, request: Request) -> Ask:
    """The request in common words.

    Raises:
        Refusal: as it refuses what it does not take.
    """
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise refusals.text("'messages' field is required")
    choice = body.get("tool_choice")
    if choice is not None and choice not in ("none", "auto", "required"):
        kind = "object" if isinstance(choice, dict) else "string"
        known = "Supported string values: none, auto, required"
        raise refusals.text(f"Invalid tool_choice type: '{kind}'. {known}")
    format = body.get("response_format")
    schema = None
    if isinstance(format, dict):
        if format.get("type") not in ("json_schema", "text"):
            raise refusals.text("'response_format.type' must be 'json_schema' or 'text'")
        schema = (format.get("json_schema") or {}).get("schema")
    ask = Ask("", 0, choice=choice or "auto", schema=schema, mute=request.fault == "no-content")
    for message in messages:
        _hear(ask, message)
    ask.tools = tuple(each["function"]["name"] for each in body.get("tools") or [])
    ask.limit = body.get("max_tokens")
    ask.stop = _stops(body)
    return ask


def _stops(body: Body) -> tuple[str, ...]:
    stop = body.get("stop") or ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _hear(ask: Ask, message: Any) -> None:
    """One more message of the conversation."""
    if not isinstance(message, dict) or message.get("role") not in ("system", "user", "assistant", "tool"):
        raise refusals.text("Invalid 'messages': every message needs a role: system, user, assistant or tool")
    content = message.get("content")
    if isinstance(content, list):
        text = "".join(_part(ask, part) for part in content)
    elif isinstance(content, str):
        text = content
    else:
        raise refusals.text("Invalid 'content': 'content' must be a string or an array of objects")
    for each in message.get("tool_calls") or []:
        if not each.get("id"):
            raise refusals.text("Invalid 'tool_calls': every call needs an 'id'")
        text += f" {each['function']['arguments']}"
    ask.words += len(text.split())
    ask.told = text if message["role"] == "tool" else None
    if message["role"] == "user":
        ask.text = text


def _part(ask: Ask, part: Body) -> str:
    if part.get("type") == "text":
        return str(part["text"])
    url = (part.get("image_url") or {}).get("url", "")
    if not is_picture(url):
        raise refusals.text("'url' field must be a base64 encoded image.")
    ask.images += 1
    ask.words += 256
    return ""


def is_picture(url: str) -> bool:
    """Whether it is a data URL with a picture of a kind the server takes."""
    begin = next((each for each in PICTURES if url.startswith(each)), None)
    if begin is None:
        return False
    try:
        return bool(b64decode(url.removeprefix(begin), validate=True))
    except Base64Error:
        return False


def _check_images(ask: Ask, instance: FakeInstance) -> None:
    if ask.images and not instance.model.vision:
        raise refusals.text("Model does not support images. Please use a model that does.")


def _check_length(ask: Ask, instance: FakeInstance) -> None:
    if (message := overflow(ask, instance)) is not None:
        raise refusals.text(message)


def overflow(ask: Ask, instance: FakeInstance) -> str | None:
    """What it says when the prompt does not fit; None when it does."""
    needed = ask.words + 5
    if needed <= instance.context_length:
        return None
    return refusals.OVERFLOW.format(needed=needed, room=instance.context_length)


def _usage(said: Said) -> Body:
    usage: Body = {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.tokens}
    usage["total_tokens"] = said.prompt_tokens + said.tokens
    return usage | {"completion_tokens_details": {"reasoning_tokens": len(said.thoughts)}}


def _completion(fake: FakeLMStudio, request: Request, instance: FakeInstance, said: Said) -> Body:
    message: Body = {"role": "assistant", "content": said.text}
    if fake.runtime.version >= (0, 3, 9):
        message["reasoning_content"] = said.thought
    if not fake.separate_reasoning and said.thoughts:
        message |= {"content": f"<think>{said.thought}</think>{said.text}", "reasoning_content": ""}
    calls = [
        {"type": "function", "id": call_id(), "function": {"name": name, "arguments": given}}
        for name, given in said.calls
    ]
    if calls or fake.runtime.version >= (0, 4):
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": said.reason}
    body: Body = {"id": random_id("chatcmpl-"), "object": "chat.completion", "created": int(time.time())}
    body |= {"model": instance.id, "choices": [choice], "usage": _usage(said), "stats": {}}
    if request.path.startswith("/api/v0"):
        body |= _older_facts(instance, said)
    return {**body, "system_fingerprint": instance.id}


def _older_facts(instance: FakeInstance, said: Said) -> Body:
    """What only `/api/v0` tells of an answer."""
    reasons = {"stop": "eosFound", "length": "maxPredictedTokensReached", "tool_calls": "toolCalls"}
    stats: Body = {"tokens_per_second": 51.4, "time_to_first_token": 0.11, "generation_time": 0.95}
    model = instance.model
    return {
        "stats": {**stats, "stop_reason": reasons[said.reason]},
        "model_info": {
            "arch": model.architecture,
            "quant": model.quantization,
            "format": model.format,
            "context_length": instance.context_length,
        },
        "runtime": {"name": "llama.cpp-linux-x86_64-avx2", "version": "2.29.1", "supported_formats": ["gguf"]},
    }


async def _stream(fake: FakeLMStudio, body: Body, instance: FakeInstance, said: Said, out: Out) -> None:
    base: Body = {"id": random_id("chatcmpl-"), "object": "chat.completion.chunk", "created": int(time.time())}
    base |= {"model": instance.id, "system_fingerprint": instance.id}

    async def say(delta: Body, reason: str | None = None, *, said: bool = True) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        await out.frame(
            Frame({**base, "choices": [choice]}, said=said and reason is None, final=reason is not None)
        )

    async with instance.place():
        if said.thoughts and not fake.separate_reasoning:
            said = Said([], ["<think>", *said.thoughts, "</think>", *said.words], said.calls, said.reason, 0)
        for word in said.thoughts:
            await say({"role": "assistant", "reasoning_content": word})
        for index, (name, given) in enumerate(said.calls):
            first = {"name": name, "arguments": ""}
            opened = {"index": index, "id": call_id(), "type": "function", "function": first}
            await say({"role": "assistant", "tool_calls": [opened]})
            for piece in (given[:5], given[5:10], given[10:]):
                await say({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        for word in said.words:
            await say({"role": "assistant", "content": word})
        await say({}, said.reason)
        options = body.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage"):
            await out.frame(Frame({**base, "choices": [], "usage": _usage(said)}))
        await out.frame(DONE)


def _errors(message: str, plain: bool) -> list[Frame]:
    error: Any = message if plain else {"message": message}
    return [Frame({"error": error, "message": message}, event="error")]


async def complete(fake: FakeLMStudio, request: Request) -> Whole | Stream:
    """`/v1/completions`: a prompt without a template."""
    body = request.fields
    prompt = body.get("prompt")
    if isinstance(prompt, list):
        prompt = prompt[0] if prompt else None
    if not isinstance(prompt, str):
        raise refusals.text("'prompt' field is required")
    instance = await fake.runtime.serving(body.get("model"), ttl=body.get("ttl"))
    ask = Ask(prompt, len(prompt.split()), limit=body.get("max_tokens"), stop=_stops(body))
    ask.mute = request.fault == "no-content"
    _check_length(ask, instance)
    said = fake.answer(ask, instance)
    base: Body = {"id": random_id("cmpl-"), "object": "text_completion", "created": int(time.time())}
    base["model"] = instance.id

    async def play(out: Out) -> None:
        async with instance.place():
            for word in said.words:
                choice: Body = {"index": 0, "text": word, "logprobs": None, "finish_reason": None}
                await out.frame(Frame({**base, "choices": [choice]}, said=True))
            choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": said.reason}
            await out.frame(Frame({**base, "choices": [choice]}, final=True))
            if (body.get("stream_options") or {}).get("include_usage"):
                await out.frame(Frame({**base, "choices": [], "usage": _usage(said)}))
            await out.frame(DONE)

    if body.get("stream") is True and request.fault != "unstreamed":
        return Stream(play, _errors)
    async with instance.place():
        await fake.think_over(said)
    choice = {"index": 0, "text": said.text, "logprobs": None, "finish_reason": said.reason}
    whole = {**base, "choices": [choice], "usage": _usage(said), "stats": {}}
    if request.path.startswith("/api/v0"):
        whole |= _older_facts(instance, said)
    return Whole(200, whole)


async def embed(fake: FakeLMStudio, request: Request) -> Whole:
    """`/v1/embeddings`: numbers always, whatever encoding was asked for; too much text is cut without a word."""
    body = request.fields
    given = body.get("input")
    texts = given if isinstance(given, list) else [given]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise refusals.text("'input' field must be a string or an array of strings")
    instance = await fake.runtime.serving(body.get("model"), kind="embedding", ttl=body.get("ttl"))
    if instance.model.kind != "embedding":
        raise refusals.text(f"Failed to embed string. Model {instance.id} is not embedding.")
    async with instance.place():
        data = [
            {"object": "embedding", "embedding": vector(text, instance), "index": index}
            for index, text in enumerate(texts)
        ]
    _spoil(data, request.fault)
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    return Whole(200, {"object": "list", "data": data, "model": instance.id, "usage": usage})


def vector(text: str, instance: FakeInstance) -> list[float]:
    """Four numbers that tell texts apart, as far as the context reaches."""
    words = text.split()[: instance.context_length]
    return [float(len(words)), float(sum(map(len, words))), float(len(text) and ord(text[0])) / 100, 0.5]


def _spoil(data: list[Body], fault: str) -> None:
    match fault:
        case "short-vectors":
            data.pop()
        case "uneven-vectors":
            data[-1]["embedding"].append(0.25)
        case "shuffled-vectors":
            data.reverse()
        case "base64-vectors":
            for each in data:
                each["embedding"] = b64encode(pack("<4f", *each["embedding"])).decode()
