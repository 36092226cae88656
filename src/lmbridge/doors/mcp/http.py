"""MCP over HTTP (streamable): the official package's, behind the same guard as the gateway.

Source: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final, Protocol, TypeAlias

import msgspec
import uvicorn
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from lmbridge.core.depth import HEADER, arrive
from lmbridge.core.errors import BridgeError, MethodNotAllowed, RouteNotFound
from lmbridge.doors.mcp.codes import STATUS, code_of, details_of
from lmbridge.hub.access import (
    Access,
    Listening,
    Verifier,
    allowed_origin,
    authorise,
    policy,
    refuse,
    refuse_body,
    refuse_twice,
    safe_bind,
)

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Header: TypeAlias = tuple[bytes, bytes]

PATH: Final = "/mcp"
METHODS: Final = ("GET", "POST", "DELETE", "OPTIONS")
NOBODY: Final = sha256(b"").digest()
"""In place of the key in a gateway file, which this door has none of: no key that is sent is empty."""
MAX_SESSIONS: Final = 256
GRACE_S: Final = 2
DEEP: Final = HEADER.encode()
ALLOWED: Final[tuple[Header, ...]] = (
    (b"access-control-allow-methods", ", ".join(METHODS).encode()),
    (b"access-control-max-age", b"600"),
)
EXPOSED: Final = b"mcp-session-id, www-authenticate"


class Keys(Verifier, Protocol):
    """API keys that can be counted; a `KeyRing`."""

    def list(self) -> Sequence[object]:
        """All of them."""


class Entry:
    """The application: guards every request, and hands it to the package.

    Args:
        settings: how it listens. port: the one really listened on. names: further names of this machine.
    """

    def __init__(
        self,
        manager: StreamableHTTPSessionManager,
        settings: Listening,
        keys: Keys,
        port: int,
        names: Sequence[str] = (),
    ) -> None:
        self._manager = manager
        self._rules = policy(settings, port, names)
        self._access = Access(safe_bind(settings, has_keys=bool(keys.list())), NOBODY, keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            name = self._admit(scope, headers)
        except BridgeError as error:
            await _fail(send, error, self._read_by(headers))
            return
        if scope["method"] == "OPTIONS":
            asked = headers.get(b"access-control-request-headers", b"")
            more = (*self._read_by(headers), *ALLOWED, (b"access-control-allow-headers", asked))
            await _reply(send, 204, more, b"")
            return
        arrive(headers.get(DEEP))
        # A session belongs to the key that began it; the package looks at this.
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=name, scopes=[]))
        await self._manager.handle_request(scope, receive, self._readable(send, headers))

    def _admit(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str:
        """The name of the caller's key, "" where none is needed.

        Raises:
            BridgeError: why he may not come in.
        """
        if error := refuse_twice(scope["headers"]) or refuse(self._rules, headers):
            raise error
        path, method = scope["path"], scope["method"]
        if path.rstrip("/") != PATH:
            raise RouteNotFound(f"There is no path {path[:200]!r} here.", hint=f"MCP is at {PATH}.")
        if method not in METHODS:
            raise MethodNotAllowed(method, PATH, METHODS)
        if method == "OPTIONS":
            return ""
        if method == "POST" and (error := refuse_body(headers)):
            raise error
        return authorise(self._access, headers)

    def check_manage(self, request: object) -> None:
        """Make sure that who sent a request may change which models are in memory.

        Raises:
            Unauthorized, Forbidden.
        """
        scope: Scope = getattr(request, "scope", {"headers": []})
        authorise(self._access, dict(scope["headers"]), scope="models")

    def _read_by(self, headers: Mapping[bytes, bytes]) -> tuple[Header, ...]:
        """What lets a page of the settings read the answer."""
        origin = headers.get(b"origin")
        if origin is None or not allowed_origin(self._rules, origin):
            return ()
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED),
            (b"vary", b"origin"),
        )

    def _readable(self, send: Send, headers: Mapping[bytes, bytes]) -> Send:
        more = self._read_by(headers)
        if not more:
            return send

        async def with_more(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *more]
            await send(message)

        return with_more


class _Runner(uvicorn.Server):
    """uvicorn's server, without its signals and with a word when it answers."""

    def __init__(self, entry: Entry, ready: Callable[[], None]) -> None:
        self._ready = ready
        super().__init__(
            uvicorn.Config(
                entry,
                interface="asgi3",
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: who runs us has the hub to close."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        self._ready()


async def serve(
    make: Callable[[Callable[[object], None]], Server[Any]],
    settings: Listening,
    keys: Keys,
    listening: socket.socket,
    *,
    max_body: int,
    on_ready: Callable[[], None],
) -> None:
    """Answer until cancelled.

    Args:
        make: makes the server; it is given what says who may change which models are in memory.
        listening: is closed at the end.
        on_ready: called once it answers.

    Raises:
        UnsafeBind, ConfigInvalid: others could use it without a key.
    """
    try:
        await _serve(make, settings, keys, listening, max_body, on_ready)
    finally:
        listening.close()


async def _serve(
    make: Callable[[Callable[[object], None]], Server[Any]],
    settings: Listening,
    keys: Keys,
    listening: socket.socket,
    max_body: int,
    on_ready: Callable[[], None],
) -> None:
    name = socket.gethostname()
    doors: list[Entry] = []
    server = make(lambda request: doors[0].check_manage(request))
    manager = StreamableHTTPSessionManager(server, max_request_body_size=max_body, max_sessions=MAX_SESSIONS)
    port: int = listening.getsockname()[1]
    doors.append(Entry(manager, settings, keys, port, (name, f"{name}.local")))
    runner = _Runner(doors[0], on_ready)
    async with manager.run():
        try:
            await runner.serve([listening])
        except asyncio.CancelledError:
            runner.force_exit = True
            await runner.shutdown([listening])
            raise


async def _fail(send: Send, error: BridgeError, more: Sequence[Header]) -> None:
    described = {"code": code_of(error), "message": str(error), "data": details_of(error)}
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": None, "error": described})
    headers = [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff"), *more]
    if error.code == "unauthorized":
        headers.append((b"www-authenticate", b'Bearer realm="lmbridge"'))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    await _reply(send, STATUS.get(error.code, 500), headers, body)


async def _reply(send: Send, status: int, headers: Sequence[Header], body: bytes) -> None:
    length = () if status == 204 else ((b"content-length", b"%d" % len(body)),)
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body, "more_body": False})
