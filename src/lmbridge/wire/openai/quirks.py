"""OpenAI's language as LM Studio speaks it (0.4.25), for the setting `lmstudio_quirks`.

It reads the fields it knows and no others, refuses some forms in words of its own, fills its answers with empty
fields, and tells most errors as a bare text. What it refuses but we could do is refused all the same: who tests
against this wants to learn of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.errors import (
    BridgeError,
    ContextExceeded,
    InvalidRequest,
    ModelNotFound,
    Unauthorized,
    WrongModelKind,
)
from lmbridge.core.events import Finished
from lmbridge.wire.openai.chat_encoder import ChatEncoder
from lmbridge.wire.openai.errors import error_body

READ: Final = frozenset(
    {
        "draft_model",
        "frequency_penalty",
        "input",
        "logit_bias",
        "max_tokens",
        "messages",
        "min_p",
        "model",
        "presence_penalty",
        "preset",
        "prompt",
        "reasoning_effort",
        "repeat_penalty",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "ttl",
    }
)
"""The fields it looks at. `n` and `logprobs` are not among them, nor `encoding_format`."""

_ABOUT_MODELS: Final = ("model_not_found", "model_not_loaded", "no_models")
"""Errors that it tells as OpenAI does, with status 400."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


def as_lmstudio_reads(raw: bytes) -> bytes:
    """A body less what LM Studio does not look at.

    Raises:
        InvalidRequest: a form that it refuses, in its words.
    """
    try:
        fields = _decode(raw)
    except (ValueError, RecursionError):
        return raw  # whoever reads it next says what is wrong
    kept = {name: value for name, value in fields.items() if name in READ}
    ttl = kept.get("ttl")
    if "ttl" in kept and (isinstance(ttl, bool) or not isinstance(ttl, int | float) or ttl < 0):
        del kept["ttl"]
    _refuse(kept)
    return _encode(kept)


def _refuse(body: Mapping[str, object]) -> None:
    if isinstance(body.get("tool_choice"), dict):
        raise InvalidRequest(
            "Invalid tool_choice type: 'object'. Supported string values: none, auto, required",
            param="tool_choice",
        )
    shape = body.get("response_format")
    if isinstance(shape, dict) and shape.get("type") not in ("json_schema", "text"):
        raise InvalidRequest("'response_format.type' must be 'json_schema' or 'text'", param="response_format")
    if body.get("model") == "":
        raise ModelNotFound("", ())  # where no model is named, the loaded one is meant
    messages = body.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict):
            _refuse_content(message.get("content"), f"messages[{number}].content")


def _refuse_content(content: object, param: str) -> None:
    """Refuse a turn without content, which it insists on beside tool calls too, and pictures by their address."""
    if not isinstance(content, str | list):
        raise InvalidRequest("Invalid 'content': it must be a string or an array of objects", param=param)
    for part in content:
        image = part.get("image_url") if isinstance(part, dict) else None
        url = image.get("url") if isinstance(image, dict) else image
        if isinstance(url, str) and not url.startswith("data:image/"):
            raise InvalidRequest("Invalid 'content': 'url' field must be a base64 encoded image.", param=param)


class QuirkyEncoder(ChatEncoder):
    """A chat's answer with LM Studio's empty fields."""

    def _encoded(self, value: Struct, end: Finished | None) -> bytes:
        told = msgspec.to_builtins(value)
        told["system_fingerprint"] = self._model
        if told["object"] == "chat.completion":
            told["stats"] = {}
            for choice in told["choices"]:
                choice["message"] = {"reasoning_content": "", "tool_calls": [], **choice["message"]}
                choice["message"]["content"] = choice["message"]["content"] or ""
        return _encode(told)


def quirky_status(status: int) -> int:
    """Its status for an error, given the honest one: what is wrong with a request is always 400."""
    return 400 if 404 <= status < 500 else status


def quirky_body(error: BridgeError) -> bytes:
    """The body of an error: as OpenAI's where it is about models or a key, else a bare text."""
    if error.code in _ABOUT_MODELS or isinstance(error, Unauthorized):
        return error_body(_about_model(error))
    return _encode({"error": _words(error)})


def _about_model(error: BridgeError) -> BridgeError:
    """The same error, an unknown name told in its words."""
    if not isinstance(error, ModelNotFound):
        return error
    told = ModelNotFound(error.name, error.known, where=error.where, hint=error.hint)
    told.message = f'Invalid model identifier "{error.name}".'
    return told


def _words(error: BridgeError) -> str:
    """An error in its words, where clients look for them."""
    match error:
        case ContextExceeded():
            return f"The number of tokens to keep is greater than the context length: {error.message}"
        case WrongModelKind(name=name, wanted="embeddings"):
            return f"The model '{name}' is not embedding."
        case InvalidRequest(param="messages"):
            return "'messages' field is required"
        case _:
            return error.message


def quirky_event(error: BridgeError) -> bytes:
    """The last event of a stream that fails; no `[DONE]` follows."""
    words = _words(error)
    told = _encode({"error": {"message": words}, "message": words})
    return b"event: error\ndata: " + told + b"\n\n"
