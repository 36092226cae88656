"""`lmbridge keys create | list | revoke`: API keys for programs that use the gateway."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, BridgeGroup, json_option
from lmbridge.cli.moments import Moment

if TYPE_CHECKING:
    from lmbridge.hub.keys import KeyInfo, KeyRing, Scope


@click.group(
    "keys",
    cls=BridgeGroup,
    examples=[
        ("lmbridge keys create laptop", "the key is shown once"),
        ("lmbridge keys create web --scope infer --expires 30d", "for asking alone, and for a month"),
        ("lmbridge keys list", "names, and when each was last used"),
        ("lmbridge keys revoke laptop", "of no use from now on"),
    ],
)
def command() -> None:
    """Make and revoke API keys. A gateway that is started while there is one asks every program for one."""


@command.command(
    "create",
    cls=BridgeCommand,
    examples=[
        ("lmbridge keys create laptop", "good for everything, until it is revoked"),
        ("lmbridge keys create web --scope infer --expires 30d", "for asking models alone, and for a month"),
        ("lmbridge keys create app --lmstudio-form", "for a client that takes LM Studio's tokens only"),
        ("KEY=$(lmbridge keys create ci)", "keep it: it cannot be shown again"),
    ],
)
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["infer", "models", "admin"]),
    help="What it is good for: asking models; loading, unloading and downloading them; status, metrics, log. "
    "May be repeated.  [default: all]",
)
@click.option(
    "--expires",
    type=Moment(ahead=True),
    metavar="WHEN",
    help="When it ends: after a span such as 12h or 30d, or on a day such as 2027-01-01.  [default: never]",
)
@click.option("--lmstudio-form", is_flag=True, help="Write it as LM Studio writes its tokens: sk-lm-…:….")
@json_option
def create(
    name: str, scopes: tuple[Scope, ...], expires: float | None, lmstudio_form: bool, as_json: bool
) -> None:
    """Make a key called NAME and show it, once: only its hash is kept."""
    from lmbridge.hub.keys import SCOPES

    scopes = scopes or SCOPES
    key = _ring().create(name, scopes=scopes, expires=expires or 0.0, lmstudio_form=lmstudio_form)
    if as_json:
        render.json({"name": name, "key": key, "scopes": sorted(set(scopes)), "expires": expires})
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
    """List the keys: what each is good for, until when, and its last use."""
    import msgspec

    keys, now = _ring().list(), time.time()
    if as_json:
        render.json({"keys": [{**msgspec.structs.asdict(key), "expired": key.expired(now)} for key in keys]})
        return
    if not keys:
        render.line("There are no keys. `lmbridge keys create NAME` makes one.")
        return
    rows = [
        (key.id, key.name, ", ".join(key.scopes), _end(key, now), _date(key.created), _date(key.last_used))
        for key in keys
    ]
    render.table(("ID", "NAME", "GOOD FOR", "EXPIRES", "MADE", "LAST USED"), rows, spare=("MADE",))
    if any(key.expired(now) for key in keys):
        render.note("Keys that are expired open nothing; `lmbridge keys revoke NAME` removes one.", "dim")


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


def _end(key: KeyInfo, now: float) -> str:
    if not key.expires:
        return "never"
    return f"expired {_date(key.expires)}" if key.expired(now) else _date(key.expires)
