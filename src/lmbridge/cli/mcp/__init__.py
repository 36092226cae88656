"""`lmbridge mcp`: the models of this computer for MCP hosts, over stdio or HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmbridge.cli.command import BridgeGroup, gateway_option

if TYPE_CHECKING:
    from lmbridge.cli.mcp.following import Following

PORT = 1236


class Commands(BridgeGroup):
    """The commands beside the server itself, imported when they are named: a host waits for the server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return ["servers"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        if cmd_name != "servers":
            return None
        from lmbridge.cli.mcp import servers

        return servers.command


@click.group(
    "mcp",
    cls=Commands,
    invoke_without_command=True,
    examples=[
        ("lmbridge mcp", "what a host starts: MCP on standard input and output"),
        ("lmbridge mcp --manifest", "the entry for a host's list of servers"),
        ("lmbridge mcp --http", f"for hosts that want a URL: http://127.0.0.1:{PORT}/mcp"),
        ("lmbridge mcp --manage", "let the host load and unload models too"),
    ],
)
@click.option("--http", "over_http", is_flag=True, help="Serve over HTTP instead, until Ctrl-C.")
@click.option("--host", metavar="ADDRESS", help="Address for --http; wider than loopback needs a key.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    help=f"For --http; 0 takes a free one.  [default: {PORT}]",
)
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Web page that may ask, for --http.")
@click.option("--require-key", is_flag=True, help="Ask for a key on this machine too, for --http.")
@click.option("--manage", is_flag=True, help="Offer load_model and unload_model too.")
@click.option("--manifest", is_flag=True, help="Print the entry for a host's mcp.json, and end.")
@gateway_option
@click.pass_context
def command(
    ctx: click.Context,
    over_http: bool,
    host: str | None,
    port: int | None,
    cors: tuple[str, ...],
    require_key: bool,
    manage: bool,
    manifest: bool,
    gateway: bool | None,
) -> None:
    """Serve the models of this computer to an MCP host: a program whose model uses tools.

    Without --http it is the host that starts this command. A running gateway is asked for the models, as soon as
    there is one; until then this process has its own.
    """
    if ctx.invoked_subcommand is not None:
        return
    asked = {"host": host, "port": port, "cors": cors or None, "require_key": require_key or None}
    given: dict[str, object] = {name: value for name, value in asked.items() if value is not None}
    if given and not over_http:
        raise click.UsageError(f"--{next(iter(given)).replace('_', '-')} is for --http.")
    if manifest:
        _print_manifest(given, over_http=over_http, manage=manage)
        return
    _serve(given, over_http=over_http, manage=manage, gateway=gateway)


def _serve(given: dict[str, object], *, over_http: bool, manage: bool, gateway: bool | None) -> None:
    from lmbridge.cli.mcp import serving

    offer = serving.offer_of(manage=manage)

    def follow() -> Following:
        from lmbridge.assembly import build_hub
        from lmbridge.cli.mcp.following import Following
        from lmbridge.config import load_config

        config = load_config()
        wanted = gateway if gateway is not None or config.use_gateway else False
        return Following(config.home, lambda: build_hub(config), gateway=wanted)

    if not over_http:
        serving.over_stdio(offer, follow)
        return
    import msgspec

    from lmbridge.config import load_config

    config = load_config()
    settings = msgspec.structs.replace(config.gateway, **{"port": PORT, **given})
    serving.over_http(offer, config, settings, follow)


def _print_manifest(given: dict[str, object], *, over_http: bool, manage: bool) -> None:
    import shutil
    import sys

    from lmbridge.cli import render

    if over_http:
        entry: dict[str, object] = {"url": f"http://127.0.0.1:{given.get('port', PORT)}/mcp"}
    else:
        found = shutil.which("lmbridge")
        program, arguments = (found, []) if found else (sys.executable, ["-m", "lmbridge"])
        entry = {"command": program, "args": [*arguments, "mcp", *(["--manage"] if manage else [])]}
    render.json({"mcpServers": {"lmbridge": entry}})
