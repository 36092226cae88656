"""What clients of all languages have in common: sending to an endpoint, and an error where the answer is none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

import msgspec

from lmbridge.clients.event_stream import whole
from lmbridge.clients.http import HTTPClient, Response
from lmbridge.core.errors import BridgeError, InvalidRequest
from lmbridge.core.models import Endpoint

MAX_ERROR: Final = 1024 * 1024

_encode: Final = msgspec.json.Encoder().encode


class HTTPAsker(ABC):
    """Asks endpoints in one language. Keeps nothing but the connections of *http*, which it does not close.

    Args:
        http: sends the requests.
        provider: id named in events and errors.
    """

    def __init__(self, http: HTTPClient, provider: str) -> None:
        self._http, self.provider = http, provider

    @abstractmethod
    def refusal(self, status: int, body: bytes, retry_after: int | None) -> BridgeError:
        """The error that an answer of another status than 200 reports, in the words of the language."""

    async def post(self, endpoint: Endpoint, route: str, body: bytes) -> Response:
        """Send *body* to a route of *endpoint*; the answer with a good status, its body unread.

        Raises:
            BridgeError: the error the provider answered with.
        """
        return await self._asked("POST", endpoint, route, body)

    async def get(self, endpoint: Endpoint, route: str) -> bytes:
        """What a route of *endpoint* has.

        Raises:
            BridgeError: the error the provider answered with.
        """
        async with await self._asked("GET", endpoint, route, b"") as response:
            return await whole(response)

    async def _asked(self, method: str, endpoint: Endpoint, route: str, body: bytes) -> Response:
        response = await self._http.request(
            method,
            endpoint.url + route,
            headers=endpoint.headers,
            body=body,
            keep_alive=endpoint.keep_alive,
            provider=self.provider,
        )
        if response.status == 200:
            return response
        async with response:
            raise self.refusal(response.status, await whole(response, MAX_ERROR), response.retry_after)


def json_of(body: Mapping[str, object]) -> bytes:
    """A request as JSON.

    Raises:
        InvalidRequest: it holds something that JSON cannot.
    """
    try:
        return _encode(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"The request cannot be written as JSON: {error}.") from error
