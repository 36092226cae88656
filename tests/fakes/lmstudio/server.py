"""A fake LM Studio: a real server that answers as the reference says, and misbehaves on demand.

`async with fake_lmstudio(folder) as fake:` runs one in the test's own process, with a home folder below
*folder* whose files tell where it is. What can go wrong is in `faults.FAULTS`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.fakes.byte_server import ByteServer
from tests.fakes.lmstudio import chat, home, messages, native, native_chat, refusals, responses
from tests.fakes.lmstudio.control import Control, log_record
from tests.fakes.lmstudio.faults import Faults
from tests.fakes.lmstudio.http import Connection, Out, Over, Request, Stream, Whole
from tests.fakes.lmstudio.install import FakeInstall, install_fake
from tests.fakes.lmstudio.models import ON_DISK, Body, FakeModel
from tests.fakes.lmstudio.refusals import Refusal
from tests.fakes.lmstudio.runtime import FakeInstance, Runtime
from tests.fakes.lmstudio.words import Ask, Said, answer

VERSIONS = {"0.3": (0, 3, 30), "0.4": (0, 4, 25)}
TOKEN = re.compile(r"^sk-lm-[A-Za-z0-9]{8}:[A-Za-z0-9]{20}$")
GOOD_TOKEN = "sk-lm-abcdefgh:0123456789abcdefghij"
"""A token of the right form, for tests that want one."""

# Routes of models, and what they are below `/v1` and `/api/v0`.
_INFERENCE = ("/chat/completions", "/completions", "/embeddings", "/responses", "/api/v1/chat", "/v1/messages")


class FakeLMStudio:
    """The server. Use `async with fake_lmstudio(folder) as fake`.

    Attributes:
        url: its root, without `/v1`.
        home: its home folder, as `~/.lmstudio` is.
        install: the user's folder around that, with an `lms` that talks to this very server.
        runtime: models, instances, downloads; how long loads take, and more.
        token: what it insists on; "" for none. plugins: whether the token may use MCP plugins.
        requests: everything asked of it, in order.
        pace: seconds between two words. keep_alive_s: how long an idle connection is kept.
        separate_reasoning: thoughts go into fields of their own.
        cors: whether other origins may ask.
        kind: `app` or `llmster`. step_s: seconds `lms get` waits between two steps of a download.
        listeners: who reads the log. stir: called when somebody asks for something.
        left: answers whose client went away before the end.
        stored: what was said in remembered conversations, by response id.
    """

    def __init__(
        self,
        home: Path,
        *,
        version: str = "0.4",
        token: str = "",
        jit: bool = True,
        models: Sequence[FakeModel] = ON_DISK,
        pace: float = 0.0,
    ) -> None:
        self.home, self.token, self.pace = home, token, pace
        self.version = VERSIONS.get(version) or tuple(int(part) for part in version.split("."))
        self.runtime = Runtime(models, self.version, jit=jit)
        self.plugins, self.separate_reasoning, self.cors = False, True, False
        self.keep_alive_s = 5.0
        self.requests: list[Request] = []
        self.stored: dict[str, list[str]] = {}
        self.left = 0
        self.faults = Faults()
        self.install: FakeInstall | None = None
        self.kind = "app"
        self.step_s = 0.0
        self.listeners: list[asyncio.Queue[Body]] = []
        self.stir: Callable[[], None] = lambda: None
        self.server: ByteServer | None = None
        self.port = 0
        self._connections: set[Connection] = set()
        self._tasks = asyncio.TaskGroup()
        self._stop = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopped.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def models(self) -> list[FakeModel]:
        """What is on its disk; may be changed."""
        return self.runtime.models

    @property
    def routes(self) -> list[str]:
        """Method and path of everything asked of it, in order."""
        return [request.route for request in self.requests]

    def hold(self, key: str, context_length: int | None = None, identifier: str = "") -> FakeInstance:
        """Have a model loaded at once, as if a person had done so before the test."""
        return self.runtime.hold(key, context_length, identifier)

    @property
    def fault(self) -> str:
        """What is wrong with every route; "" for nothing."""
        injected = self.faults.injected
        return injected[0].fault if injected else ""

    @fault.setter
    def fault(self, name: str) -> None:
        self.clear()
        if name:
            self.inject(name)

    def inject(self, fault: str, route: str = "", *, model: str = "", times: int | None = None) -> None:
        """Let something go wrong.

        Args:
            route: method and path, or their beginning; "" for every route.
            model: only for requests that name this model. times: how often; None for ever.
        """
        self.faults.add(fault, route, model, times)
        if fault == "refuse":
            self._close_port()

    def clear(self) -> None:
        """Let nothing be wrong any more."""
        closed = any(each.fault == "refuse" for each in self.faults.injected)
        self.faults.injected.clear()
        if closed and self.server is not None:
            self.server.listen()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Start the REST server.

        Raises:
            OSError: the port is taken.
        """
        assert self._stopped.is_set(), "it runs already"
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stop, self._stopped = asyncio.Event(), asyncio.Event()
        self._tasks.create_task(self._listen(port, host, started))
        await started

    async def _listen(self, port: int, host: str, started: asyncio.Future[None]) -> None:
        """The server's task: who enters its `async with` must leave it."""
        try:
            async with ByteServer(self._serve, host=host, port=port) as self.server:
                self.port = self.server.port
                started.set_result(None)
                await self._stop.wait()
        except OSError as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            self.server = None
            self._stopped.set()

    async def stop(self) -> None:
        """Stop the REST server, if it runs; what is loaded stays loaded."""
        self._stop.set()
        await self._stopped.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so within the fake.

        Raises:
            TimeoutError: it is not so within ten seconds.
        """
        async with asyncio.timeout(10):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.001)

    def log(self, kind: str, **fields: object) -> None:
        """Tell who reads the log."""
        for each in self.listeners:
            each.put_nowait(log_record(kind, **fields))

    def _close_port(self) -> None:
        if self.server is not None:
            self.server.stop_listening()
        for each in self._connections:
            each.writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self._connections.add(connection)
        try:
            while (request := await connection.request(self.keep_alive_s)) is not None:
                self.stir()
                self.requests.append(request)
                self.log("server.log", content=f"Received request: {request.route}", level="info")
                request.fault = connection.fault = self.faults.next(request.route, request.fields.get("model"))
                try:
                    await self._answer(connection, request)
                except Over as over:
                    if over.close:
                        return
                except ConnectionError:
                    self.left += request.fault == ""
                    raise
        finally:
            self._connections.discard(connection)

    async def _answer(self, connection: Connection, request: Request) -> None:
        await connection.before()
        if request.fault in ("web-page", "web-page-500"):
            await connection.page(500 if request.fault == "web-page-500" else 200)
            return
        try:
            refuse(request)
            self._check_token(request)
            answer = await self._route(request)
        except Refusal as refusal:
            answer = Whole(refusal.status, refusal.body, refusal.indent)
        if isinstance(answer, Stream) and request.fault in ("not-json", "half-json", "cut-body", "empty-body"):
            answer = Whole(200, {"choices": [], "output": []})
        if isinstance(answer, Stream):
            await Out(connection, self.pace, answer).play()
        else:
            if connection.gone:
                raise ConnectionResetError
            await connection.whole(answer)

    def _check_token(self, request: Request) -> None:
        if not self.token or self.version < (0, 4) or request.path == "/lmstudio-greeting":
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if request.path == "/v1/messages" and "x-api-key" in request.headers:
            scheme, given = "Bearer", request.headers["x-api-key"]
        if scheme.lower() != "bearer" or not given:
            told = "Send it in the Authorization header as 'Bearer <token>'."
            raise refusals.key(401, f"An LM Studio API token is required to make requests to this server. {told}")
        if given == self.token:
            return
        if not TOKEN.match(given):
            raise refusals.key(401, f"Malformed LM Studio API token provided: {given[:10]}*****")
        raise refusals.key(401, "Invalid LM Studio API token provided.")

    async def _route(self, request: Request) -> Whole | Stream:
        path = request.path
        if request.broken:
            raise refusals.native(
                400, "invalid_request", "Invalid JSON in the body of the request.", "invalid_json"
            )
        if self.version >= (0, 4):
            match request.route:
                case "GET /api/v1/models":
                    return native.models(self, request.fault)
                case "POST /api/v1/models/load":
                    return await native.load(self, request)
                case "POST /api/v1/models/unload":
                    return native.unload(self, request)
                case "POST /api/v1/models/download":
                    return native.download(self, request)
                case "POST /api/v1/chat":
                    return await native_chat.chat(self, request)
            if request.route.startswith("GET /api/v1/models/download/status/"):
                return native.download_status(self, request)
        match request.route:
            case "GET /lmstudio-greeting":
                return Whole(200, {"lmstudio": True}, None)
            case "GET /v1/models":
                return chat.models(self, request.fault)
            case "GET /api/v0/models":
                return chat.older_models(self, fault=request.fault)
            case "POST /v1/chat/completions" | "POST /api/v0/chat/completions":
                return await chat.chat(self, request)
            case "POST /v1/completions" | "POST /api/v0/completions":
                return await chat.complete(self, request)
            case "POST /v1/embeddings" | "POST /api/v0/embeddings":
                return await chat.embed(self, request)
            case "POST /v1/responses" if self.version >= (0, 3, 29):
                return await responses.respond(self, request)
            case "POST /v1/messages" if self.version >= (0, 4, 1):
                return await messages.converse(self, request)
        if request.route.startswith("GET /api/v0/models/"):
            return chat.older_models(self, path.removeprefix("/api/v0/models/"))
        if request.method == "OPTIONS" and self.cors:
            return self._preflight(request)
        raise refusals.unexpected(request.method, path)

    def _preflight(self, request: Request) -> Whole:
        asked = request.headers.get("access-control-request-headers", "")
        headers = {"Access-Control-Allow-Origin": "*", "Vary": "Access-Control-Request-Headers"}
        headers["Access-Control-Allow-Methods"] = "GET,HEAD,PUT,PATCH,POST,DELETE"
        return Whole(204, None, None, headers | ({"Access-Control-Allow-Headers": asked} if asked else {}))

    def answer(self, ask: Ask, instance: FakeInstance) -> Said:
        """What a model says; the log hears of it."""
        said = answer(ask, instance)
        about = {"modelIdentifier": instance.id}
        self.log("llm.prediction.input", modelPath=instance.model.file, **about, input=f"<user>{ask.text}</user>")
        stats = {"stopReason": said.reason, "predictedTokensCount": said.tokens, "tokensPerSecond": 51.4}
        self.log("llm.prediction.output", **about, output=said.text, stats=stats)
        return said

    async def think_over(self, said: Said) -> None:
        """As long as it takes to say all that."""
        if self.pace:
            await asyncio.sleep(self.pace * (len(said.thoughts) + len(said.words)))


def refuse(request: Request) -> None:
    """The faults that are an answer of their own.

    Raises:
        Refusal: one of them strikes.
    """
    inference = request.path.endswith(_INFERENCE)
    match request.fault:
        case "500":
            raise refusals.native(500, "internal_error", "Something went wrong inside.", "unknown")
        case "503":
            raise Refusal(503, None)
        case "401":
            raise refusals.key(401, "Malformed LM Studio API token provided: sk-lm-secr*****")
        case "403":
            raise refusals.native(403, "invalid_request", "Permission denied to use this endpoint.")
        case "redirect":
            raise Refusal(302, {"error": "moved"})
        case "error-200":
            raise refusals.unexpected(request.method, request.path)
        case "error-200-object":
            raise Refusal(200, {"error": {"message": "The server is not ready.", "type": "internal_error"}})
        case "overflow" if inference:
            raise overflow(request.path)
        case "crash" if inference:
            raise refusals.text(refusals.CRASHED)
        case "engine" if inference:
            inner = 'Engine protocol predict request returned 400: {"error":{"code":400,"message":"bad grammar"}}'
            raise refusals.text(inner, 500)
        case "unloaded" if inference:
            raise refusals.no_models()


def overflow(path: str) -> Refusal:
    """A prompt that does not fit, as the route tells it."""
    message = refusals.OVERFLOW.format(needed=9001, room=8192)
    if path == "/v1/messages":
        return messages.error(500, "api_error", message)
    if path.endswith("/responses"):
        return refusals.openai(500, "internal_error", message, "unknown")
    if path == "/api/v1/chat":
        return refusals.native(500, "internal_error", message, "unknown")
    return refusals.text(message)


@asynccontextmanager
async def fake_lmstudio(
    folder: Path,
    *,
    version: str = "0.4",
    token: str = "",
    jit: bool = True,
    models: Sequence[FakeModel] = ON_DISK,
    fault: str = "",
    pace: float = 0.0,
    port: int = 0,
) -> AsyncIterator[FakeLMStudio]:
    """A fake LM Studio that runs while the `async with` lasts, with its home in *folder*/.lmstudio.

    Args:
        version: "0.3", "0.4", or an exact one such as "0.4.25".
        token: what it insists on from 0.4.0; "" for none.
        jit: whether requests load models by themselves, which also changes its lists.
        models: what is on its disk.
        fault: what is wrong from the beginning; see `FAULTS`.
        pace: seconds between two words.
        port: 0 for a free one.
    """
    install = install_fake(folder, version=version, token=token, jit=jit, models=models, configured=False)
    fake = FakeLMStudio(install.home, version=version, token=token, jit=jit, models=models, pace=pace)
    fake.install = install
    async with running(fake):
        await fake.start(port)
        home.configure(fake.home, port=fake.port)
        install.port = fake.port
        fake.fault = fault
        yield fake


@asynccontextmanager
async def running(fake: FakeLMStudio) -> AsyncIterator[Control]:
    """The fake's program without its REST server, while the `async with` lasts."""
    control = Control(fake)
    async with fake._tasks, control.server:
        control.note()
        try:
            yield control
        finally:
            await fake.stop()
            (fake.home / home.SDK_SERVER).unlink(missing_ok=True)
