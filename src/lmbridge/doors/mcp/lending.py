"""The host's own model, asked by the name `host`: what MCP calls sampling.

Where the protocol has a handshake, the host is asked while the tool's call waits. From 2026-07-28 on, the call
ends with what is wanted of the host, and is made again with what it said.

Source: https://modelcontextprotocol.io/specification/2025-11-25/client/sampling
"""

from __future__ import annotations

from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

from lmbridge.core.errors import BrokenAnswer, ProviderRefused, ProviderUnavailable, UnsupportedParameter
from lmbridge.core.events import Answer, Finished
from lmbridge.core.messages import ImagePart, Message
from lmbridge.core.requests import ChatRequest
from lmbridge.doors.mcp.tools import HOST

MAX_TOKENS: Final = 2048
"""For who does not say: MCP has no way to leave it to the host."""
ASKED: Final = "answer"
"""How what is wanted of the host is called when the call is made again."""
_UNHEARD: Final = ("top_p", "top_k", "min_p", "seed")
_REASONS: Final = {"endTurn": "stop", "stopSequence": "stop", "maxTokens": "length", "toolUse": "tool_calls"}


class Wanted(Exception):
    """The call has to end with what is wanted of the host."""

    def __init__(self, request: types.CreateMessageRequest) -> None:
        self.request = request
        super().__init__("the host has to be asked")


class Lender:
    """The host of one call.

    Args:
        said: what the host said already, where the call is made again.
    """

    def __init__(self, context: ServerRequestContext[Any, Any], said: types.InputResponses | None) -> None:
        self._context, self._said = context, said or {}

    async def answer(self, request: ChatRequest) -> Answer:
        """Have the host's model answer.

        Raises:
            ProviderUnavailable: the host lends none. ProviderRefused: its user does not want to.
            BrokenAnswer: what it says is no text. UnsupportedParameter: what cannot be asked of a host.
            Wanted: the call must end, and be made again.
        """
        if ASKED in self._said:
            return _answer(self._said[ASKED])
        session = self._context.session
        capabilities = session.client_capabilities
        if capabilities is None or capabilities.sampling is None:
            raise ProviderUnavailable(HOST, "it lends no model of its own", hint="Name one of `list_models`.")
        asked = types.CreateMessageRequest(params=_params(request))
        if not session.can_send_request:
            raise Wanted(asked)
        related = ServerMessageMetadata(related_request_id=self._context.request_id)
        try:
            return _answer(await session.send_request(asked, types.CreateMessageResult, metadata=related))
        except MCPError as error:
            raise ProviderRefused(HOST, None, f"The host would not answer: {error.message[:500]}") from error
        except ValueError as error:  # pydantic's
            raise BrokenAnswer(HOST, "it is not what MCP calls a message") from error


def _params(request: ChatRequest) -> types.CreateMessageRequestParams:
    sampling = request.sampling
    for name in _UNHEARD:
        if getattr(sampling, name) is not None:
            raise UnsupportedParameter(name, "MCP has no way to tell the host.")
    if request.schema is not None or request.truncate:
        name = "truncate" if request.schema is None else "schema"
        raise UnsupportedParameter(name, "MCP has no way to tell the host.")
    system = [turn.text for turn in request.turns if turn.role == "system"]
    return types.CreateMessageRequestParams(
        messages=[_message(turn) for turn in request.turns if turn.role != "system"],
        system_prompt="\n\n".join(system) or None,
        temperature=sampling.temperature,
        max_tokens=sampling.max_tokens or MAX_TOKENS,
        stop_sequences=list(sampling.stop) or None,
    )


def _message(turn: Message) -> types.SamplingMessage:
    role: types.Role = "assistant" if turn.role == "assistant" else "user"
    if not isinstance(turn.content, tuple):
        return types.SamplingMessage(role=role, content=types.TextContent(type="text", text=turn.text))
    blocks: list[Any] = []
    for part in turn.content:
        if isinstance(part, ImagePart):
            media, _, data = part.url.removeprefix("data:").partition(";base64,")
            blocks.append(types.ImageContent(type="image", data=data, mime_type=media))
        else:
            blocks.append(types.TextContent(type="text", text=part.text))
    return types.SamplingMessage(role=role, content=blocks)


def _answer(said: object) -> Answer:
    if not isinstance(said, types.CreateMessageResult) or not isinstance(said.content, types.TextContent):
        raise BrokenAnswer(HOST, "it is no text")
    reason = _REASONS.get(said.stop_reason or "endTurn", said.stop_reason or "stop")
    return Answer(Message("assistant", said.content.text), Finished(reason), HOST, said.model)
