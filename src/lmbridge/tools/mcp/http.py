"""Messages over streamable HTTP, with limits that the official transport leaves to its HTTP client.

No answer is longer than a limit, and none is compressed, so that a small one cannot become large. An address that
somebody else chose (`Guard`) is looked up once, must not lead into a private network, and is connected to exactly
where it was looked up. Proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

import httpx2
from msgspec import Struct

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_BYTES: Final = 32 * 2**20
"""Of one answer that is no stream, and of one event of one that is."""
MOST_STREAM: Final = 1024 * 2**20
"""Of one stream."""
CONNECT_S: Final = 15.0
QUIET_S: Final = 600.0
"""Seconds that a stream may say nothing; calls have limits of their own."""


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Guard(Struct, frozen=True):
    """What an address that came with a request may lead to.

    Attributes:
        loopback: this machine itself, over http too. private: networks that are not the internet, http too.
    """

    loopback: bool = False
    private: bool = False

    def refusal(self, address: Address, tls: bool) -> str:
        """Why nothing is sent there; "" if it is."""
        real = _inner(address)
        if real.is_loopback:
            return "" if self.loopback else "it leads to this machine itself"
        if not real.is_global or real.is_multicast:
            return "" if self.private else "it leads into a private network"
        return "" if tls or self.private else "it is not encrypted: it must begin with https://"


def _inner(address: Address) -> Address:
    """The address of version 4 that one of version 6 stands for, where it stands for one (mapped, 6to4, NAT64)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


class Refused(httpx2.ConnectError):
    """An address that nothing is sent to; the text is for people."""


class TooLong(httpx2.StreamError):
    """An answer without end."""


class Careful(httpx2.AsyncBaseTransport):
    """Sends requests, with the limits of this file.

    Args:
        guard: for an address that somebody else chose; None for one of the user's own.
    """

    def __init__(self, guard: Guard | None = None) -> None:
        self._inner, self._guard = httpx2.AsyncHTTPTransport(), guard

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        if self._guard is not None:
            await self._pin(request, self._guard)
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        headers = response.headers
        if response.status_code in (401, 403) and "mcp-session-id" not in request.headers:
            await response.aclose()  # the package would say no more at its start than that it is an error
            raise Refused(f"it answers HTTP {response.status_code}: it wants a key, or another one, in `headers`")
        if self._guard is not None:
            headers.pop("location", None)  # not followed, wherever it leads
        if headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            raise Refused("its answer is compressed, although that was not asked for")
        stream = headers.get("content-type", "").lower().startswith("text/event-stream")
        body = _Bounded(response.stream, MOST_STREAM if stream else MOST_BYTES)  # type: ignore[arg-type]
        return httpx2.Response(response.status_code, headers=headers, stream=body, extensions=response.extensions)

    async def _pin(self, request: httpx2.Request, guard: Guard) -> None:
        """Let the request go to the address that was looked at, and to no other.

        Raises:
            Refused.
        """
        url, tls = request.url, request.url.scheme == "https"
        address = await _resolve(url.host, url.port or (443 if tls else 80))
        if why := guard.refusal(address, tls):
            raise Refused(why)
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        request.url = url.copy_with(host=str(address))  # the header `Host` was written before

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


async def _resolve(host: str, port: int) -> Address:
    """The first address of a name.

    Raises:
        Refused: there is none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return ipaddress.ip_address(str(found[0][4][0]).partition("%")[0])
    except (OSError, ValueError, UnicodeError, IndexError) as error:
        raise Refused("there is no such host") from error


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with an error when it becomes too long."""

    def __init__(self, inner: httpx2.AsyncByteStream, most: int) -> None:
        self._inner, self._left = inner, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            self._left -= len(piece)
            if self._left < 0:
                raise TooLong("the answer is too long")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


@asynccontextmanager
async def over_http(url: str, headers: Mapping[str, str], guard: Guard | None) -> AsyncIterator[TransportStreams]:
    """The streams of a session; leaving ends the session at the server, too."""
    from mcp.client.streamable_http import streamable_http_client

    timeout = httpx2.Timeout(CONNECT_S, read=QUIET_S)
    transport = Careful(guard)
    async with httpx2.AsyncClient(headers=dict(headers), timeout=timeout, transport=transport) as client:
        streams = streamable_http_client(url, http_client=client, max_sse_event_size=MOST_BYTES)
        async with streams as (heard, said):
            yield heard, said
