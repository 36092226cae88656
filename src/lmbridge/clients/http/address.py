"""Where a request goes and how its head is written. No I/O."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from lmbridge.core.errors import InvalidRequest

Place: TypeAlias = tuple[str, int, bool]
"""Host, port, and whether TLS is spoken: connections to equal places are interchangeable."""

# RFC 9110, 5.5 and 5.6.2: what a field name is made of; control characters would let a value start a new field.
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CONTROL: Final = frozenset(map(chr, (*range(9), *range(10, 32), 127)))
_OWN: Final = frozenset(("host", "content-length", "transfer-encoding", "connection", "accept-encoding"))
# Their answers have no body whatever their headers say, or are no HTTP any more.
_OTHER_METHODS: Final = frozenset(("HEAD", "CONNECT", "TRACE"))
# RFC 6761, 6762 and 8375, `.internal` as ICANN has set it aside, and what home routers say.
_OWN_NAMES: Final = (".localhost", ".local", ".home.arpa", ".internal", ".lan")
_SHARED: Final = ip_network("100.64.0.0/10")
"""Addresses behind a provider's or a VPN's translation (RFC 6598)."""


class Origin(Struct, frozen=True):
    """A URL taken apart once: where to connect, and what to ask for there."""

    host: str
    port: int
    tls: bool
    authority: str
    target: str

    @property
    def place(self) -> Place:
        """What connections are kept by."""
        return (self.host, self.port, self.tls)


@lru_cache(maxsize=512)
def origin(url: str) -> Origin:
    """Take *url* apart.

    Raises:
        ValueError: why it cannot be asked, without any secret it may hold.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("its URL must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("its URL must not hold a user name or a password; use the setting `key`")
    if not parts.hostname or any(c <= " " or c > "~" for c in url):
        raise ValueError("its URL has no host name, or characters that must be percent-encoded")
    tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.hostname, parts.port or (443 if tls else 80), tls, parts.netloc, target)


def wrong_url(url: str) -> str:
    """Why a setting `url` cannot be used, "" if it can; without repeating it, as it may hold a password."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        return "its `url` is not a URL"
    if parts.scheme not in ("http", "https") or not host:
        return "its `url` must begin with http:// or https:// and name a host"
    if "@" in parts.netloc:
        return "its `url` must not hold a password; use the setting `key`"
    if parts.query or parts.fragment:
        return "its `url` must not have a query or a fragment"
    return ""


def is_near(url: str) -> bool:
    """Whether a URL is of this machine, or of a network that is not the internet: decided by its host alone.

    Private and shared addresses (RFC 1918, 4193 and 6598), names without a dot, and endings that no
    public name has.
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_OWN_NAMES)
    return address.is_private or address.is_loopback or address.is_link_local or address in _SHARED


def request_head(method: str, origin: Origin, headers: tuple[tuple[str, str], ...], keep_alive: bool) -> bytes:
    """Request line and headers, up to where the length of the body belongs.

    Raises:
        InvalidRequest: a method or header that cannot be sent.
    """
    if not method or not _TOKEN.issuperset(method) or method in _OTHER_METHODS:
        raise InvalidRequest(f"{method[:20]!r} is not a method that can be sent.")
    lines = [f"{method} {origin.target} HTTP/1.1", f"host: {origin.authority}", "accept-encoding: identity"]
    if not keep_alive:
        lines.append("connection: close")
    names = set()
    for name, value in headers:
        lowered = name.lower()
        if not name or not _TOKEN.issuperset(name):
            raise InvalidRequest(f"{name[:40]!r} is not a header name.")
        if not _CONTROL.isdisjoint(value) or not value.isascii():
            raise InvalidRequest(f"The value of the header {lowered!r} has a character that is not allowed.")
        if lowered in _OWN:
            raise InvalidRequest(f"The header {lowered!r} is set by the client itself.")
        names.add(lowered)
        lines.append(f"{name}: {value}")
    if "content-type" not in names and method != "GET":
        lines.append("content-type: application/json")
    return ("\r\n".join(lines) + "\r\n").encode("ascii")
