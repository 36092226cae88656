"""Asking a server that speaks Anthropic's language: messages, counting of tokens, and which models it has."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from lmbridge.clients.asker import HTTPAsker, json_of
from lmbridge.clients.event_stream import EventStream, whole
from lmbridge.core.errors import BridgeError, BrokenAnswer
from lmbridge.core.events import Event
from lmbridge.core.models import Endpoint
from lmbridge.core.requests import ChatRequest
from lmbridge.wire.anthropic.asking.answers import MessageEventDecoder, decode_count
from lmbridge.wire.anthropic.asking.errors import decode_refusal
from lmbridge.wire.anthropic.asking.models import Abilities, ListedModel, decode_page
from lmbridge.wire.anthropic.asking.requests import MAX_TOKENS, encode_count, encode_messages
from lmbridge.wire.tool_calls.answer_tool import AnswerTool

VERSION: Final = "2023-06-01"
"""The one version there is (https://platform.claude.com/docs/en/api/versioning)."""
MAX_PAGES: Final = 20
"""Pages of models that are read; each may hold a thousand."""


def headers(key: str | None) -> tuple[tuple[str, str], ...]:
    """What every request carries.

    Args:
        key: None or "" for a server that wants none.
    """
    version = ("anthropic-version", VERSION)
    return (("x-api-key", key), version) if key else (version,)


class AnthropicClient(HTTPAsker):
    """Asks in Anthropic's language, endpoints whose URL has the version (`…/v1`), and that have `headers`."""

    def chat(
        self,
        endpoint: Endpoint,
        request: ChatRequest,
        can: Abilities = Abilities(),
        max_tokens: int = MAX_TOKENS,
    ) -> EventStream[Event]:
        """A streamed answer; nothing is sent before the context manager is entered.

        Args:
            can: what the model can do. max_tokens: of an answer that the request does not limit.

        Raises:
            UnsupportedParameter, InvalidRequest: what the API cannot be asked.
        """
        asked = encode_messages(request, endpoint.model, can, max_tokens)
        return EventStream(
            self, endpoint, json_of(asked.body), "/messages", lambda: _Decoder(self.provider, asked.answer_tool)
        )

    async def count(self, endpoint: Endpoint, request: ChatRequest, can: Abilities = Abilities()) -> int:
        """Tokens of a prompt.

        Raises:
            UnsupportedParameter, InvalidRequest: as `chat`.
            BridgeError: the error the provider answered with.
        """
        body = json_of(encode_count(request, endpoint.model, can))
        async with await self.post(endpoint, "/messages/count_tokens", body) as response:
            return decode_count(await whole(response), self.provider)

    async def models(self, endpoint: Endpoint) -> list[ListedModel]:
        """What `GET /v1/models` lists, all pages of it.

        Raises:
            BrokenAnswer: it is no list of models, or has no end.
            BridgeError: the error the provider answered with.
        """
        listed: list[ListedModel] = []
        after = ""
        for _ in range(MAX_PAGES):
            page = decode_page(await self.get(endpoint, f"/models?limit=1000{after}"), self.provider)
            listed += page.data
            if not page.has_more or not page.last_id:
                return listed
            after = f"&after_id={quote(page.last_id, safe='')}"
        raise BrokenAnswer(self.provider, "its list of models has no end")

    def refusal(self, status: int, body: bytes, retry_after: int | None) -> BridgeError:
        """The error that an answer reports."""
        return decode_refusal(status, body, self.provider, retry_after)


class _Decoder:
    """Events of an answer; a call of the *answer_tool* is told as the words it stands for."""

    def __init__(self, provider: str, answer_tool: str) -> None:
        self._decoder = MessageEventDecoder(provider)
        self._tool = AnswerTool(answer_tool) if answer_tool else None

    @property
    def done(self) -> bool:
        return self._decoder.done

    def feed(self, data: bytes) -> list[Event]:
        return self._told(self._decoder.feed(data))

    def close(self) -> list[Event]:
        return self._told(self._decoder.close())

    def whole(self, data: bytes) -> list[Event]:
        return self._told(self._decoder.whole(data))

    def _told(self, events: list[Event]) -> list[Event]:
        return events if self._tool is None else [told for event in events for told in self._tool.feed(event)]
