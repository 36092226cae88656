"""The door in Anthropic's language: `/v1/messages`, and the lists of models as Anthropic's clients expect them."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_hex
from typing import Final

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.models import ModelInfo
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.clients import Clients
from lmbridge.doors.gateway.family import Family
from lmbridge.doors.gateway.messages import PassedMessage
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.doors.gateway.translate import Ask, Translator
from lmbridge.hub.hub import Hub
from lmbridge.wire.anthropic.answers import MessageEncoder
from lmbridge.wire.anthropic.chat import begun, to_chat
from lmbridge.wire.anthropic.errors import AnthropicError, error_body, error_event
from lmbridge.wire.anthropic.events import EVENTS, MessageObject, TokenCount
from lmbridge.wire.anthropic.models import to_model, to_models
from lmbridge.wire.anthropic.requests import (
    CountTokensBody,
    MessagesBody,
    decode_count_body,
    decode_messages_body,
)

ANTHROPIC: Final = Family("anthropic", error_body, error_event, shape=AnthropicError)


class AnthropicRoutes:
    """The routes under `/v1/messages`."""

    def __init__(self, hub: Hub, settings: GatewaySettings) -> None:
        self._hub, self._limit = hub, settings.max_body
        self._translator = Translator(hub, settings.heartbeat_s)
        self._clients = Clients()

    async def aclose(self) -> None:
        """Close every connection to a provider."""
        await self._clients.aclose()

    def routes(self) -> Paths:
        """What is served here."""
        return {
            "/v1/messages": {
                "POST": Route(
                    self.messages,
                    "Answer a conversation as Anthropic's Messages API does, whole or streamed.",
                    family=ANTHROPIC,
                    asks=MessagesBody,
                    answers=MessageObject,
                    events=EVENTS,
                )
            },
            "/v1/messages/count_tokens": {
                "POST": Route(
                    self.count,
                    "Tokens of a prompt, counted by the model's own template and vocabulary.",
                    family=ANTHROPIC,
                    asks=CountTokensBody,
                    answers=TokenCount,
                )
            },
        }

    async def messages(self, request: Request) -> None:
        """`POST /v1/messages`"""
        raw = await request.body(self._limit)
        body = decode_messages_body(raw)
        chat = to_chat(body)
        message_id = f"msg_{token_hex(12)}"
        encoder = MessageEncoder(message_id, body.model, thinking=body.shows_thinking, begun=begun(chat))
        ask = Ask(chat=chat, route="messages", stream=body.streamed)
        # What is to be trimmed has to be known in core's words.
        passing = None if self._hub.truncate else PassedMessage(self._clients, raw, chat)
        await self._translator.answer(request, ask, encoder, passing=passing)

    async def count(self, request: Request) -> None:
        """`POST /v1/messages/count_tokens`"""
        chat = to_chat(decode_count_body(await request.body(self._limit)))
        tokens = await self._hub.count(chat)
        if tokens is None:
            raise InvalidRequest(
                f"The provider of {chat.model!r} does not tell how many tokens a prompt has.",
                hint="Count with a model of the embedded engine, or read `usage` of an answer.",
                param="model",
            )
        await request.reply_json(TokenCount(tokens))


def asks_as_anthropic(request: Request) -> bool:
    """Whether a path that several languages share is asked for in Anthropic's: its clients send their version."""
    if b"anthropic-version" not in request.headers:
        return False
    request.family = ANTHROPIC
    return True


async def reply_models(request: Request, models: Sequence[tuple[str, ModelInfo]]) -> None:
    """`GET /v1/models` in Anthropic's form; *models* with the names to ask for."""
    await request.reply_json(to_models(models))


async def reply_model(request: Request, name: str, model: ModelInfo) -> None:
    """`GET /v1/models/{id}` in Anthropic's form."""
    await request.reply_json(to_model(name, model))
