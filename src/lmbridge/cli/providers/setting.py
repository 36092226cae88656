"""`lmbridge providers show | set | unset`: the settings of a provider or an extension."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, json_option
from lmbridge.cli.providers.changing import changed

if TYPE_CHECKING:
    from lmbridge.core.provider import Setting
    from lmbridge.registry.choosing import Target

READ = "-"
"""In place of a value: it is on standard input."""


@click.command(
    "show",
    cls=BridgeCommand,
    examples=[
        ("lmbridge providers show lmstudio", "its settings, and what each is for"),
        ("lmbridge providers show ollama --json", "for programs, or to draw a form from"),
    ],
)
@click.argument("id")
@json_option
def show(id: str, as_json: bool) -> None:
    """Show the settings of the provider or extension ID with their values. Secrets are never shown."""
    from lmbridge.cli.providers.sights import opened

    registry, chooser = opened()
    targets = chooser.targets(id)
    entry = registry.entry(id)
    manifest = (entry.manifest if entry else None) or registry.extensions.manifests.get(id)
    extension = next((each for each in registry.extensions.states if each.id == id), None)
    state, reason = (entry.state, entry.reason) if entry else ("extension", extension.reason if extension else "")
    if as_json:
        facts = {"display_name": manifest.display_name, "description": manifest.description} if manifest else {}
        rows = [_told(target, setting) for target in targets for setting in target.settings]
        render.json({"id": id, **facts, "state": state, "reason": reason, "settings": rows})
        return
    if manifest:
        render.sentence(f"{render.paint(manifest.display_name, 'bold')}: {render.printable(manifest.description)}")
    if reason:
        render.note(render.printable(f"It failed: {reason}."), "red")
    if not targets:
        render.note("Its settings are not known: `lmbridge providers list` tells its state.", "dim")
    for target in targets:
        render.line()
        render.line(render.paint(target.where, "dim"))
        for setting in target.settings:
            _field(target, setting)


def _field(target: Target, setting: Setting) -> None:
    shown = render.printable(_value(target, setting))
    painted = shown if setting.name in target.values else render.paint(shown, "dim")
    render.sentence(f"  {setting.name:<20} {painted}", 23)
    kind = "" if setting.type == "string" else f" ({setting.type})"
    render.sentence(render.paint(f"  {'':<20} {render.printable(setting.description)}{kind}", "dim"), 23)


def _value(target: Target, setting: Setting) -> str:
    if setting.type == "secret":
        return "set" if target.values.get(setting.name) else "not set"
    value = target.values.get(setting.name, setting.default)
    if value is None or value == "" or value == ():
        return "not set"
    return _shown(value)


def _told(target: Target, setting: Setting) -> dict[str, object]:
    """A field of the form, for programs."""
    facts: dict[str, object] = {
        "table": ".".join(target.path),
        "name": setting.name,
        "type": setting.type,
        "description": setting.description,
        "set": setting.name in target.values,
    }
    if setting.type == "secret":
        return facts
    return {**facts, "default": setting.default, "value": target.values.get(setting.name, setting.default)}


@click.command(
    "set",
    cls=BridgeCommand,
    examples=[
        ("lmbridge providers set lmstudio autostart=true", "a setting"),
        ("lmbridge providers set ollama url=http://gpu:11434 fast=qwen3:4b", "or several"),
        ("lmbridge providers set openai key -", "a secret: asked for, or read from a pipe"),
        ("pass show openai | lmbridge providers set openai key -", "so that it is in no list of processes"),
    ],
)
@click.argument("id")
@click.argument("assignments", nargs=-1, required=True, metavar="NAME=VALUE...")
@json_option
def set_(id: str, assignments: tuple[str, ...], as_json: bool) -> None:
    """Give settings of the provider or extension ID a value; `NAME -` reads it from standard input.

    A secret goes to the system's keyring where there is one (`pip install 'lmbridge[keyring]'`), else into a file
    that only you can read. It cannot be given on the command line, which other users see in the list of processes.
    """
    from lmbridge.cli.providers.sights import opened

    _, chooser = opened()
    pairs = _pairs(assignments)
    kinds = {name: chooser.find(id, name)[1].type for name, _ in pairs}
    if sum(text == READ for _, text in pairs) > 1:
        raise click.UsageError("Only one value can be read from standard input.")
    for name, text in pairs:
        if kinds[name] == "secret" and text != READ:
            raise click.UsageError(
                f"{name} is a secret, which other users would see in the list of processes. "
                f"Give it on standard input: lmbridge providers set {id} {name} -"
            )
    read = [(name, _read(name, secret=kinds[name] == "secret") if text == READ else text) for name, text in pairs]
    for name, text in read:  # all of them, before one is written
        chooser.check_value(id, name, text)
    done: dict[str, object] = {}
    for name, text in read:
        given = chooser.set_value(id, name, text)
        done[name] = {"kept_in": given} if kinds[name] == "secret" else given
    secret = [name for name in done if kinds[name] == "secret"]
    told = [f"{name} is in the {_place(done[name])}" for name in secret]
    told += [f"{name} is {_shown(value)}" for name, value in done.items() if name not in secret]
    changed(as_json, f"{id}: {', '.join(told)}.", id=id, settings=done)
    _warn_of_others(id, {name: value for name, value in done.items() if name not in secret})


def _pairs(assignments: tuple[str, ...]) -> list[tuple[str, str]]:
    """Names and values; `-` stands for a value that is read."""
    pairs: list[tuple[str, str]] = []
    waiting = list(assignments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if not equals and waiting and waiting[0] == READ:
            value = waiting.pop(0)
        elif not equals:
            raise click.UsageError(f"{word!r} has no value: write {word}=VALUE, or {word} - to read it.")
        pairs.append((name, value))
    return pairs


def _read(name: str, *, secret: bool) -> str:
    """A value from standard input: asked for on a terminal, else all of it without the last line feed."""
    if sys.stdin is not None and sys.stdin.isatty():
        text: str = click.prompt(name, hide_input=secret, err=True)
        return text
    text = sys.stdin.read() if sys.stdin is not None else ""
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise click.UsageError(f"There is nothing on standard input to be {name}.")
    return text


def _place(kept: object) -> str:
    where = kept.get("kept_in") if isinstance(kept, dict) else ""
    return "system's keyring" if where == "keyring" else "file secrets.json, which only you can read"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else f"{value}"


def _warn_of_others(id: str, done: dict[str, object]) -> None:
    """Tell where lmbridge.toml or the environment say something else, as they go first."""
    from lmbridge.cli.providers.sights import opened

    _, chooser = opened()
    for name, value in done.items():
        target, _ = chooser.find(id, name)
        real = target.values.get(name)
        if (tuple(real) if isinstance(real, list) else real) != value:
            render.note(f"But lmbridge.toml or the environment sets {name} of {id}, which goes first.", "yellow")


@click.command(
    "unset",
    cls=BridgeCommand,
    examples=[("lmbridge providers unset lmstudio autostart", "its default again")],
)
@click.argument("id")
@click.argument("names", nargs=-1, required=True)
@json_option
def unset(id: str, names: tuple[str, ...], as_json: bool) -> None:
    """Let settings of the provider or extension ID have their defaults again; a secret is forgotten."""
    from lmbridge.cli.providers.sights import opened

    for name in names:
        opened()[1].unset_value(id, name)
    changed(as_json, f"{', '.join(names)} of {id}: not set any more.", id=id, unset=list(names))
