"""The bodies of `POST /v1/responses` and of its counting of tokens, decoded and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import Message
from lmbridge.core.models import LoadOptions
from lmbridge.core.requests import ChatRequest, Sampling, Schema
from lmbridge.wire.fields import refuse
from lmbridge.wire.openai.responding.fields import (
    CONTEXT,
    IGNORED,
    LOGPROBS,
    MODE,
    REFUSED,
    VERBOSITY,
    unsupported,
)
from lmbridge.wire.openai.responding.items import Item, check_results, to_messages
from lmbridge.wire.openai.responding.tools import Choice, Toolbox, toolbox
from lmbridge.wire.strict import decode_strictly

_Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
_Penalty: TypeAlias = Annotated[float, Meta(ge=-2, le=2)]
_Label: TypeAlias = Annotated[str, Meta(max_length=512)]

_INCLUDES: Final = "include: "


class TextFormat(Struct, tag="text", forbid_unknown_fields=True):
    """Plain text, the default."""


class JSONObjectFormat(Struct, tag="json_object", forbid_unknown_fields=True):
    """Any JSON object."""


class JSONSchemaFormat(Struct, tag="json_schema", forbid_unknown_fields=True):
    """An answer that follows a schema."""

    schema: dict[str, object]
    name: str = "answer"
    description: str | None = None
    strict: bool | None = None


class TextOptions(Struct, forbid_unknown_fields=True):
    """`text`: the shape of the answer. `verbosity` is refused, unless it is medium."""

    format: TextFormat | JSONObjectFormat | JSONSchemaFormat | None = None
    verbosity: str | None = None


class Reasoning(Struct, forbid_unknown_fields=True):
    """`reasoning`: how much to think."""

    effort: str | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "all_turns", "current_turn"] | None = None
    mode: str | None = None


class StreamOptions(Struct, forbid_unknown_fields=True):
    """What a stream holds besides the answer."""

    include_obfuscation: bool | None = None


class _Asked(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a request for an answer and one for a count have in common."""

    model: str | None = None
    input: str | Annotated[list[Item], Meta(min_length=1)] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: list[Raw] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    # refused by name
    conversation: object = None
    personality: object = None


class CountBody(_Asked, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/responses/input_tokens`."""


class ResponseBody(_Asked, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/responses`. Sampling by `top_k` and below is our addition, as the engine can do it."""

    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: _Probability | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    metadata: dict[Annotated[str, Meta(max_length=64)], _Label] | None = None
    ttl: Annotated[float, Meta(ge=0)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    min_p: _Probability | None = None
    repeat_penalty: float | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=64)] | None = None
    # accepted and ignored: see fields.IGNORED
    include: list[str] | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    safety_identifier: str | None = None
    client_metadata: object = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: object = None
    max_tool_calls: int | None = None
    # refused by name: see fields.REFUSED
    prompt: object = None
    context_management: object = None
    moderation: object = None
    image: object = None
    access_programs: object = None
    top_logprobs: object = None

    @property
    def streamed(self) -> bool:
        """Whether the answer is wanted as a stream of events."""
        return self.stream is True

    @property
    def stored(self) -> bool:
        """Whether the answer is to be stored: yes, if nothing is said."""
        return self.store is not False

    @property
    def options(self) -> LoadOptions:
        """How the model is loaded, if it has to be."""
        return LoadOptions(ttl=self.ttl)


class Question(Struct, frozen=True):
    """What is asked, in core's words, without the conversation that it goes on from.

    Attributes:
        messages: what the request adds to the conversation. instructions: for this answer only.
    """

    messages: tuple[Message, ...]
    instructions: str | None
    tools: Toolbox
    request: ChatRequest

    def after(self, before: Sequence[Message], system: str = "") -> ChatRequest:
        """The request, with the conversation before it.

        Args:
            system: the system prompt that is inherited, unless there are instructions.

        Raises:
            InvalidRequest: the result of a call that nobody made.
        """
        check_results(before, self.messages)
        prompt = self.instructions or system
        first = (Message("system", prompt),) if prompt else ()
        return self.request.with_messages(_one_system((*first, *before, *self.messages)))


_response: Final = msgspec.json.Decoder(ResponseBody)
_count: Final = msgspec.json.Decoder(CountBody)
_ACCEPTED: Final = frozenset(
    field.name.removeprefix(_INCLUDES) for field in IGNORED if field.name.startswith(_INCLUDES)
)


def decode_response_body(data: bytes) -> tuple[ResponseBody, Question]:
    """Decode and check the body of a request for an answer.

    Raises:
        InvalidRequest: malformed JSON, a wrong type or value; `param` names the field.
        UnsupportedParameter: a field that cannot be honoured.
    """
    body = decode_strictly(_response, data)
    refuse(body, REFUSED)
    for name in body.include or ():
        _check_include(name)
    if body.metadata is not None and len(body.metadata) > 16:
        raise InvalidRequest("`metadata` has more than 16 entries.", param="metadata")
    if body.background and body.streamed:
        raise UnsupportedParameter(
            "stream",
            "An answer in the background is not streamed.",
            hint="Ask for it with its id, or leave `background` out.",
        )
    if body.background and not body.stored:
        raise InvalidRequest(
            "`background` needs `store`: nobody could ask for the answer.",
            hint="Leave `store` out.",
            param="store",
        )
    return body, _question(body, _sampling(body))


def decode_count_body(data: bytes) -> tuple[CountBody, Question]:
    """Decode and check the body of a request to count tokens.

    Raises:
        InvalidRequest, UnsupportedParameter: as `decode_response_body`.
    """
    body = decode_strictly(_count, data)
    refuse(body, [field for field in REFUSED if hasattr(body, field.name)])
    return body, _question(body, Sampling())


def _question(body: _Asked, sampling: Sampling) -> Question:
    if body.input is None:
        raise InvalidRequest("`input` is missing.", param="input")
    tools = toolbox(body.tools, body.tool_choice)
    messages = to_messages(body.input)
    request = ChatRequest(
        model=body.model or "",
        messages=messages,
        tools=tools.tools,
        tool_choice=tools.choice,
        parallel_tool_calls=body.parallel_tool_calls if tools.tools else None,
        schema=_schema(body.text),
        sampling=sampling,
        reasoning_effort=_effort(body.reasoning),
        truncate=body.truncation == "auto",
    )
    return Question(messages, body.instructions, tools, request)


def _sampling(body: ResponseBody) -> Sampling:
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        max_tokens=body.max_output_tokens,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        seed=body.seed,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        repeat_penalty=body.repeat_penalty,
    )


def _schema(text: TextOptions | None) -> Schema | None:
    if text is None:
        return None
    if text.verbosity is not None and text.verbosity not in VERBOSITY.unless:
        raise unsupported(VERBOSITY)
    match text.format:
        case JSONObjectFormat():
            return Schema()
        case JSONSchemaFormat(schema, name, _, strict):
            return Schema(schema, name, strict is not False)
        case _:
            return None


def _effort(reasoning: Reasoning | None) -> str | None:
    if reasoning is None:
        return None
    for field, value in ((CONTEXT, reasoning.context), (MODE, reasoning.mode)):
        if value is not None and value not in field.unless:
            raise unsupported(field)
    return reasoning.effort


def _check_include(name: str) -> None:
    if name in _ACCEPTED:
        return
    if name == LOGPROBS.name.removeprefix(_INCLUDES):
        raise unsupported(LOGPROBS)
    raise UnsupportedParameter(f"include: {name[:100]}", "It is not known here.")


def _one_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The system messages at the beginning as one: many templates take no second one."""
    count = next((n for n, message in enumerate(messages) if message.role != "system"), len(messages))
    if count < 2 or any(isinstance(message.content, tuple) for message in messages[:count]):
        return tuple(messages)
    text = "\n\n".join(message.text for message in messages[:count])
    return (Message("system", text), *messages[count:])
