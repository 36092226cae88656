"""`lmbridge presets`: models with their options and instructions, under names."""

from __future__ import annotations

import sys

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, BridgeGroup, json_option

READ = "-"
"""In place of a value: it is on standard input."""


@click.group(
    "presets",
    cls=BridgeGroup,
    examples=[
        ("lmbridge presets create warm temperature=0.9", "one more"),
        ("lmbridge chat --preset warm", "and use it"),
        ("lmbridge presets list", "which there are"),
    ],
)
def command() -> None:
    """Presets: a model, how it is loaded and asked, and what it is told, under one name.

    Each is a TOML file in the folder `presets` of lmbridge's own, to be written by hand as well. Arguments go
    first, then the preset, then the settings.
    """


@command.command("list", cls=BridgeCommand, examples=[("lmbridge presets list --json", "for programs")])
@json_option
def list_(as_json: bool) -> None:
    """List the presets, those whose file cannot be used too."""
    import msgspec

    from lmbridge.machine.home import home, presets_folder
    from lmbridge.machine.presets import list_presets

    found = list_presets(home())
    if as_json:
        render.json({"presets": [msgspec.to_builtins(each) for each in found]})
        return
    rows = [
        (each.name, each.preset.model, each.preset.description) if each.preset else (each.name, "", each.problem)
        for each in found
    ]
    if rows:
        render.table(("PRESET", "MODEL", "DESCRIPTION"), rows)
    else:
        render.line(f"There are none in {presets_folder(home())}. `lmbridge presets create NAME` makes one.")


@command.command("show", cls=BridgeCommand, examples=[("lmbridge presets show writer", "as TOML")])
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show the preset NAME."""
    import msgspec

    from lmbridge.machine.home import home
    from lmbridge.machine.presets import encode_preset, load_preset

    preset = load_preset(home(), name)
    if as_json:
        render.json({"name": name, **msgspec.to_builtins(preset)})
    else:
        render.line(render.printable(encode_preset(preset).rstrip()))


@command.command(
    "create",
    cls=BridgeCommand,
    examples=[
        ("lmbridge presets create long model=qwen3-8b context_length=32768", "load options"),
        ("lmbridge presets create exact temperature=0 seed=1", "sampling: always the same"),
        ("lmbridge presets create reviewer system=- < reviewer.md", "instructions from a file"),
    ],
)
@click.argument("name")
@click.argument("assignments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--replace", is_flag=True, help="Write over one that there is.")
@json_option
def create(name: str, assignments: tuple[str, ...], replace: bool, as_json: bool) -> None:
    """Write the preset NAME. KEY is model, system, description, a load option or a way of sampling.

    `KEY=-` reads the value from standard input.
    """
    from lmbridge.machine.home import home
    from lmbridge.machine.presets import preset_of, write_preset

    values: dict[str, str] = {}
    for word in assignments:
        key, equals, value = word.partition("=")
        if not equals:
            raise click.UsageError(f"{word!r} has no value: write {word}=VALUE.")
        values[key] = sys.stdin.read().rstrip("\n") if value == READ and sys.stdin is not None else value
    file = write_preset(home(), name, preset_of(values), replaces=replace)
    if as_json:
        render.json({"name": name, "file": str(file)})
    else:
        render.line(f"{name} is written to {file}. `lmbridge chat --preset {name}` uses it.")


@command.command("delete", cls=BridgeCommand, examples=[("lmbridge presets delete writer", "its file goes")])
@click.argument("name")
@json_option
def delete(name: str, as_json: bool) -> None:
    """Delete the preset NAME."""
    from lmbridge.machine.home import home
    from lmbridge.machine.presets import delete_preset

    delete_preset(home(), name)
    if as_json:
        render.json({"deleted": name})
    else:
        render.line(f"The preset {name} is gone.")
