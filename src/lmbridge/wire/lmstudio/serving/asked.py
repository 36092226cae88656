"""What can be asked in LM Studio's own API (`/api/v1`), and what it means in core's words.

An empty or null field is one that was left out. What nobody here can do is refused by its name.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart, Message, Part, TextPart
from lmbridge.core.models import MAX_PARALLEL, LoadOptions, ModelInfo
from lmbridge.core.requests import ChatRequest, Sampling
from lmbridge.wire.fields import refuse
from lmbridge.wire.lmstudio.serving.bodies import decode_body
from lmbridge.wire.lmstudio.serving.fields import LOAD_REFUSED

_Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
_Tokens: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)]
_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=512)]

HUGGING_FACE: Final = "https://huggingface.co/"
_REPOSITORY: Final = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}", re.ASCII)


class LoadBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/models/load`."""

    model: _Name
    context_length: _Tokens | None = None
    parallel: Annotated[int, Meta(ge=1, le=MAX_PARALLEL)] | None = None
    eval_batch_size: _Tokens | None = None
    flash_attention: bool | None = None
    num_experts: _Tokens | None = None
    offload_kv_cache_to_gpu: bool | None = None
    echo_load_config: bool = False

    @property
    def options(self) -> LoadOptions:
        """As LM Studio does: a model that was loaded by request stays until somebody unloads it."""
        return LoadOptions(self.context_length, self.parallel, ttl=0.0)


class UnloadBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/models/unload`."""

    instance_id: _Name


class DownloadBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/models/download`."""

    model: _Name
    quantization: _Name | None = None

    @property
    def name(self) -> str:
        """As the hub's downloads call it: `publisher/model` or `owner/repository@quantization`."""
        link = self.model.removeprefix(HUGGING_FACE).strip("/")
        return f"{link}@{self.quantization}" if self.quantization else link


class TextItem(Struct, frozen=True, forbid_unknown_fields=True, tag="message"):
    """Text; LM Studio's documentation calls it `message` in its table and `text` in its example."""

    content: str


class PlainTextItem(TextItem, frozen=True, forbid_unknown_fields=True, tag="text"):
    """The same by its other name."""


class ImageItem(Struct, frozen=True, forbid_unknown_fields=True, tag="image"):
    """A picture."""

    data_url: str


Item: TypeAlias = TextItem | PlainTextItem | ImageItem

MOST_SERVERS: Final = 16
"""Servers of tools in one request."""
_Tools: TypeAlias = Annotated[list[_Name], Meta(max_length=1024)]
_Value: TypeAlias = Annotated[str, Meta(max_length=8192)]


class PluginAsked(Struct, frozen=True, forbid_unknown_fields=True, tag="plugin"):
    """Tools of a server that the user has: `mcp/NAME`; as a string, all of them."""

    id: _Name
    allowed_tools: _Tools | None = None


class EphemeralAsked(Struct, frozen=True, forbid_unknown_fields=True, tag="ephemeral_mcp"):
    """Tools of a server that the request names by its URL."""

    server_label: _Name
    server_url: Annotated[str, Meta(min_length=1, max_length=4096)]
    allowed_tools: _Tools | None = None
    headers: Annotated[dict[_Name, _Value], Meta(max_length=64)] | None = None

    def __repr__(self) -> str:
        return f"EphemeralAsked({self.server_label!r})"  # headers hold secrets


ServerAsked: TypeAlias = PluginAsked | EphemeralAsked


class NativeChatBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/chat`."""

    model: _Name
    input: str | list[Item]
    system_prompt: str | None = None
    integrations: Annotated[list[_Name | PluginAsked | EphemeralAsked], Meta(max_length=MOST_SERVERS)] | None = (
        None
    )
    stream: bool = False
    temperature: _Share | None = None
    top_p: _Share | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    min_p: _Share | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    max_output_tokens: _Tokens | None = None
    reasoning: Literal["off", "low", "medium", "high", "on"] | None = None
    context_length: _Tokens | None = None
    store: bool = True
    previous_response_id: _Name | None = None

    @property
    def question(self) -> Message:
        """What this turn adds to the conversation."""
        if isinstance(self.input, str):
            return Message("user", self.input)
        parts = tuple(_part(item) for item in self.input)
        first = parts[0]
        return Message("user", first.text if len(parts) == 1 and isinstance(first, TextPart) else parts)

    @property
    def servers(self) -> list[ServerAsked]:
        """The servers of tools that are wanted, each once.

        Raises:
            InvalidRequest: one is wanted twice.
        """
        wanted = [PluginAsked(each) if isinstance(each, str) else each for each in self.integrations or ()]
        names = [each.id if isinstance(each, PluginAsked) else each.server_label for each in wanted]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise InvalidRequest(f"{twice!r} is among the integrations twice.", param="integrations")
        return wanted

    @property
    def options(self) -> LoadOptions:
        """For the case that this request loads the model."""
        return LoadOptions(self.context_length)

    def request(self, model: ModelInfo, system: str, earlier: tuple[Message, ...]) -> ChatRequest:
        """The whole conversation as a request.

        Args:
            system: of the conversation so far; one of this request replaces it. earlier: its turns.

        Raises:
            InvalidRequest: thinking that the model does not have.
        """
        prompt = self.system_prompt or system
        told = (Message("system", prompt),) if prompt else ()
        return ChatRequest(
            model.qualified,
            (*told, *earlier, self.question),
            sampling=Sampling(
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
                min_p=self.min_p,
                max_tokens=self.max_output_tokens,
                repeat_penalty=self.repeat_penalty,
            ),
            reasoning_effort=self._effort(model),
        )

    def _effort(self, model: ModelInfo) -> str | None:
        if self.reasoning is None or (model.reasoning is False and self.reasoning == "off"):
            return None
        if model.reasoning is False:
            raise InvalidRequest(
                f"Invalid value for 'reasoning': '{self.reasoning}'. {model.id!r} cannot think before it answers.",
                hint="Leave it out.",
                param="reasoning",
            )
        return _EFFORTS[self.reasoning]


_EFFORTS: Final = {"off": "none", "on": None, "low": "low", "medium": "medium", "high": "high"}
REASONING: Final = tuple(_EFFORTS)
"""What `reasoning` may be for a model that thinks."""

_load: Final = msgspec.json.Decoder(LoadBody)
_unload: Final = msgspec.json.Decoder(UnloadBody)
_download: Final = msgspec.json.Decoder(DownloadBody)
_chat: Final = msgspec.json.Decoder(NativeChatBody)


def decode_load(data: bytes) -> LoadBody:
    """The body of a load.

    Raises:
        InvalidRequest, UnsupportedParameter: an option that nobody here can honour.
    """
    body = decode_body(data, _load)
    refuse(body, LOAD_REFUSED)
    return body


def decode_unload(data: bytes) -> UnloadBody:
    """The body of an unload.

    Raises:
        InvalidRequest.
    """
    return decode_body(data, _unload)


def decode_download(data: bytes) -> DownloadBody:
    """The body of a download.

    Raises:
        InvalidRequest: also for an address that is none of Hugging Face.
    """
    body = decode_body(data, _download)
    link = body.model.startswith(HUGGING_FACE)
    if "://" in body.model and not (link and _REPOSITORY.fullmatch(body.name.partition("@")[0])):
        raise InvalidRequest(
            "Only links of the form https://huggingface.co/OWNER/REPOSITORY can be downloaded.", param="model"
        )
    if body.quantization is not None and not link:
        raise InvalidRequest(
            "'quantization' is only supported for Hugging Face links.",
            hint="Write `owner/repository@quantization`, or leave it out.",
            param="quantization",
        )
    return body


def decode_chat(data: bytes) -> NativeChatBody:
    """The body of a native chat.

    Raises:
        InvalidRequest.
    """
    body = decode_body(data, _chat)
    if not body.input:
        raise InvalidRequest("Invalid input. `input` is empty.", param="input", flaw="forms")
    return body


def _part(item: Item) -> Part:
    if isinstance(item, TextItem):
        return TextPart(item.content)
    if item.data_url[:11].lower() != "data:image/":
        raise InvalidRequest(
            "A picture must be a `data:image/…;base64,…` URL; addresses are not fetched.", param="input"
        )
    return ImagePart(item.data_url)
