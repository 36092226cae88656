"""`lmbridge keys create | list | revoke`: API keys for programs that use the gateway."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, BridgeGroup, json_option

if TYPE_CHECKING:
    from lmbridge.hub.keys import KeyRing


@click.group(
    "keys",
    cls=BridgeGroup,
    examples=[
        ("lmbridge keys create laptop", "the key is shown once"),
        ("lmbridge keys list", "names, and when each was last used"),
        ("lmbridge keys revoke laptop", "of no use from now on"),
    ],
)
def command() -> None:
    """Make and revoke API keys. As soon as there is one, the gateway asks every program for one."""


@command.command(
    "create",
    cls=BridgeCommand,
    examples=[
        ("lmbridge keys create laptop", "show it"),
        ("KEY=$(lmbridge keys create ci)", "keep it: it cannot be shown again"),
    ],
)
@click.argument("name")
@json_option
def create(name: str, as_json: bool) -> None:
    """Make a key called NAME and show it, once: only its hash is kept."""
    key = _ring().create(name)
    if as_json:
        render.json({"name": name, "key": key})
        return
    render.line(key)
    if render.is_terminal(sys.stderr):
        render.note(
            "Keep it now, it cannot be shown again. Programs send it as `Authorization: Bearer KEY`.", "dim"
        )
        render.note(
            "A gateway that runs already must be started again to ask for keys if this is the first.", "dim"
        )


@command.command("list", cls=BridgeCommand, examples=[("lmbridge keys list", "names and dates, never the keys")])
@json_option
def list_keys(as_json: bool) -> None:
    """List the keys: id, name, when it was made and last used."""
    import msgspec

    keys = _ring().list()
    if as_json:
        render.json({"keys": [msgspec.structs.asdict(key) for key in keys]})
        return
    if not keys:
        render.line("There are no keys. `lmbridge keys create NAME` makes one.")
        return
    rows = [(key.id, key.name, _date(key.created), _date(key.last_used)) for key in keys]
    render.table(("ID", "NAME", "MADE", "LAST USED"), rows)


@command.command(
    "revoke",
    cls=BridgeCommand,
    examples=[("lmbridge keys revoke laptop", "by name"), ("lmbridge keys revoke 3f9a01bc", "by id")],
)
@click.argument("name")
@json_option
def revoke(name: str, as_json: bool) -> None:
    """Make a key useless, by its NAME or id. A gateway that runs refuses it from then on."""
    gone = _ring().revoke(name)
    if as_json:
        render.json({"revoked": {"id": gone.id, "name": gone.name}})
    else:
        render.line(f"The key {gone.name!r} is revoked.")


def _ring() -> KeyRing:
    from lmbridge.hub.keys import KeyRing
    from lmbridge.machine.home import home, keys_file

    return KeyRing(keys_file(home()))


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "never"
