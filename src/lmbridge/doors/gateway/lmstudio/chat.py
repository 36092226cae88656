"""LM Studio's own chat, `POST /api/v1/chat`: it remembers conversations and tells how far everything is."""

from __future__ import annotations

import time

from msgspec.structs import replace

from lmbridge.core.events import Answer
from lmbridge.core.messages import Message
from lmbridge.core.turns import Facts
from lmbridge.doors.gateway.asgi import Request, Whose
from lmbridge.doors.gateway.lmstudio.acting import Acting, KeepTurns
from lmbridge.doors.gateway.lmstudio.integrations import Integrations, ToolServers
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.doors.gateway.translate import Ask, Keep, Translator
from lmbridge.hub.hub import Hub
from lmbridge.hub.stored import History, Stored, Turn, new_id
from lmbridge.wire.lmstudio.serving.acted import ActingChatEncoder
from lmbridge.wire.lmstudio.serving.answers import NativeChatEncoder
from lmbridge.wire.lmstudio.serving.asked import NativeChatBody, decode_chat
from lmbridge.wire.lmstudio.serving.errors import as_asked


class NativeChat:
    """The route.

    Args:
        stored: the turns of conversations; shared with `/v1/responses`, whose ids mean the same.
        whose: whose turns a request may go on from.
        servers: who knows MCP servers; None for nobody.
    """

    def __init__(
        self,
        hub: Hub,
        settings: GatewaySettings,
        stored: Stored,
        whose: Whose,
        servers: ToolServers | None = None,
    ) -> None:
        self._hub, self._settings, self._stored, self._whose = hub, settings, stored, whose
        self._translator = Translator(hub, settings.heartbeat_s)
        self._acting = Acting(hub, settings.heartbeat_s)
        self._integrations = Integrations(settings, servers)

    async def chat(self, request: Request) -> None:
        """`POST /api/v1/chat`"""
        body = decode_chat(await request.body(self._settings.max_body))
        wanted = body.servers
        self._integrations.check(wanted, request.caller)
        # Everything that can be refused is refused before the stream begins, with a status of its own.
        model = await self._hub.resolve(body.model)
        before = await self._before(request, body)
        ask = Ask(
            chat=body.request(model, before.system, before.messages),
            route="native",
            stream=body.stream,
            options=body.options,
        )
        id = new_id() if body.store and self._stored.enabled else ""
        if id:
            await self._stored.check()
        kind = ActingChatEncoder if wanted else NativeChatEncoder
        encoder = kind(model.id, id, quirks=self._settings.lmstudio_quirks)
        family = request.family
        request.family = replace(family, body=lambda error: family.body(as_asked(error)), event=encoder.failed)
        keep = self._keeping(id, body, request.caller) if id else None
        if not isinstance(encoder, ActingChatEncoder):
            await self._translator.answer(request, ask, encoder, _last_alone(keep))
            return
        async with self._integrations.open(wanted) as boxes:
            await self._acting.answer(request, ask, encoder, boxes, keep)

    async def _before(self, request: Request, body: NativeChatBody) -> History:
        id = body.previous_response_id
        return History() if id is None else await self._stored.history(id, self._whose(request))

    def _keeping(self, id: str, body: NativeChatBody, caller: str) -> KeepTurns:
        async def keep(turns: tuple[Message, ...], answer: Answer, facts: Facts) -> None:
            await self._stored.put(
                Turn(
                    id=id,
                    previous=body.previous_response_id,
                    model=facts.name,
                    provider=facts.model.provider,
                    created=time.time(),
                    system=body.system_prompt or "",
                    caller=caller,
                    messages=(body.question, *turns),
                    answer=answer.message,
                )
            )

        return keep


def _last_alone(keep: KeepTurns | None) -> Keep | None:
    """For an answer that is one turn."""
    if keep is None:
        return None

    async def keep_one(answer: Answer, facts: Facts) -> None:
        await keep((), answer, facts)

    return keep_one
