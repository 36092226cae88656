"""Who may ask: decisions about hosts, origins, content types and keys. Pure, apart from looking up keys.

For every door that is reached over HTTP.

The dangers, and what stands against each:

- A web page makes the browser ask `http://127.0.0.1:1235` ("simple" requests need no preflight): only
  `application/json` is taken as a body, `Origin` and `Sec-Fetch-Site` of foreign pages are refused, and
  no GET changes anything.
- DNS rebinding: a page's own name is made to point to 127.0.0.1, so that the browser takes the gateway for
  the page's own server: the `Host` header must be a name of ours, on every route and every bind.
- Guessed or leaked keys: 160 random bits or more, compared as digests in constant time, every form of sending
  one through `authorise`; a key may be good for some routes only, and end by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from typing import Final, Protocol

from msgspec import Struct

from lmbridge.core.errors import (
    BridgeError,
    ConfigInvalid,
    Forbidden,
    InvalidRequest,
    Unauthorized,
    UnsafeBind,
    UnsupportedMediaType,
)
from lmbridge.hub.keys import KeyInfo, Scope

Headers = Mapping[bytes, bytes]

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
SINGLE: Final = frozenset(
    {
        b"api-key",
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"x-api-key",
    }
)
"""Headers that decide something and must therefore not come twice."""
KEY_HEADERS: Final = (b"x-api-key", b"api-key")
"""Headers that are a key and nothing else: Anthropic's clients send the first, those made for Azure the second."""
RENEW: Final = "Make a new one with `lmbridge keys create NAME`, and `lmbridge keys revoke` the old one."
SESSION: Final = "(session)"
"""What is written where the key in the gateway file was shown; no key of the ring can have this name."""
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9.\-_\[\]:]+")
_FOREIGN: Final = frozenset({b"cross-site", b"same-site"})
_JSON: Final = b"application/json"


class Listening(Protocol):
    """How a door listens, as far as it matters here."""

    @property
    def host(self) -> str:
        """The address."""

    @property
    def cors(self) -> tuple[str, ...]:
        """Origins of foreign pages that may ask; `*` for every page."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Further names that callers may use for this door in the `Host` header."""

    @property
    def require_key(self) -> bool:
        """Whether a key is needed although only loopback is listened on."""


class Verifier(Protocol):
    """What knows API keys; a `KeyRing`."""

    def verify(self, presented: str) -> KeyInfo | None:
        """What is known of a key, None where it is not one of ours."""


class Policy(Struct, frozen=True):
    """What the guard decides by, computed once.

    Attributes:
        hosts: accepted `Host` headers, in lower case.
        any_address: accept every IP address with our port too: listening on all addresses, we cannot know
            them all, and rebinding needs a name.
        port: of our own.
        origins: foreign origins that may ask; empty for none.
        any_origin: every page may ask (it still needs a key).
    """

    hosts: frozenset[bytes]
    any_address: bool
    port: int
    origins: frozenset[bytes]
    any_origin: bool


class Access(Struct, frozen=True):
    """Who is let in.

    Attributes:
        key_required: whether anything needs a key at all.
        session: SHA-256 of the key in the gateway file, which only this user can read.
        ring: the API keys.
    """

    key_required: bool
    session: bytes
    ring: Verifier


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address. A name other than localhost is not trusted to be."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def safe_bind(settings: Listening, *, has_keys: bool) -> bool:
    """Whether a key is needed to use the gateway.

    Args:
        has_keys: whether there is an API key that could be used.

    Raises:
        UnsafeBind: others could reach it and there is no key.
        ConfigInvalid: every web page would be let in and no key asked for, or an origin is not one.
    """
    loopback = is_loopback(settings.host)
    if not loopback and not has_keys:
        raise UnsafeBind(settings.host)
    required = settings.require_key or has_keys or not loopback
    for origin in settings.cors:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            # `null` lands here too: it is the origin of every sandboxed page, so it would mean `*`.
            raise ConfigInvalid("cors", f"{origin!r} is not an origin", hint="Write it as `https://example.org`.")
    if "*" in settings.cors and not required:
        raise ConfigInvalid(
            "cors",
            "`*` without an API key would let every web page you visit use your models",
            hint="Name the origin, or create a key with `lmbridge keys create NAME`.",
        )
    return required


def policy(settings: Listening, port: int, names: Iterable[str] = (), *, loopback: Iterable[int] = ()) -> Policy:
    """The rules for one bind.

    Args:
        port: the one really listened on.
        names: of this machine; accepted when more than loopback is listened on.
        loopback: further ports that are listened on, of loopback alone.
    """
    wide = not is_loopback(settings.host)
    own = [*LOOPBACK, _bracketed(settings.host), *(names if wide else ())]
    hosts = {f"{name.lower()}:{port}" for name in own}
    hosts.update(f"{name}:{another}" for name in LOOPBACK for another in loopback)
    if port == 80:
        hosts.update(name.lower() for name in own)
    for name in settings.hosts:
        # As given: a proxy's name comes with its own port, or with none when that is 80 or 443.
        hosts.update((name.lower(), f"{name.lower()}:{port}"))
    return Policy(
        hosts=frozenset(host.encode() for host in hosts),
        any_address=settings.host in ("0.0.0.0", "::", ""),  # noqa: S104 - compared with, not listened on
        port=port,
        origins=frozenset(origin.lower().encode() for origin in settings.cors if origin != "*"),
        any_origin="*" in settings.cors,
    )


def refuse(rules: Policy, headers: Headers, *, page: bool = False) -> BridgeError | None:
    """Why a request may not come in, judged by where it comes from; None when it may.

    Args:
        headers: names in lower case.
        page: the request is for the page itself, which holds nothing secret: a link may lead to it.
    """
    host = headers.get(b"host", b"")
    if host not in rules.hosts and not _own_address(rules, host):
        return Forbidden(
            f"{_shown(host)} is not a name of this gateway.",
            hint="Use http://127.0.0.1 with its port, or add the name to `gateway.hosts` in lmbridge.toml.",
        )
    origin = headers.get(b"origin")
    if origin is not None:
        return None if _same(origin, host) or allowed_origin(rules, origin) else _foreign(origin)
    if headers.get(b"sec-fetch-site") in _FOREIGN and not (page and headers.get(b"sec-fetch-mode") == b"navigate"):
        return Forbidden("A foreign web page may not use this gateway.", hint="Allow it with `--cors ORIGIN`.")
    return None


def allowed_origin(rules: Policy, origin: bytes) -> bool:
    """Whether a foreign origin was let in by the settings."""
    return rules.any_origin or origin.lower() in rules.origins


def refuse_twice(raw: Iterable[tuple[bytes, bytes]]) -> BridgeError | None:
    """Why a request is ambiguous: a deciding header twice could mean one thing to us and another elsewhere."""
    seen: set[bytes] = set()
    for name, _ in raw:
        if name in SINGLE and name in seen:
            return InvalidRequest(f"The header {name.decode('latin-1')!r} comes twice.", hint="Send it once.")
        seen.add(name)
    return None


def refuse_body(headers: Headers) -> BridgeError | None:
    """Why a body of these headers is not read; None when it may be."""
    content_type = headers.get(b"content-type", b"")
    if content_type != _JSON and content_type.split(b";", 1)[0].strip().lower() != _JSON:
        return UnsupportedMediaType(content_type.decode("latin-1"))
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        return InvalidRequest(
            f"A body encoded as {_shown(encoding)} is not read here.", hint="Send it without `Content-Encoding`."
        )
    return None


def authorise(access: Access, headers: Headers, *, scope: Scope = "infer", session_only: bool = False) -> str:
    """Let the caller use a route, or not. The one place where keys are looked at.

    Args:
        scope: what a key must be good for.
        session_only: only the gateway file's own key will do (stopping the gateway).

    Returns:
        The name of his key; "" where none is needed.

    Raises:
        Unauthorized: no key, an unknown one, or one whose time is over. Forbidden: it is not good for this.
    """
    if not access.key_required and not session_only:
        return ""
    key = _presented(headers)
    if key is None:
        raise Unauthorized
    if compare_digest(sha256(key).digest(), access.session):
        return SESSION
    if session_only:
        raise Unauthorized(
            "Only the user who started the gateway may do this.", hint="Run `lmbridge gateway stop` as that user."
        )
    known = access.ring.verify(key.decode("latin-1"))
    if known is None:
        raise Unauthorized(
            "This API key is not known here.", hint="`lmbridge keys list` shows the names of those that are."
        )
    if known.expired(time.time()):
        day = time.strftime("%Y-%m-%d at %H:%M UTC", time.gmtime(known.expires))
        raise Unauthorized(f"The API key {known.name!r} expired on {day}.", hint=RENEW)
    if scope not in known.scopes:
        raise Forbidden(
            f"The API key {known.name!r} may not do this: it lacks the scope {scope!r}.",
            hint=f"`lmbridge keys create NAME --scope {scope}` makes one that may.",
        )
    return known.name


def whose(access: Access, headers: Headers, caller: str) -> str | None:
    """Whose stored answers a caller that was let in may use: the name of his key; None for everybody's.

    Raises:
        Unauthorized: the time of his key is over since.
    """
    try:
        authorise(access, headers, scope="admin")
    except Forbidden:
        return caller
    return None


def _presented(headers: Headers) -> bytes | None:
    """The key a caller shows, None if he shows none, or two that differ."""
    shown = {headers[name].strip() for name in KEY_HEADERS if name in headers}
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, bearer = authorization.strip().partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        shown.add(bearer.strip())
    return shown.pop() if len(shown) == 1 else None


def _same(origin: bytes, host: bytes) -> bool:
    # Both schemes: behind a proxy that adds TLS the page's origin is https. The host is ours by now.
    scheme, _, authority = origin.partition(b"://")
    return scheme in (b"http", b"https") and authority.lower() == host.lower()


def _own_address(rules: Policy, host: bytes) -> bool:
    """The slow look at a `Host` that is not spelled as expected."""
    lowered = host.lower()
    if lowered in rules.hosts:
        return True
    if not rules.any_address:
        return False
    name, _, port = lowered.decode("latin-1").rpartition(":")
    try:
        ip_address(name[1:-1] if name[:1] == "[" else name)
    except ValueError:
        return False
    return port == str(rules.port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _foreign(origin: bytes) -> Forbidden:
    return Forbidden(
        f"The web page {_shown(origin)} may not use this gateway.", hint="Allow it with `--cors ORIGIN`."
    )


def _shown(value: bytes) -> str:
    return repr(value[:100].decode("latin-1")) if value else "An empty name"
