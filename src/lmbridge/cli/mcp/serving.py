"""Running the MCP server for a command: what is imported late, and in which order.

`initialize` is answered before the official package is imported, which takes a second or more on a slow machine.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from lmbridge.cli.mcp.prompting import PresetPrompts
from lmbridge.doors.mcp.offer import Offer
from lmbridge.doors.mcp.stdio import Pipe, need_mcp, open_pipe
from lmbridge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmbridge.cli.mcp.following import Following
    from lmbridge.config import Config, GatewayConfig

NAME: Final = "lmbridge"
INSTRUCTIONS: Final = (
    "Language models that run on the user's own computer. `list_models` names them; `chat` asks one, and loads it "
    "first if need be. Use them for what should stay on this computer, or for a second opinion."
)


def offer_of(*, manage: bool) -> Offer:
    """What the server of `lmbridge mcp` says of itself."""
    return Offer(NAME, "lmbridge", __version__, INSTRUCTIONS, manage, PresetPrompts())


def over_stdio(offer: Offer, follow: Callable[[], Following]) -> None:
    """Serve the host that started this process, until it goes.

    Raises:
        MissingExtra: the package that speaks MCP is not installed.
    """
    need_mcp()
    if sys.stdin is not None and sys.stdin.isatty():
        tell_a_person("lmbridge mcp")
    run(open_pipe(offer), offer, follow)


def run(pipe: Pipe, offer: Offer, follow: Callable[[], Following]) -> None:
    """Serve over a pipe that is open.

    Args:
        follow: makes what gives the hub; called once the host has its first answer.
    """
    pipe.wait_for_first()
    _log_to_stderr()
    from lmbridge.cli import ending

    ending.run(_answer(pipe, offer, follow))


async def _answer(pipe: Pipe, offer: Offer, follow: Callable[[], Following]) -> None:
    from lmbridge.doors.mcp.package import serve
    from lmbridge.doors.mcp.server import make_server

    async with follow() as following:
        await serve(pipe, make_server(following.borrow, offer))


def over_http(offer: Offer, config: Config, settings: GatewayConfig, follow: Callable[[], Following]) -> None:
    """Serve every host that comes, until Ctrl-C."""
    need_mcp()
    _log_to_stderr()
    from lmbridge.cli import ending, render

    try:
        ending.run(_listen(offer, config, settings, follow))
    except KeyboardInterrupt:  # it is meant to be ended so, as `lmbridge serve` is
        render.line("\rStopped." if render.is_terminal(sys.stdout) else "Stopped.")


async def _listen(offer: Offer, config: Config, settings: GatewayConfig, follow: Callable[[], Following]) -> None:
    from functools import partial

    from lmbridge.cli import render
    from lmbridge.cli.serve import bound
    from lmbridge.doors.gateway.server import url_of
    from lmbridge.doors.mcp.http import PATH, serve
    from lmbridge.doors.mcp.server import make_server
    from lmbridge.hub.keys import KeyRing
    from lmbridge.machine.home import keys_file

    listening = bound(settings)
    url = url_of(settings.host, listening.getsockname()[1]) + PATH

    def ready() -> None:
        render.line(f"MCP is served at {url}")
        sys.stdout.flush()

    async with follow() as following:
        await serve(
            partial(make_server, following.borrow, offer),
            settings,
            KeyRing(keys_file(config.home)),
            listening,
            max_body=settings.max_body,
            on_ready=ready,
        )


def tell_a_person(command: str) -> None:
    """Say what *command* waits for: who typed it would see nothing."""
    from lmbridge.cli import render

    render.note(f"An MCP host starts this and talks with it; `{command} --manifest` prints the entry for one.")
    render.note("Ctrl-C ends it.")


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
