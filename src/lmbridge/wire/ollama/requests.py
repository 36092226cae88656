"""The bodies of Ollama's requests, decoded in one pass into typed structs and checked.

The fields are those of Ollama's API (https://github.com/ollama/ollama/blob/main/docs/api.md, its
`docs/openapi.yaml` and `api/types.go`) and those that its Python and JavaScript clients send. An unknown field is
refused by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.wire.fields import Refused, refuse
from lmbridge.wire.ollama.durations import keep_alive_seconds
from lmbridge.wire.ollama.fields import CHAT_REFUSED, GENERATE_REFUSED, PULL_REFUSED, SHOW_REFUSED
from lmbridge.wire.ollama.options import Options
from lmbridge.wire.strict import decode_strictly

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
_Object: TypeAlias = dict[str, object]


# ---- messages and tools


class CalledFunction(Struct, forbid_unknown_fields=True):
    """The function of an earlier tool call; its arguments are an object, not text."""

    name: str
    arguments: _Object = {}
    index: int | None = None
    description: str | None = None


class Call(Struct, forbid_unknown_fields=True):
    """A tool call of an earlier answer. Older clients send neither id nor type."""

    function: CalledFunction
    id: str | None = None
    type: Literal["function"] = "function"


class ChatMessage(Struct, forbid_unknown_fields=True):
    """One turn."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class FunctionDefinition(Struct, forbid_unknown_fields=True):
    """A function the model may call; `parameters` is a JSON schema."""

    name: _Name
    description: str | None = None
    parameters: _Object | None = None
    strict: bool | None = None


class ToolDefinition(Struct, forbid_unknown_fields=True):
    """A tool; functions are the only kind."""

    function: FunctionDefinition
    type: Literal["function"] = "function"


# ---- bodies


class _Body(Struct, forbid_unknown_fields=True, kw_only=True):
    model: str = ""
    keep_alive: float | str | None = None
    options: Options | None = None

    @property
    def unloads(self) -> bool:
        """Whether the model is not wanted any longer once this is answered."""
        return self.keep_alive is not None and keep_alive_seconds(self.keep_alive) == 0


class _Generation(_Body, forbid_unknown_fields=True, kw_only=True):
    """What chat and generation have in common."""

    stream: bool | None = None
    format: str | _Object | None = None
    think: bool | Literal["low", "medium", "high"] | None = None
    truncate: bool | None = None
    # refused by name: see fields
    logprobs: object = None
    top_logprobs: object = None
    shift: object = None
    _debug_render_only: object = None

    @property
    def streamed(self) -> bool:
        """Whether the answer is wanted line by line, which is Ollama's default."""
        return self.stream is not False


class ChatBody(_Generation, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /api/chat`."""

    messages: list[ChatMessage] | None = None
    tools: list[ToolDefinition] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is said, so that the model is only to be loaded, or unloaded."""
        return not self.messages


class GenerateBody(_Generation, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /api/generate`."""

    prompt: str | None = None
    system: str | None = None
    images: list[str] | None = None
    # refused by name
    suffix: object = None
    template: object = None
    raw: object = None
    context: list[int] | None = None
    width: object = None
    height: object = None
    steps: object = None

    @property
    def empty(self) -> bool:
        """Whether nothing is said, so that the model is only to be loaded, or unloaded."""
        return not self.prompt and not self.images


class EmbedBody(_Body, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /api/embed`."""

    input: str | list[str] | None = None
    truncate: bool | None = None
    dimensions: Annotated[int, Meta(ge=1, le=65536)] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """What is to be embedded; an empty text alone is nothing, in a list it is one."""
        given = self.input or ()
        return (given,) if isinstance(given, str) else tuple(given)


class EmbeddingsBody(_Body, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /api/embeddings`, the form before `/api/embed`."""

    prompt: str | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """What is to be embedded."""
        return (self.prompt,) if self.prompt else ()


class ShowBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /api/show`. `name` is the older name of `model`."""

    model: str = ""
    name: str = ""
    verbose: bool | None = None
    # refused by name
    system: object = None
    template: object = None
    options: _Object | None = None


class PullBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /api/pull`. `name` is the older name of `model`."""

    model: str = ""
    name: str = ""
    stream: bool | None = None
    # refused by name
    insecure: object = None
    username: object = None
    password: object = None

    @property
    def streamed(self) -> bool:
        """Whether progress is wanted line by line, which is Ollama's default."""
        return self.stream is not False


_Made = TypeVar("_Made", bound=Struct)
_Asking = TypeVar("_Asking", bound=_Body)

_chat: Final = msgspec.json.Decoder(ChatBody)
_generate: Final = msgspec.json.Decoder(GenerateBody)
_embed: Final = msgspec.json.Decoder(EmbedBody)
_embeddings: Final = msgspec.json.Decoder(EmbeddingsBody)
_show: Final = msgspec.json.Decoder(ShowBody)
_pull: Final = msgspec.json.Decoder(PullBody)


def decode_chat(data: bytes) -> ChatBody:
    """Decode and check the body of a chat.

    Raises:
        InvalidRequest: malformed JSON, a wrong type or value; `param` names the field.
        UnsupportedParameter: a field that cannot be honoured.
    """
    body = _asking(_chat, data, CHAT_REFUSED)
    _check_format(body.format)
    return body


def decode_generate(data: bytes) -> GenerateBody:
    """Decode and check the body of a generation.

    Raises:
        InvalidRequest: malformed JSON, a wrong type or value; `param` names the field.
        UnsupportedParameter: a field that cannot be honoured.
    """
    body = _generate_body(data)
    _check_format(body.format)
    return body


def _generate_body(data: bytes) -> GenerateBody:
    body = decode_strictly(_generate, data)
    body.context = body.context or None  # an empty one asks for nothing
    return _checked(body, GENERATE_REFUSED)


def decode_embed(data: bytes) -> EmbedBody:
    """Decode and check the body of a request for vectors.

    Raises:
        InvalidRequest: malformed JSON, a wrong type or value; `param` names the field.
        UnsupportedParameter: a field that cannot be honoured.
    """
    return _asking(_embed, data)


def decode_embeddings(data: bytes) -> EmbeddingsBody:
    """Decode and check the body of a request for one vector.

    Raises:
        InvalidRequest: malformed JSON, a wrong type or value; `param` names the field.
        UnsupportedParameter: a field that cannot be honoured.
    """
    return _asking(_embeddings, data)


def decode_show(data: bytes) -> str:
    """The name of the model that is to be shown.

    Raises:
        InvalidRequest: malformed JSON, a wrong type, or no name.
        UnsupportedParameter: a field that cannot be honoured.
    """
    body = decode_strictly(_show, data)
    body.options = body.options or None  # an empty one asks for nothing
    refuse(body, SHOW_REFUSED)
    return _named(body.model or body.name)


def decode_pull(data: bytes) -> tuple[str, bool]:
    """The name of the model that is to be downloaded, and whether progress is wanted line by line.

    Raises:
        InvalidRequest: malformed JSON, a wrong type, or no name.
        UnsupportedParameter: a field that cannot be honoured.
    """
    body = decode_strictly(_pull, data)
    refuse(body, PULL_REFUSED)
    return _named(body.model or body.name), body.streamed


# ---- checks that types cannot express


def _asking(decoder: msgspec.json.Decoder[_Asking], data: bytes, table: Sequence[Refused] = ()) -> _Asking:
    return _checked(decode_strictly(decoder, data), table)


def _checked(body: _Asking, table: Sequence[Refused]) -> _Asking:
    refuse(body, table)
    if body.options is not None:
        body.options.check()
    if body.keep_alive is not None:
        keep_alive_seconds(body.keep_alive)
    return body


def _check_format(wanted: str | _Object | None) -> None:
    if isinstance(wanted, str) and wanted not in ("", "json"):
        raise InvalidRequest(
            "`format` must be `json` or a JSON schema.", hint="Send the schema as an object.", param="format"
        )


def _named(name: str) -> str:
    if not name:
        raise InvalidRequest("`model` is missing.", param="model", flaw="missing")
    return name
