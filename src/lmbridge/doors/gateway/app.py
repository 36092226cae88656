"""The application: guards every request, finds its route, and turns every error into an answer.

This is the hot path. Nothing here makes a task, formats a string or writes a log line for a request that
succeeds; `make bench` shows what it costs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from hashlib import sha256
from time import perf_counter
from typing import Final, cast

from lmbridge.core.depth import HEADER, arrive
from lmbridge.core.errors import BridgeError, MethodNotAllowed, RouteNotFound, ShuttingDown
from lmbridge.doors.gateway.anthropic import ANTHROPIC, AnthropicRoutes
from lmbridge.doors.gateway.asgi import NOSNIFF, Header, Receive, Request, Scope, Send
from lmbridge.doors.gateway.family import OPENAI, Family
from lmbridge.doors.gateway.feed import Feed
from lmbridge.doors.gateway.lmstudio import LMSTUDIO, UNEXPECTED, LMStudioRoutes
from lmbridge.doors.gateway.lmstudio.integrations import ToolServers
from lmbridge.doors.gateway.logged import line_of
from lmbridge.doors.gateway.management import Management
from lmbridge.doors.gateway.ollama import OLLAMA, OllamaRoutes
from lmbridge.doors.gateway.openai import OpenAIRoutes
from lmbridge.doors.gateway.pages import Pages
from lmbridge.doors.gateway.responses import ResponsesRoutes
from lmbridge.doors.gateway.routes import Handler, Methods, Paths, Route, RouteTable
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.doors.gateway.stand_in import StandIn
from lmbridge.doors.gateway.usage import UsageRoutes
from lmbridge.hub.access import (
    Access,
    allowed_origin,
    authorise,
    policy,
    refuse,
    refuse_body,
    refuse_twice,
    safe_bind,
    whose,
)
from lmbridge.hub.hub import Hub
from lmbridge.hub.keys import KeyRing
from lmbridge.hub.request_log import RequestLog
from lmbridge.hub.stored import Stored, keeping_nothing
from lmbridge.version import __version__

PREFLIGHT: Final[tuple[Header, ...]] = (
    (b"access-control-max-age", b"600"),
    (b"access-control-allow-private-network", b"true"),
)

EXPOSED: Final = b"retry-after, www-authenticate, x-lmbridge-queued, x-lmbridge-dropped-turns"
FAMILIES: Final[Mapping[str, Family]] = {
    "/v1/messages": ANTHROPIC,
    "/api/v0/": LMSTUDIO,
    "/api/v1/": LMSTUDIO,
    "/api/lmbridge/": OPENAI,
    "/api/": OLLAMA,
}
"""The family of each beginning of a path, for paths that are not there; OpenAI's for all others."""

DEEP: Final = HEADER.encode()

log = logging.getLogger("lmbridge.gateway")


class Gateway:
    """The gateway as an ASGI application. `serve` runs it; no other server tells it of lost connections.

    Args:
        hub: does the work; stays the caller's.
        keys: the API keys.
        session_key: the key in the gateway file.
        requests: where each request leaves a line; None for nowhere.
        stored: where answers are stored; None for nowhere. The gateway closes it.
        servers: who knows MCP servers; None for nobody. The gateway closes it, too.
    """

    def __init__(
        self,
        hub: Hub,
        settings: GatewaySettings,
        keys: KeyRing,
        session_key: str,
        version: str = __version__,
        *,
        requests: RequestLog | None = None,
        stored: Stored | None = None,
        servers: ToolServers | None = None,
    ) -> None:
        self.hub, self.settings, self.keys, self.version = hub, settings, keys, version
        self.activity, self._log = hub.activity, requests
        self._access = Access(True, sha256(session_key.encode()).digest(), keys)  # closed until it is open
        self._rules = policy(settings, settings.port)
        self._stop: Callable[[], None] = lambda: None
        self._description = b""
        self._stored = stored if stored is not None else keeping_nothing()
        self._openai = OpenAIRoutes(hub, settings)
        self._anthropic = AnthropicRoutes(hub, settings)
        self.stand_in = StandIn(settings.max_body)
        self._lmstudio = LMStudioRoutes(hub, settings, self._stored, self._whose, servers)
        self._ollama = OllamaRoutes(hub, settings, version)
        self._responses = ResponsesRoutes(hub, settings, self._stored, self._whose)
        self._feed = Feed(hub, settings)
        doors = (
            self._openai,
            self._responses,
            self._anthropic,
            self._lmstudio,
            self.stand_in,
            self._ollama,
            Management(hub, settings, version, self.stop),
            self._feed,
            UsageRoutes(hub),
            Pages(hub, version, self._describe),
        )
        self._table = RouteTable([door.routes() for door in doors], FAMILIES)

    @property
    def routes(self) -> Paths:
        """Every path with its methods; see `RouteTable` for placeholders."""
        return self._table.paths

    def _describe(self) -> bytes:
        if not self._description:
            from lmbridge.doors.gateway.openapi import document

            self._description = document(self.version, self.routes)
        return self._description

    def check(self) -> None:
        """Make sure that these settings open nothing by accident.

        Raises:
            UnsafeBind, ConfigInvalid.
        """
        safe_bind(self.settings, has_keys=bool(self.keys.list()))

    def open(self, port: int, stop: Callable[[], None], *, stand_in: int | None = None) -> None:
        """Begin to let callers in, now that the port is known.

        Whether a key is needed is decided here once: revoking the last key must not open the gateway.

        Args:
            stand_in: the port of LM Studio, if it is listened on as well.
        """
        import socket

        required = safe_bind(self.settings, has_keys=bool(self.keys.list()))
        name = socket.gethostname()
        loopback = () if stand_in is None else (stand_in,)
        self._rules = policy(self.settings, port, (name, f"{name}.local"), loopback=loopback)
        self._access = Access(required, self._access.session, self.keys)
        self._stop = stop

    def stop(self) -> None:
        """Begin the end of the server: no new requests, `grace_s` for those under way. Called again: end now."""
        self._stop()

    def ending(self) -> None:
        """The server has begun its end: what would go on for ever ends now."""
        self._feed.end()

    async def flush(self) -> None:
        """Write down when keys were last used."""
        await asyncio.to_thread(self.keys.flush)

    async def aclose(self) -> None:
        """Close connections to providers and write down what is to be kept."""
        await self._lmstudio.aclose()
        await self._openai.aclose()
        await self._anthropic.aclose()
        await self._responses.aclose()
        await self._ollama.aclose()
        await self._stored.aclose()
        if self._log is not None:
            await self._log.aclose()
        await self.flush()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive, send)
        connection, began = request.connection, perf_counter()
        if connection.lost:
            return
        # The loop is named because finding it costs a system call before Python 3.12.
        connection.on_lost = stop = cast("asyncio.Task[None]", asyncio.current_task(connection.loop)).cancel
        try:
            await self._admit(request, scope)(request)
        except BridgeError as error:
            if not request.counted:
                self.activity.refused[error.code] += 1
            await request.fail(error)
        except asyncio.CancelledError:
            if not connection.lost:
                # The server ends: say so to those whose answer is not complete.
                await request.fail(ShuttingDown())
        except Exception as error:
            log.exception("A fault of lmbridge itself while answering %s %s", request.method, request.path)
            self.activity.refused["internal_error"] += 1
            await request.fail(_internal(error))
        finally:
            if connection.on_lost is stop:  # else the next request of the connection has begun
                connection.on_lost = None
            if self._log is not None and not (request.quiet and not request.error):
                self._log.note(line_of(request, began))

    def _admit(self, request: Request, scope: Scope) -> Handler:
        """Who answers a request.

        Raises:
            BridgeError: why nobody does.
        """
        headers, path = request.headers, request.path
        twice = len(headers) != len(scope["headers"]) and refuse_twice(scope["headers"])
        if error := twice or refuse(self._rules, headers, page=path == "/"):
            request.family = self._table.family(path)
            raise error
        if b"origin" in headers:
            self._let_read(request)
        if DEEP in headers:
            arrive(headers[DEEP])
        methods = self._table.paths.get(path)
        route = None if methods is None else methods.get(request.method)
        if route is None:
            if request.method == "OPTIONS":
                return self._preflight
            route = self._find(request)
        request.family = route.family
        # Who only looks at the gateway would fill the log with nothing.
        request.quiet = route.key == "open" or (route.scope == "admin" and request.method == "GET")
        if route.key != "open":
            request.caller = authorise(
                self._access, headers, scope=route.scope, session_only=route.key == "session"
            )
        if route.asks is not None and (error := refuse_body(headers)):
            raise error
        return route.handler

    def _whose(self, request: Request) -> str | None:
        return whose(self._access, request.headers, request.caller)

    def _find(self, request: Request) -> Route:
        """The route of a path that is not in the table as it is, or of a method that is not."""
        path = request.path
        methods, request.params = self._table.find(path)
        route = None if methods is None else methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None and self.settings.lmstudio_quirks:
            return UNEXPECTED
        if methods is None:
            raise self._nowhere(request)
        if route is None:
            request.family = next(iter(methods.values())).family
            raise MethodNotAllowed(request.method, path[:200], _allowed(methods))
        return route

    def _nowhere(self, request: Request) -> RouteNotFound:
        request.family = self._table.family(request.path)
        return RouteNotFound(f"There is no path {request.path[:200]!r} here.", hint=self._hint(request.path))

    def _hint(self, path: str) -> str:
        from difflib import get_close_matches

        if self._table.find(f"/v1{path}")[0] and path != "/":
            return f"The base URL of an OpenAI client ends in `/v1`: ask for /v1{path[:200]}."
        if path.startswith("/v1/v1/"):
            return f"The base URL ends in `/v1` already: ask for {path[3:203]}."
        near = get_close_matches(path.rstrip("/"), self.routes, n=1)
        return f"Did you mean {near[0]}?" if near else "GET / shows the paths there are."

    def _let_read(self, request: Request) -> None:
        """Let the page read the answer, errors included, if the settings name it."""
        origin = request.headers[b"origin"]
        if allowed_origin(self._rules, origin):
            request.also = (
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", EXPOSED),
                (b"vary", b"origin"),
            )

    async def _preflight(self, request: Request) -> None:
        """What a page may send (Fetch standard, CORS preflight). Its headers are allowed as asked: the
        origin was named by the user, and OpenAI's clients send a dozen of their own."""
        methods, _ = self._table.find(request.path)
        if self.settings.lmstudio_quirks and (methods is None or not request.also):
            await UNEXPECTED.handler(request)
            return
        if methods is None:
            raise self._nowhere(request)
        allowed = ", ".join(_allowed(methods)).encode()
        headers: list[Header] = [NOSNIFF, (b"allow", allowed)]
        if request.also and b"access-control-request-method" in request.headers:
            headers.extend(((b"access-control-allow-methods", allowed), *PREFLIGHT))
            if asked := request.headers.get(b"access-control-request-headers"):
                headers.append((b"access-control-allow-headers", asked))
        await request.reply(204, headers, b"")


def _allowed(methods: Methods) -> list[str]:
    return [*methods, *(("HEAD",) if "GET" in methods else ()), "OPTIONS"]


def _internal(error: Exception) -> BridgeError:
    return BridgeError(
        f"A fault of lmbridge itself ({type(error).__name__}).",
        hint="Please report it with the lines that the gateway wrote to its log.",
    )
