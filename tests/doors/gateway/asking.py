"""A gateway that really listens, and the plainest way to ask it: sockets and bytes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from msgspec import Struct

from lmbridge.core.provider import Provider
from lmbridge.doors.gateway import Gateway, GatewaySettings, serve
from lmbridge.doors.gateway.lmstudio.integrations import ToolServers
from lmbridge.doors.gateway.server import bind
from lmbridge.hub.hub import Hub
from lmbridge.hub.keys import KeyRing
from lmbridge.hub.request_log import RequestLog
from lmbridge.hub.stored import DAY_S, Stored
from lmbridge.hub.usage import Ledger

SESSION = "the-session-key"
LOG = "requests.jsonl"
LIMIT_S = 20.0


class Answer(Struct):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> dict[str, object]:
        value = self.json["error"]
        assert isinstance(value, dict)
        return value

    @property
    def code(self) -> object:
        """Our code, wherever the family of the route has a place for it."""
        details = self.error.get("details")
        return details["error_code"] if isinstance(details, dict) else self.error["code"]


class Running(Struct):
    """A gateway that answers."""

    gateway: Gateway
    hub: Hub
    url: str
    port: int

    async def get(self, path: str, headers: Mapping[str, str | None] = {}) -> Answer:
        return await ask(self.port, "GET", path, headers=headers)

    async def post(self, path: str, body: object, headers: Mapping[str, str | None] = {}) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await ask(self.port, "POST", path, data, headers=headers)


@asynccontextmanager
async def running(
    providers: Sequence[object],
    folder: Path,
    settings: GatewaySettings = GatewaySettings(port=0),
    *,
    stand_in: socket.socket | None = None,
    servers: ToolServers | None = None,
) -> AsyncIterator[Running]:
    """Serve for the length of the `async with`; the keys of *folder* apply, and the log of requests is in it."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[str] = loop.create_future()
    ledger = Ledger(folder / "usage.db", place="gateway")
    async with Hub(cast("Sequence[Provider]", providers), ledger=ledger) as hub:
        ring, log = KeyRing(folder / "keys.json", recheck_s=0), RequestLog(folder / LOG)
        stored = Stored(folder / "responses.db", settings.store_days * DAY_S)
        requests = log if settings.log else None
        gateway = Gateway(hub, settings, ring, SESSION, requests=requests, stored=stored, servers=servers)
        # Whatever the settings say, a test listens on loopback.
        sockets = [bind("127.0.0.1", settings.port)]
        serving = asyncio.ensure_future(
            serve(gateway, on_ready=ready.set_result, sockets=sockets, stand_in=stand_in)
        )
        try:
            await asyncio.wait({serving, ready}, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            url = ready.result()
            yield Running(gateway, hub, url, int(url.rpartition(":")[2]))
        finally:
            gateway.stop()
            gateway.stop()
            async with asyncio.timeout(LIMIT_S):
                await serving


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has become true that nobody announces."""
    for _ in range(int(LIMIT_S * 1000)):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


async def ask(
    port: int,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    headers: Mapping[str, str | None] = {},
) -> Answer:
    """Send a request and read the whole answer. A header that is None is left out."""
    sent: dict[str, str | None] = {"host": f"127.0.0.1:{port}", "connection": "close"}
    if body:
        sent |= {"content-type": "application/json", "content-length": str(len(body))}
    sent |= headers
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.items() if v is not None)]
    return decode(await exchange(port, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body), method)


async def exchange(port: int, data: bytes) -> bytes:
    """Send bytes and read until the other side closes."""
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()


def decode(data: bytes, method: str = "GET") -> Answer:
    """The first answer in *data*, its body whole."""
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if method == "HEAD":
        assert rest == b""
    elif headers.get("transfer-encoding") == "chunked":
        rest = _unchunked(rest)
    elif "content-length" in headers:
        assert len(rest) >= int(headers["content-length"])
        rest = rest[: int(headers["content-length"])]
    return Answer(int(first.split(" ")[1]), headers, rest)


def _unchunked(data: bytes) -> bytes:
    pieces = []
    while True:
        size, _, data = data.partition(b"\r\n")
        if int(size, 16) == 0:
            return b"".join(pieces)
        pieces.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]


def events(body: bytes) -> list[str]:
    """The data of each event of a stream; comments as they are."""
    found = body.decode().split("\n\n")
    assert found.pop() == ""
    return [event.removeprefix("data: ") for event in found]
