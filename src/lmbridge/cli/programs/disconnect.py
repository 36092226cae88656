"""`lmbridge disconnect`: take back what `lmbridge connect` wrote."""

from __future__ import annotations

import click

from lmbridge.cli.command import BridgeCommand, json_option


@click.command(
    "disconnect",
    cls=BridgeCommand,
    examples=[
        ("lmbridge disconnect codex", "show the change, ask, write"),
        ("lmbridge disconnect codex --yes", "unasked"),
        ("lmbridge disconnect zed --dry-run", "only look"),
    ],
)
@click.argument("program")
@click.option("--file", metavar="PATH", default="", help="The file that was named to `lmbridge connect`.")
@click.option("--force", is_flag=True, help="Take away settings of lmbridge that somebody has changed since, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the change, and do nothing.")
@json_option
def command(program: str, file: str, force: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Take out of a PROGRAM's settings what lmbridge wrote there, and nothing else.

    The file becomes what it was, byte for byte, if nobody has written to it since. Otherwise only what is
    lmbridge's goes; if that was changed, nothing does, and what differs is told. A key that was made for the
    program is revoked.
    """
    from lmbridge.cli.programs import disconnecting

    disconnecting.disconnect(program, file, force=force, yes=yes, dry_run=dry_run, as_json=as_json)
