"""The bodies of OpenAI requests, decoded in one pass into typed structs and checked.

The fields are those of OpenAI's API reference, and those that llama.cpp's server adds (its README and
request schema, checked for build b11549): what the engine can do, a caller may ask for. An unknown
field at the top level is refused by name; messages keep fields that we do not know, because clients
send back whatever an earlier answer held.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.wire.fields import refuse
from lmbridge.wire.openai.fields import CHAT_REFUSED, COMPLETION_REFUSED, EMBEDDING_REFUSED
from lmbridge.wire.strict import decode_strictly

_Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
_Penalty: TypeAlias = Annotated[float, Meta(ge=-2, le=2)]
_NotNegative: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_MinusOneOrMore: TypeAlias = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
_Seed: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Choices: TypeAlias = Annotated[int, Meta(ge=1, le=16)]
_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
_Stops: TypeAlias = Annotated[list[str], Meta(max_length=64)]
_Schema: TypeAlias = dict[str, object]


# ---- messages


class TextContent(Struct, tag="text", gc=False):
    """`{"type": "text", "text": …}`."""

    text: str


class RefusalContent(Struct, tag="refusal", gc=False):
    """`{"type": "refusal", "refusal": …}`: what an earlier answer said instead of an answer."""

    refusal: str


class ImageURL(Struct, gc=False):
    """Where a picture is; here always a `data:` URL."""

    url: str
    detail: str | None = None


class ImageContent(Struct, tag="image_url"):
    """`{"type": "image_url", "image_url": {"url": …}}`."""

    image_url: ImageURL


class AudioContent(Struct, tag="input_audio", gc=False):
    """Known, so that it is refused by its name."""


class FileContent(Struct, tag="file", gc=False):
    """Known, so that it is refused by its name."""


Content: TypeAlias = TextContent | ImageContent | RefusalContent | AudioContent | FileContent


class CalledFunction(Struct, gc=False):
    """The function of an earlier tool call; its arguments are JSON text."""

    name: str
    arguments: str = "{}"


class Call(Struct):
    """A tool call of an earlier answer."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class ChatMessage(Struct):
    """One turn. Fields not named here stay in the bytes and reach the provider."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Content] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    function_call: object = None
    audio: object = None


# ---- tools and formats


class FunctionDefinition(Struct, forbid_unknown_fields=True):
    """A function the model may call; `parameters` is a JSON schema."""

    name: _Name
    description: str | None = None
    parameters: _Schema | None = None
    strict: bool | None = None


class ToolDefinition(Struct, forbid_unknown_fields=True):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: FunctionDefinition


class ChosenFunction(Struct, gc=False, forbid_unknown_fields=True):
    """The name of a chosen function."""

    name: _Name


class ChosenTool(Struct, forbid_unknown_fields=True):
    """`tool_choice` that insists on one function."""

    type: Literal["function"]
    function: ChosenFunction


class TextFormat(Struct, tag="text", gc=False, forbid_unknown_fields=True):
    """Plain text, the default."""


class JSONObjectFormat(Struct, tag="json_object", forbid_unknown_fields=True):
    """Any JSON object; llama.cpp also takes a schema here."""

    schema: _Schema | None = None


class JSONSchema(Struct, forbid_unknown_fields=True):
    """A named schema."""

    name: str
    schema: _Schema | None = None
    description: str | None = None
    strict: bool | None = None


class JSONSchemaFormat(Struct, tag="json_schema", forbid_unknown_fields=True):
    """An answer that follows a schema."""

    json_schema: JSONSchema


class StreamOptions(Struct, gc=False, forbid_unknown_fields=True):
    """What a stream holds besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


# ---- bodies


class _Generation(Struct, forbid_unknown_fields=True, kw_only=True):
    """What chat and text completion have in common."""

    model: str = ""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: _Probability | None = None
    n: _Choices | None = None
    max_tokens: _MinusOneOrMore | None = None
    stop: str | _Stops | None = None
    seed: _Seed | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    logit_bias: dict[str, float | bool] | list[list[int | str | float | bool]] | None = None
    # LM Studio
    ttl: Annotated[float, Meta(ge=0)] | None = None
    # accepted and ignored: see fields.IGNORED
    user: str | None = None
    metadata: dict[str, object] | None = None
    # llama.cpp, sampling
    top_k: _NotNegative | None = None
    min_p: _Probability | None = None
    typical_p: float | None = None
    top_n_sigma: float | None = None
    xtc_probability: _Probability | None = None
    xtc_threshold: _Probability | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    repeat_last_n: _MinusOneOrMore | None = None
    repeat_penalty: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: _NotNegative | None = None
    dry_penalty_last_n: _MinusOneOrMore | None = None
    dry_sequence_breakers: Annotated[list[str], Meta(min_length=1, max_length=64)] | None = None
    mirostat: Literal[0, 1, 2] | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    adaptive_target: float | None = None
    adaptive_decay: Annotated[float, Meta(ge=0, le=0.99)] | None = None
    samplers: list[str] | str | None = None
    min_keep: _NotNegative | None = None
    ignore_eos: bool | None = None
    grammar: str | None = None
    json_schema: _Schema | None = None
    lora: list[dict[str, float]] | None = None
    # llama.cpp, limits and reports
    n_predict: _MinusOneOrMore | None = None
    n_indent: _NotNegative | None = None
    n_keep: _MinusOneOrMore | None = None
    n_discard: _NotNegative | None = None
    t_max_predict_ms: _MinusOneOrMore | None = None
    cache_prompt: bool | None = None
    n_cache_reuse: _NotNegative | None = None
    n_probs: Annotated[int, Meta(ge=0, le=100)] | None = None
    post_sampling_probs: bool | None = None
    return_tokens: bool | None = None
    return_progress: bool | None = None
    timings_per_token: bool | None = None
    sse_ping_interval: _MinusOneOrMore | None = None
    # refused by name: see fields
    id_slot: object = None
    draft_model: object = None
    preset: object = None

    @property
    def streamed(self) -> bool:
        """Whether the answer is wanted as a stream of events."""
        return self.stream is True

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with the token counts."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    @property
    def seeded(self) -> bool:
        """Whether the caller relies on a seed: equal seeds give equal answers."""
        return self.seed is not None and self.seed >= 0  # -1 is llama.cpp's word for a random one


class ChatBody(_Generation, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_completion_tokens: _MinusOneOrMore | None = None
    tools: list[ToolDefinition] | None = None
    tool_choice: Literal["auto", "none", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | JSONObjectFormat | JSONSchemaFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    truncation: Literal["auto", "disabled"] | None = None  # as OpenAI's Responses have it
    # llama.cpp
    chat_template_kwargs: dict[str, object] | None = None
    reasoning_format: Literal["none", "auto", "deepseek", "deepseek-legacy"] | None = None
    reasoning_budget_tokens: _MinusOneOrMore | None = None
    thinking_budget_tokens: _MinusOneOrMore | None = None
    reasoning_control: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | Literal["content", "reasoning_content"] | None = None
    parse_tool_calls: bool | None = None
    # accepted and ignored
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: object = None
    # refused by name
    store: object = None
    audio: object = None
    web_search_options: object = None
    prediction: object = None
    moderation: object = None
    functions: object = None
    function_call: object = None
    verbosity: object = None

    @property
    def has_images(self) -> bool:
        """Whether a message holds a picture, so that the model must be able to see."""
        return any(
            isinstance(part, ImageContent)
            for message in self.messages
            if isinstance(message.content, list)
            for part in message.content
        )


class CompletionBody(_Generation, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/completions`."""

    prompt: str | list[str | int | list[int]]
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    # refused by name
    suffix: object = None
    echo: object = None
    best_of: object = None


class EmbeddingBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/embeddings`."""

    model: str = ""
    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=65536)] | None = None
    user: str | None = None
    embd_normalize: _MinusOneOrMore | None = None
    ttl: Annotated[float, Meta(ge=0)] | None = None

    @property
    def inputs(self) -> int:
        """How many vectors are wanted."""
        if isinstance(self.input, str) or isinstance(self.input[0], int):
            return 1
        return len(self.input)


_chat: Final = msgspec.json.Decoder(ChatBody)
# One look at all of them: this is on the way of every relayed request.
_chat_refused: Final = attrgetter(*(field.name for field in CHAT_REFUSED))
_NOTHING: Final = (None,) * len(CHAT_REFUSED)
_completion: Final = msgspec.json.Decoder(CompletionBody)
_embedding: Final = msgspec.json.Decoder(EmbeddingBody)


def decode_chat_body(data: bytes) -> ChatBody:
    """Decode and check the body of a chat request.

    Raises:
        InvalidRequest: malformed JSON, a wrong type or value; `param` names the field.
        UnsupportedParameter: a field that cannot be honoured.
    """
    body = decode_strictly(_chat, data)
    if body.max_tokens == 0 or body.max_completion_tokens == 0:
        raise _at_least_one("max_tokens" if body.max_tokens == 0 else "max_completion_tokens")
    if _chat_refused(body) != _NOTHING:
        refuse(body, CHAT_REFUSED)
    if body.modalities is not None and body.modalities != ["text"]:
        raise UnsupportedParameter(
            "modalities", "Only text can be answered.", hint='Leave it out, or send ["text"].'
        )
    if body.top_logprobs is not None and not body.logprobs:
        raise InvalidRequest(
            "`top_logprobs` needs `logprobs` to be true.", hint="Send `logprobs: true`.", param="top_logprobs"
        )
    if body.n_predict is not None:
        _only_one_limit(body)
    if body.tool_choice is not None:
        _check_choice(body)
    for position, message in enumerate(body.messages):
        _check_message(position, message)
    return body


def decode_completion_body(data: bytes) -> CompletionBody:
    """Decode and check the body of a text completion request.

    Raises:
        InvalidRequest: malformed JSON, a wrong type or value; `param` names the field.
        UnsupportedParameter: a field that cannot be honoured.
    """
    body = decode_strictly(_completion, data)
    if body.max_tokens == 0:
        raise _at_least_one("max_tokens")
    refuse(body, COMPLETION_REFUSED)
    if isinstance(body.prompt, list):
        _check_inputs("prompt", body.prompt)
    return body


def decode_embedding_body(data: bytes) -> EmbeddingBody:
    """Decode and check the body of an embeddings request.

    Raises:
        InvalidRequest: malformed JSON, a wrong type or value; `param` names the field.
        UnsupportedParameter: a field that cannot be honoured.
    """
    body = decode_strictly(_embedding, data)
    refuse(body, EMBEDDING_REFUSED)
    if isinstance(body.input, list):
        _check_inputs("input", body.input)
    return body


# ---- checks that types cannot express


def _at_least_one(param: str) -> InvalidRequest:
    return InvalidRequest(f"`{param}` must be at least 1, or -1 for no limit.", param=param)


def _only_one_limit(body: ChatBody) -> None:
    if body.max_tokens is not None or body.max_completion_tokens is not None:
        raise InvalidRequest(
            "`n_predict` and `max_tokens` mean the same; only one may be given.", param="n_predict"
        )


def _check_choice(body: ChatBody) -> None:
    names = [tool.function.name for tool in body.tools or ()]
    if isinstance(body.tool_choice, ChosenTool):
        wanted = body.tool_choice.function.name
        if wanted not in names:
            raise InvalidRequest(
                f"`tool_choice` names {wanted!r}, which is not among the tools.",
                hint=f"The tools are: {', '.join(names[:20])}." if names else "Send it in `tools`.",
                param="tool_choice.function.name",
            )
    elif body.tool_choice == "required" and not names:
        raise InvalidRequest("`tool_choice` is `required`, and there are no tools.", param="tool_choice")


def _check_message(position: int, message: ChatMessage) -> None:
    where = f"messages[{position}]"
    if message.function_call is not None:
        raise UnsupportedParameter(
            f"{where}.function_call", "The form before `tool_calls`.", hint="Use `tool_calls`."
        )
    if message.audio is not None:
        raise UnsupportedParameter(f"{where}.audio", "No provider here can hear.")
    if message.role == "tool" and message.tool_call_id is None:
        raise InvalidRequest(
            f"`{where}` has the role `tool` and no `tool_call_id`.",
            hint="Repeat the id of the call it answers.",
            param=f"{where}.tool_call_id",
        )
    content = message.content
    if content is None:
        if message.role != "assistant":
            raise InvalidRequest(f"`{where}.content` is missing.", param=f"{where}.content")
    elif not isinstance(content, str):
        for number, part in enumerate(content):
            _check_part(f"{where}.content[{number}]", part)


def _check_part(where: str, part: Content) -> None:
    if isinstance(part, AudioContent):
        raise UnsupportedParameter(f"{where}.input_audio", "No provider here can hear.")
    if isinstance(part, FileContent):
        raise UnsupportedParameter(f"{where}.file", "Files are not read here.", hint="Send their text.")
    # llama.cpp would fetch an address, or a path on its disk, for whoever asks: never.
    if isinstance(part, ImageContent) and not part.image_url.url[:11].lower().startswith("data:image/"):
        raise InvalidRequest(
            f"`{where}.image_url.url` must be a `data:image/…;base64,…` URL; addresses are not fetched.",
            hint="Send the picture itself, in base64.",
            param=f"{where}.image_url.url",
        )


def _check_inputs(param: str, given: list[str | int | list[int]]) -> None:
    """Texts, or tokens, or lists of tokens, but no mixture."""
    kind = type(given[0]) if given else None
    for position, item in enumerate(given):
        if type(item) is not kind:
            raise InvalidRequest(
                f"`{param}[{position}]` is not of the same kind as `{param}[0]`.",
                hint="Send texts, or tokens, or lists of tokens.",
                param=f"{param}[{position}]",
            )
    if kind is None:
        raise InvalidRequest(f"`{param}` is empty.", param=param)
