"""Carrying out the tools of the MCP server: arguments in, a hub asked, a result out; whatever the transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    InvalidRequest,
    NoModels,
    UnsupportedParameter,
    error_from_code,
)
from lmbridge.core.events import Answer, AnswerBuilder, PromptProgress, ReasoningDelta, TextDelta
from lmbridge.core.hub import AnyHub
from lmbridge.core.json_schema import SchemaInvalid, check_schema, problems
from lmbridge.core.messages import ImagePart, Message, Part, TextPart
from lmbridge.core.models import ModelInfo
from lmbridge.core.requests import ChatRequest, EmbedRequest, Schema
from lmbridge.doors.mcp.catalogue import BY_NAME
from lmbridge.doors.mcp.shapes import (
    Arguments,
    Asking,
    Chat,
    Chatted,
    Complete,
    Completed,
    Embed,
    Embedded,
    InMemory,
    List,
    Listed,
    Load,
    Models,
    Place,
    Result,
    Status,
    TextPiece,
    Turn,
    Unload,
)
from lmbridge.doors.mcp.telling import Telling, watching
from lmbridge.version import __version__
from lmbridge.wire.strict import decode_strictly

Borrow: TypeAlias = Callable[[], AbstractAsyncContextManager[AnyHub]]
"""Gives the hub to ask, for the length of one call: which one that is may change between two."""

HOST: Final = "host"
"""The name by which the host's own model is asked, where the host lends it (sampling)."""


class Host(Protocol):
    """The program at the other end, as far as it lends its own model."""

    async def answer(self, request: ChatRequest) -> Answer:
        """Have the host's model answer.

        Raises:
            BridgeError: the host lends none, or its user does not want to.
        """


class Caller(Struct, frozen=True):
    """Who calls a tool.

    Attributes:
        told: learns how far the call is. host: lends its model.
        check_manage: raises what keeps him from changing which models are in memory.
    """

    told: Telling
    host: Host
    check_manage: Callable[[], None] = lambda: None


class Tools:
    """The tools.

    Args:
        manage: whether those that change which models are in memory are there.
    """

    def __init__(self, borrow: Borrow, *, manage: bool) -> None:
        self._borrow, self._manage = borrow, manage

    async def call(self, name: str, arguments: Mapping[str, object], caller: Caller) -> Result:
        """Carry out a call.

        Raises:
            BridgeError: whatever kept it from being carried out.
        """
        asked = self._decoded(name, arguments)
        if isinstance(asked, (Load, Unload)):
            caller.check_manage()
        if isinstance(asked, (Chat, Complete)) and asked.model == HOST:
            return _result(asked, await caller.host.answer(_request(asked)))
        async with self._borrow() as hub:
            try:
                return await _carry_out(hub, asked, caller.told)
            except NoModels as error:
                raise await _why_none(hub, error) from error

    def _decoded(self, name: str, arguments: Mapping[str, object]) -> Arguments:
        tool = BY_NAME.get(name)
        if tool is None:
            raise InvalidRequest(
                f"There is no tool {name[:200]!r} here.", hint=f"There are: {', '.join(BY_NAME)}."
            )
        if tool.changes and not self._manage:
            raise InvalidRequest(
                f"This server was started without `--manage`, so {name} is not there.",
                hint="Start it with `lmbridge mcp --manage`.",
            )
        given = {key: value for key, value in arguments.items() if value is not None}
        decoder: msgspec.json.Decoder[Arguments] = msgspec.json.Decoder(tool.asks)
        try:
            return decode_strictly(decoder, msgspec.json.encode(given))
        except UnsupportedParameter as error:
            raise UnsupportedParameter(
                error.name, f"{name} has no such argument.", hint=f"It has: {', '.join(_arguments(tool.asks))}."
            ) from error


async def _why_none(hub: AnyHub, error: NoModels) -> BridgeError:
    """The same error with what keeps providers from having models, where something does: a host's user cannot look
    for himself."""
    down = [state for state in await hub.probe() if state.state != "ready"]
    if not down or error.elsewhere:
        return error
    said = " ".join(f"{state.provider}: {state.detail.rstrip('.')}." for state in down if state.detail)
    hint = next((state.hint for state in down if state.hint), error.hint)
    return error_from_code(error.code, f"{error.message} {said}".rstrip(), hint) or error


def _arguments(shape: type[Struct]) -> tuple[str, ...]:
    return shape.__struct_encode_fields__ or ("none",)


async def _carry_out(hub: AnyHub, asked: Arguments, told: Telling) -> Result:
    match asked:
        case Chat() | Complete():
            return _result(asked, await _answer(hub, _request(asked, progress=told.wanted), told))
        case Embed():
            return await _embed(hub, asked)
        case List():
            return await _models(hub, asked)
        case Load():
            return InMemory.of(await hub.load(asked.model, asked.options(), told.loading))
        case Unload():
            return InMemory.of(await hub.unload(asked.model))
        case _:
            return await _status(hub)


async def _answer(hub: AnyHub, request: ChatRequest, told: Telling) -> Answer:
    """The answer, told while it comes."""
    builder, pieces, said = AnswerBuilder(), 0, ""
    model = await _known(hub, request.model, told)
    async with watching(hub, model, told) as begun, hub.chat(request) as events:
        async for event in events:
            begun()
            builder.feed(event)
            if isinstance(event, PromptProgress):
                told.reading(event.fraction)
            elif isinstance(event, TextDelta) and event.index == 0:
                pieces, said = pieces + 1, said + event.text
                told.writing(pieces, said)
            elif isinstance(event, ReasoningDelta) and event.index == 0:
                pieces += 1
                told.thinking(pieces)
    return builder.close()


async def _known(hub: AnyHub, name: str, told: Telling) -> ModelInfo | None:
    """The model that will be loaded, if anybody wants to know how far that is."""
    if not told.wanted:
        return None
    try:
        return await hub.resolve(name)
    except BridgeError:
        return None  # it may be downloaded when it is asked; if not, that tells the same


def _request(asked: Chat | Complete, *, progress: bool = False) -> ChatRequest:
    turns = [Message("system", asked.system)] if asked.system else []
    shape = None
    truncate = False
    if isinstance(asked, Chat):
        turns += [_message(turn) for turn in asked.messages or ()]
        shape, truncate = _schema(asked), asked.truncate
    if asked.prompt is not None:
        turns.append(Message("user", asked.prompt))
    if not any(turn.role != "system" for turn in turns):
        raise InvalidRequest("There is nothing to answer.", hint="Give a `prompt`, or `messages`.", param="prompt")
    return ChatRequest(
        asked.model,
        tuple(turns),
        schema=shape,
        sampling=asked.sampling(),
        progress=progress,
        truncate=truncate,
        task="mcp chat" if isinstance(asked, Chat) else "mcp complete",
    )


def _message(turn: Turn) -> Message:
    if isinstance(turn.content, str):
        return Message(turn.role, turn.content)
    parts: list[Part] = []
    for piece in turn.content:
        if isinstance(piece, TextPiece):
            parts.append(TextPart(piece.text))
        else:
            parts.append(ImagePart(f"data:{piece.mime_type};base64,{piece.data}"))
    return Message(turn.role, tuple(parts))


def _schema(asked: Chat) -> Schema | None:
    if asked.schema is None:
        return None
    try:
        check_schema(asked.schema)
    except SchemaInvalid as error:
        raise InvalidRequest(f"`schema` cannot be followed: {error}.", param="schema") from error
    return Schema(asked.schema)


def _result(asked: Asking, answer: Answer) -> Result:
    usage, finish = answer.finish.usage, answer.finish
    if isinstance(asked, Complete):
        return Completed(answer.text, answer.model, answer.provider, finish.reason, usage)
    value: object = UNSET
    if isinstance(asked, Chat) and asked.schema is not None:
        value = _value(answer, asked.schema)
    speed = finish.timings.tokens_per_s if finish.timings is not None else None
    thought = answer.message.reasoning or ""
    return Chatted(answer.text, answer.model, answer.provider, finish.reason, thought, value, usage, speed)


def _value(answer: Answer, schema: dict[str, object]) -> object:
    """The answer as the JSON value it is.

    Raises:
        BrokenAnswer: it is not JSON, or does not follow the schema.
    """
    try:
        value: object = msgspec.json.decode(answer.text)
    except (ValueError, RecursionError) as error:
        why = "was cut off by `max_tokens`" if answer.finish.reason == "length" else f"is not JSON ({error})"
        raise BrokenAnswer(answer.provider, f"the answer {why}: {answer.text[:200]!r}") from error
    if wrong := next(problems(value, schema), ""):
        raise BrokenAnswer(answer.provider, f"the answer does not follow the schema: {wrong}")
    return value


async def _embed(hub: AnyHub, asked: Embed) -> Embedded:
    found = await hub.embed(EmbedRequest(asked.model, tuple(asked.texts), asked.dimensions, "mcp embed"))
    return Embedded(found.model, found.provider, len(found.vectors[0]) if found.vectors else 0, found.vectors)


async def _models(hub: AnyHub, asked: List) -> Models:
    held = {(state.provider, state.model) for state in await hub.instances() if state.state == "ready"}
    return Models(
        tuple(
            Listed.of(model, loaded=(model.provider, model.id) in held)
            for model in await hub.models()
            if asked.kind in (None, model.kind)
        )
    )


async def _status(hub: AnyHub) -> Status:
    places = tuple(Place.of(state) for state in await hub.probe())
    return Status(__version__, hub.where, places, tuple(InMemory.of(state) for state in await hub.instances()))
