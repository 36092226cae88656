"""Runs the gateway: a listening socket, the server, and an orderly end.

uvicorn with httptools was chosen by measurement (`make bench`); it runs inside our event loop.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lmbridge.core.errors import AddressInUse, ConfigInvalid

if TYPE_CHECKING:
    from lmbridge.doors.gateway.app import Gateway

BACKLOG: Final = 2048
ANY: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on
"""Addresses that stand for all, and where this machine reaches itself there."""


async def serve(
    gateway: Gateway,
    *,
    on_ready: Callable[[str], None],
    sockets: Sequence[socket.socket] | None = None,
    stand_in: socket.socket | None = None,
) -> None:
    """Answer requests until SIGINT, SIGTERM or the shutdown route, then end in an orderly way.

    No new request is taken then; answers under way get `grace_s` seconds, then they are cancelled and end
    with an error. A second signal does not wait. The hub stays open: it belongs to the caller.

    Args:
        on_ready: called with the gateway's URL once it answers.
        sockets: listen on these instead of `host` and `port`; they are closed at the end.
        stand_in: also listen on this one of loopback, where LM Studio would; it may be given up before the end.

    Raises:
        AddressInUse: the port is taken. UnsafeBind: others could use it without a key.
        ConfigInvalid: an address that cannot be listened on, or a setting that would open too much.
    """
    from lmbridge.doors.gateway.runner import Server

    settings = gateway.settings
    listening, second = list(sockets or ()), [] if stand_in is None else [stand_in]
    try:
        gateway.check()
        if not listening:
            listening.append(bind(settings.host, settings.port))
        port: int = listening[0].getsockname()[1]
        server = Server(gateway, lambda: on_ready(url_of(settings.host, port)))
        if stand_in is not None:
            gateway.stand_in.begin(server.release_last)
        gateway.open(port, server.stop, stand_in=None if stand_in is None else stand_in.getsockname()[1])
        with _signals(server.stop):
            await server.serve([*listening, *second])
            await server.end()
    finally:
        for one in (*listening, *second):
            one.close()
        await gateway.aclose()


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Listening at once makes sure that nobody else does.

    Raises:
        AddressInUse, ConfigInvalid.
    """
    if not 0 <= port <= 65535:
        raise ConfigInvalid(
            "host and port", f"{port} is not a port", hint="Choose one from 1 to 65535, or 0 for any."
        )
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigInvalid("host", f"{host!r} is not an address of this machine") from error
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if sys.platform == "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # Only lets a port be used again right after its last owner ended; two cannot listen on it.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise AddressInUse(host, port) from error
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        foreign = isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL
        raise ConfigInvalid(
            "host and port",
            f"cannot listen on {host}:{port}: {'not an address of this machine' if foreign else reason.lower()}",
            hint=f"Choose another with `--{'host' if foreign else 'port'}`.",
        ) from error
    listening.setblocking(False)
    return listening


def url_of(host: str, port: int) -> str:
    """Where programs of this machine reach a gateway that listens on *host*."""
    host = ANY.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM mean *stop* inside; outside the main thread signals cannot be had."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def handle(*_: object) -> None:
        loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
