"""`lmbridge providers enable | disable | set-default | order`: which are used, and which comes first."""

from __future__ import annotations

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, json_option


def changed(as_json: bool, sentence: str, **facts: object) -> None:
    """Tell what was changed, and whether a gateway that runs goes on with what was."""
    from lmbridge.machine.gateway_file import running
    from lmbridge.machine.home import home

    found = running(home())
    if as_json:
        render.json({**facts, "restart_gateway": found is not None})
        return
    render.sentence(render.printable(sentence))
    if found is not None:
        hint = "`lmbridge gateway stop` and `lmbridge gateway start` make it begin anew."
        render.note(f"The gateway at {found.url} goes on with what it began with. {hint}", "yellow")


@click.command(
    "enable",
    cls=BridgeCommand,
    examples=[("lmbridge providers enable lmstudio", "use it again")],
)
@click.argument("id")
@json_option
def enable(id: str, as_json: bool) -> None:
    """Use the provider or extension ID again."""
    from lmbridge.cli.providers.sights import opened

    _, chooser = opened()
    chooser.enable(id)
    changed(as_json, f"{id} is used from now on.", enabled=id)


@click.command(
    "disable",
    cls=BridgeCommand,
    examples=[("lmbridge providers disable lmstudio", "neither asked nor listed, until it is enabled")],
)
@click.argument("id")
@json_option
def disable(id: str, as_json: bool) -> None:
    """Use the provider or extension ID no more. If it was the default, the next in the order becomes that."""
    from lmbridge.cli.providers.sights import opened

    registry, chooser = opened()
    before = registry.default
    default = chooser.disable(id)
    told = f" The default is {default} now." if before and default != before else ""
    changed(as_json, f"{id} is used no more.{told}", disabled=id, default=default)


@click.command(
    "set-default",
    cls=BridgeCommand,
    examples=[
        ("lmbridge providers set-default ollama", "it answers who names no model"),
        ("lmbridge providers set-default --none", "let lmbridge choose again"),
    ],
)
@click.argument("id", required=False, default="")
@click.option("--none", "nobody", is_flag=True, help="Have no default: lmbridge chooses.")
@json_option
def set_default(id: str, nobody: bool, as_json: bool) -> None:
    """Let the provider ID answer who names no model, from now on and in every program."""
    from lmbridge.cli.providers.sights import opened
    from lmbridge.config import load_config

    if bool(id) == nobody:
        raise click.UsageError("Name a provider, or give --none.")
    _, chooser = opened()
    chooser.set_default(id)
    model = load_config().model
    said = f"{id} answers who names no model." if id else "No provider is the default; lmbridge chooses."
    if model and id:
        said = f"{said} But the setting `model` names {model!r}, which goes first."
    changed(as_json, said, default=id)


@click.command(
    "order",
    cls=BridgeCommand,
    examples=[
        ("lmbridge providers order embedded lmstudio", "these first, the others after them"),
        ("lmbridge providers order --reset", "the usual order"),
    ],
)
@click.argument("ids", nargs=-1)
@click.option("--reset", is_flag=True, help="Put back the usual order.")
@json_option
def order(ids: tuple[str, ...], reset: bool, as_json: bool) -> None:
    """Let the providers IDS come first, in this order: it decides where a name fits models of several."""
    from lmbridge.cli.providers.sights import opened

    if bool(ids) == reset:
        raise click.UsageError("Name the providers that come first, or give --reset.")
    _, chooser = opened()
    chooser.order(ids)
    said = f"{', '.join(ids)} come{'s' if len(ids) == 1 else ''} first." if ids else "The order is the usual one."
    changed(as_json, said, order=list(ids))
