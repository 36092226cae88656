"""`lmbridge serve`: the gateway in this terminal, until Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render, stand_in
from lmbridge.cli.command import BridgeCommand, listening_options
from lmbridge.cli.progress import loading
from lmbridge.version import __version__

if TYPE_CHECKING:
    from lmbridge.config import Config, GatewayConfig
    from lmbridge.hub.hub import Hub
    from lmbridge.hub.stored import Stored
    from lmbridge.machine.gateway_file import GatewayFile


EVERY = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
"""Addresses that stand for all of this machine's."""


@click.command(
    "serve",
    cls=BridgeCommand,
    examples=[
        ("lmbridge serve", "on http://127.0.0.1:1235"),
        ("lmbridge serve --port 8080 --model qwen3-8b", "elsewhere, a model loaded already"),
        ("lmbridge serve --cors https://app.example", "for a web page too"),
        ("lmbridge serve --stand-in", "where LM Studio would answer, too"),
        ("lmbridge keys create laptop && lmbridge serve --host 0.0.0.0", "for the network, with a key"),
    ],
)
@listening_options
@click.option("--json", "as_json", is_flag=True, help="Tell address and process as one JSON object.")
def command(
    host: str | None,
    port: int | None,
    cors: tuple[str, ...],
    require_key: bool,
    as_lmstudio: bool,
    lmstudio_quirks: bool,
    models: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the gateway here until Ctrl-C: the APIs of OpenAI, Anthropic, Ollama and LM Studio for every program on
    this machine.

    There is one gateway for each user; `lmbridge gateway start` runs it in the background instead.
    """
    import msgspec

    from lmbridge.config import load_config
    from lmbridge.core.errors import AlreadyRunning
    from lmbridge.machine.gateway_file import claimed, running

    config = load_config()
    given = {
        "host": host,
        "port": port,
        "cors": cors or None,
        "require_key": require_key or None,
        "stand_in": as_lmstudio or None,
        "lmstudio_quirks": lmstudio_quirks or None,
    }
    gateway = msgspec.structs.replace(config.gateway, **{k: v for k, v in given.items() if v is not None})
    if (found := running(config.home)) is not None:
        raise AlreadyRunning(found.url, found.pid)
    with claimed(config.home), asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        runner.run(_serve(config, gateway, models, as_json=as_json))


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed; None lets asyncio choose."""
    try:
        import uvloop
    except ImportError:
        return None
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return loop


async def _serve(config: Config, settings: GatewayConfig, models: tuple[str, ...], *, as_json: bool) -> None:
    import logging

    import msgspec

    from lmbridge.assembly import build_hub, tool_servers
    from lmbridge.doors.gateway import Gateway, GatewaySettings, serve
    from lmbridge.hub.keys import KeyRing
    from lmbridge.hub.request_log import RequestLog
    from lmbridge.hub.stored import DAY_S, Stored
    from lmbridge.machine.gateway_file import GatewayFile
    from lmbridge.machine.home import keys_file, requests_log, responses_file

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    key, ring = secrets.token_urlsafe(32), KeyRing(keys_file(config.home))
    file: asyncio.Future[GatewayFile] = asyncio.get_running_loop().create_future()

    def ready(url: str) -> None:
        mine = GatewayFile.of_this_process(url, key, __version__)
        mine.write(config.home)
        file.set_result(mine)
        gc.freeze()  # what is here stays here: to look through it for garbage would hold up every stream for 20 ms

    async with build_hub(config, [Path(name) for name in models if os.path.isabs(name)], place="gateway") as hub:
        log = RequestLog(requests_log(config.home)) if settings.log else None
        stored = Stored(responses_file(config.home), settings.store_days * DAY_S)
        given = GatewaySettings(**msgspec.structs.asdict(settings))
        servers = tool_servers(config) if settings.mcp or settings.ephemeral_mcp else None
        gateway = Gateway(hub, given, ring, key, requests=log, stored=stored, servers=servers)
        gateway.check()
        await _purge(stored)
        listening = bound(settings)
        second, taken = await stand_in.take(settings) if settings.stand_in else (None, "")
        try:
            # Before anybody is told that it answers: one that cannot be loaded ends the start.
            await _load(hub, models, as_json=as_json)
            async with asyncio.TaskGroup() as tasks:
                needs_key = settings.require_key or bool(ring.list())
                welcome = tasks.create_task(_welcome(hub, file, settings, needs_key, taken, as_json=as_json))
                await serve(gateway, on_ready=ready, sockets=[listening], stand_in=second)
                welcome.cancel()
        finally:
            listening.close()
            if second is not None:
                second.close()
            if file.done() and not file.cancelled():
                file.result().remove(config.home)
    if not as_json:
        # Over the ^C that the terminal shows.
        render.line("\rStopped." if render.is_terminal(sys.stdout) else "Stopped.")


async def _purge(stored: Stored) -> None:
    """Drop stored answers that are too old. A store that cannot be used hinders nobody who stores nothing."""
    import logging

    from lmbridge.core.errors import BridgeError

    try:
        await stored.purge()
    except BridgeError as error:
        logging.getLogger("lmbridge.gateway").warning("%s", error)


def bound(settings: GatewayConfig) -> socket.socket:
    """The listening socket.

    Raises:
        AddressInUse: with the name of whoever holds the port.
    """
    from lmbridge.core.errors import AddressInUse
    from lmbridge.doors.gateway.server import bind
    from lmbridge.machine.ports import holder

    try:
        return bind(settings.host, settings.port)
    except AddressInUse as error:
        raise AddressInUse(error.host, error.port, holder(error.port)) from error


async def _load(hub: Hub, models: tuple[str, ...], *, as_json: bool) -> None:
    """Load what was asked for; all names are looked up before the first is loaded."""
    known = [(await hub.find(name)).qualified for name in models]
    for name, model in zip(models, known, strict=True):
        with loading(f"Loading {render.printable(name)}") as moved:
            state = await hub.load(model, progress=moved)
        if not as_json:
            render.line(f"{render.printable(state.model)} is loaded.")


async def _welcome(
    hub: Hub, file: Awaitable[GatewayFile], settings: GatewayConfig, needs_key: bool, taken: str, *, as_json: bool
) -> None:
    """Once it answers, say how it is used.

    Args:
        taken: why it does not listen where LM Studio does, although it was to.
    """
    found, second = await file, f"http://127.0.0.1:{settings.stand_in_port}"
    if as_json:
        also = {"stand_in": None if taken else second, "stand_in_reason": taken} if settings.stand_in else {}
        render.json({"url": found.url, "pid": found.pid, "version": found.version, **also})
    else:
        count = sum(not model.problem for model in await hub.models())
        bold = render.paint(found.url, "bold")
        render.line(f"lmbridge {found.version} serves {count} model{'s' if count != 1 else ''} at {bold}")
        key = "needed; `lmbridge keys list` shows who has one" if needs_key else "not needed on this machine"
        for name, meaning in (
            ("OpenAI API", f"{found.url}/v1"),
            ("LM Studio", _stands_in(second, taken) if settings.stand_in else ""),
            ("About", f"{found.url}/"),
            (
                "Network",
                f"open to other machines, on port {found.url.rpartition(':')[2]} of every address"
                if settings.host in EVERY
                else "",
            ),
            ("API key", key),
            ("Stop", "Ctrl-C"),
        ):
            if meaning:
                render.line(f"  {render.paint(f'{name:<12}', 'dim')}{meaning}")


def _stands_in(url: str, taken: str) -> str:
    return f"not at {url}: {taken}" if taken else f"{url}, where LM Studio would answer"
