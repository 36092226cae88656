"""Retelling: a request passes as it is, its answer is told anew in OpenAI's words.

For answers that have to be in one form whoever gives them: those that may hold tool calls, unless their endpoint
gives nothing else; and for those of an API that tells more than OpenAI's. Nothing of the request is lost on the
way, as it is not translated; of the answer, what core has no word for.
"""

from __future__ import annotations

from collections.abc import Mapping

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.openai import OpenAIClient
from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import Answer, AnswerBuilder, Event, Finished, PromptProgress, Started
from lmbridge.core.requests import ChatRequest
from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Request
from lmbridge.doors.gateway.heartbeat import Heartbeat
from lmbridge.doors.gateway.using import Use
from lmbridge.wire.openai.answers import ChatEventDecoder
from lmbridge.wire.openai.chat_encoder import ChatEncoder
from lmbridge.wire.openai.tools import with_tools_of
from lmbridge.wire.tool_calls import NormalForm, wants_either, with_answer_tool


class Retelling:
    """One answer.

    Args:
        route: of the endpoint. body: what is asked. asked: the same in core's words.
        encoder: writes the answer.
    """

    def __init__(
        self,
        request: Request,
        use: Use,
        route: str,
        body: Mapping[str, object],
        asked: ChatRequest,
        encoder: ChatEncoder,
    ) -> None:
        self._request, self._use, self._route, self._encoder = request, use, route, encoder
        lease, answer_tool = use.lease, ""
        if lease.provider.manifest.schema_bars_tools and wants_either(asked):
            asked, answer_tool = with_answer_tool(asked)
            body = with_tools_of(body, asked)
        self._body = {**lease.provider.prepare(lease.instance, body), "model": lease.name}
        self._form = NormalForm(asked, answer_tool=answer_tool)
        self._builder = AnswerBuilder()
        self._told = False

    async def tell(self, http: HTTPClient, heart: Heartbeat | None, *, streamed: bool) -> None:
        """Ask, and pass the answer on: as a stream where there is a heart, else whole.

        Args:
            streamed: whether it is asked for as a stream, which can be measured.

        Raises:
            BridgeError: what stood in the way; a stream may have begun by then.
        """
        lease, provider = self._use.lease, self._use.lease.provider.id
        if heart is not None:
            heart.reading()
        if streamed:
            self._body = {**self._body, "stream": True, "stream_options": {"include_usage": True}}
        client = OpenAIClient(http, provider)
        stream = client.stream(
            lease.instance.endpoint, self._route, self._body, lambda: ChatEventDecoder(provider)
        )
        async with stream as events:
            async for event in events:
                for formed in self._form.feed(event):
                    await self._pass(formed, heart)
        if not self._builder.finished:
            raise BrokenAnswer(provider, "the events stopped before the answer was finished")
        await self._end(self._builder.close(), heart)

    async def _pass(self, event: Event, heart: Heartbeat | None) -> None:
        self._builder.feed(event)
        if isinstance(event, Finished):
            self._use.count(event.usage)
        data = self._encoder.feed(event)
        if not self._told and not isinstance(event, Started | PromptProgress):
            self._told = True
            self._use.first_event()
            if heart is not None:
                await heart.stop()
                if not self._request.started:
                    await self._request.start_events()
        if heart is not None and data:
            await self._request.send(data)

    async def _end(self, answer: Answer, heart: Heartbeat | None) -> None:
        if heart is None:
            await self._request.reply(200, (JSON, NOSNIFF), self._encoder.whole(answer))
        else:
            await self._request.send(self._encoder.close(), more=False)
