"""What a loaded model can do, as far as requests depend on it; the engine itself is asked once, after loading."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.clients.http import HTTPClient
from lmbridge.core.errors import BridgeError, LoadFailed
from lmbridge.machine.engine.supervisor import Engine

# Words that no template writes by itself.
_NAME: Final = "lmbridge_probe_name"
_ARGUMENT: Final = "lmbridge_probe_argument"
_VALUE: Final = "lmbridge_probe_value"
_TEXT: Final = "lmbridge_probe_text"

_THOUGHT: Final = re.compile(r".*</think>\s*", re.DOTALL)
_MARKER: Final = re.compile(r"[<\[|][^{}\"\n]{1,60}[>\]|]")


class Traits(Struct, frozen=True):
    """What prepared requests depend on.

    Attributes:
        name: of the model, for error texts.
        vision, tools: whether it takes pictures and knows tools.
        slots: answers at the same time; `n` cannot be more.
        dimensions: of its vectors.
        call_opening: what the model writes before the JSON or name of a tool call, such as `<tool_call>` and a
            line end; "" when its template does not tell.
        call_closing: what it writes after a tool call; "" when there is nothing that marks it.
    """

    name: str
    vision: bool = False
    tools: bool = False
    slots: int = 1
    dimensions: int | None = None
    call_opening: str = ""
    call_closing: str = ""


class _Modalities(Struct, frozen=True):
    vision: bool = False


class _Generation(Struct):
    n_ctx: int


class _Properties(Struct):
    default_generation_settings: _Generation
    total_slots: int
    modalities: _Modalities = _Modalities()


class _Rendered(Struct):
    prompt: str


async def ask_traits(
    http: HTTPClient, engine: Engine, *, tools: bool, dimensions: int | None = None
) -> tuple[Traits, int]:
    """The traits of the model that *engine* has loaded, and the context length of one answer.

    Raises:
        LoadFailed: the engine ended, or answers in a way that we do not know.
    """
    try:
        properties = msgspec.json.decode(await _ask(http, engine, "GET", "/props", b""), type=_Properties)
        opening, closing = await _call_markers(http, engine) if tools else ("", "")
    except (BridgeError, msgspec.DecodeError) as error:
        raise LoadFailed(engine.name, f"the engine does not tell what it loaded: {error}") from error
    traits = Traits(
        engine.name,
        properties.modalities.vision,
        tools,
        properties.total_slots,
        dimensions,
        opening,
        closing,
    )
    return traits, properties.default_generation_settings.n_ctx


async def _ask(http: HTTPClient, engine: Engine, method: str, path: str, body: bytes) -> bytes:
    headers = [("Authorization", f"Bearer {engine.key}"), ("Content-Type", "application/json")]
    answer = await http.request(method, engine.url + path, headers=headers, body=body, keep_alive=False)
    async with answer as response:
        read = await response.read()
    if response.status != 200:
        raise LoadFailed(engine.name, f"status {response.status} for {path}")
    return read


async def _call_markers(http: HTTPClient, engine: Engine) -> tuple[str, str]:
    """How this model's template writes a tool call, found by rendering one; two empty texts if it cannot."""
    function = {"name": _NAME, "arguments": msgspec.json.encode({_ARGUMENT: _VALUE}).decode()}
    call = {"id": "call00000", "type": "function", "function": function}
    asked: dict[str, object] = {"role": "user", "content": "?"}
    called: dict[str, object] = {"role": "assistant", "content": None, "tool_calls": [call]}
    said: dict[str, object] = {"role": "assistant", "content": _TEXT}
    turns = ([asked], False), ([asked], True), ([asked, called], False), ([asked, said], False)
    try:
        rendered = await asyncio.gather(*(_render(http, engine, each, prompt) for each, prompt in turns))
    except (BridgeError, msgspec.DecodeError):
        return "", ""  # a template that cannot render a call; then calls are merely asked for
    return markers(*rendered)


async def _render(http: HTTPClient, engine: Engine, messages: list[dict[str, object]], prompt: bool) -> str:
    parameters = {"type": "object", "properties": {_ARGUMENT: {"type": "string"}}, "required": [_ARGUMENT]}
    tool = {"type": "function", "function": {"name": _NAME, "description": "?", "parameters": parameters}}
    body = {"messages": messages, "tools": [tool], "add_generation_prompt": prompt}
    read = await _ask(http, engine, "POST", "/apply-template", msgspec.json.encode(body))
    return msgspec.json.decode(read, type=_Rendered).prompt


def markers(asked: str, prompted: str, called: str, said: str) -> tuple[str, str]:
    """What comes before and after a tool call, from four renderings of one conversation.

    Arguments:
        asked: the question alone. prompted: with what makes the model answer. called: answered with a tool
            call. said: answered in words.
    """
    if not all(each.startswith(asked) for each in (prompted, called, said)):
        return "", ""
    prompt, call, words = (each[len(asked) :] for each in (prompted, called, said))
    if call.startswith(prompt):
        common = len(prompt)
    else:  # the prompt already opens the model's thoughts
        common = next((at for at, (a, b) in enumerate(zip(call, words, strict=False)) if a != b), 0)
        common = len(call[:common].rstrip("<[|"))
    name_at, value_at, text_at = call.find(_NAME), call.find(_VALUE), words.find(_TEXT)
    if min(name_at, value_at, text_at) < 0 or name_at < common:
        return "", ""
    opening = _THOUGHT.sub("", call[common:name_at])
    if '"name"' in opening:  # JSON: its own opening brace is left to the model
        opening = opening[: opening.rindex("{")] if "{" in opening else ""
    end_of_turn = words[text_at + len(_TEXT) :]
    closing = call[value_at + len(_VALUE) :].removesuffix(end_of_turn)
    found = _MARKER.findall(closing)
    return (opening, found[-1] if found else "") if opening.strip() else ("", "")
