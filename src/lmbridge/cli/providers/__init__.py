"""`lmbridge providers`: which providers and extensions there are, which are used, and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, BridgeGroup, json_option
from lmbridge.cli.providers import changing, servers, setting

if TYPE_CHECKING:
    from lmbridge.cli.providers.sights import Sight
    from lmbridge.core.extension import ExtensionState

MARKS = {
    "ready": ("●", "green"),
    "unavailable": ("○", "dim"),
    "needs_key": ("!", "yellow"),
    "foreign": ("!", "yellow"),
    "disabled": ("–", "dim"),  # noqa: RUF001 - a dash, no minus
    "failed": ("✗", "red"),
}


@click.group(
    "providers",
    cls=BridgeGroup,
    examples=[
        ("lmbridge providers list", "which there are, and whether they answer"),
        ("lmbridge providers add ollama", "Ollama on this machine; vllm, llama.cpp, openai as well"),
        ("lmbridge providers set-default ollama", "who answers when no model is named"),
        ("lmbridge providers set lmstudio fast=qwen/qwen3-4b-2507", "a setting"),
        ("lmbridge providers set openai key -", "a secret, read from standard input"),
    ],
)
def command() -> None:
    """Where models run: which providers and extensions there are, which are used, and their settings.

    What these commands change is kept beside lmbridge.toml, which they never touch, and which goes first.
    """


@command.command(
    "list",
    cls=BridgeCommand,
    examples=[
        ("lmbridge providers list", "all, the disabled and the failed ones too"),
        ("lmbridge providers list --json | jq -r '.providers[].id'", "for programs"),
    ],
)
@json_option
def list_(as_json: bool) -> None:
    """List the providers in the order that counts, and the extensions: whether each is there, or why not."""
    from lmbridge.cli import ending
    from lmbridge.cli.providers.sights import look

    seen, extensions, default = ending.run(look())
    if as_json:
        import msgspec

        render.json(
            {
                "default": default,
                "providers": [sight.told() for sight in seen],
                "extensions": [msgspec.structs.asdict(state) for state in extensions],
            }
        )
        return
    for sight in seen:
        _line(sight)
    if extensions:
        render.line()
    for state in extensions:
        _extension(state)
    if not default:
        render.line()
        render.note(
            "No provider is the default: who names no model gets one in memory, or of a server nearby.", "dim"
        )


def _line(sight: Sight) -> None:
    mark, colour = MARKS[sight.state]
    facts = (
        [f"{len(sight.models)} chat model{'s' if len(sight.models) != 1 else ''}"]
        if sight.state == "ready"
        else []
    )
    facts += [sight.state] if sight.state != "ready" else []
    facts += [name for name, can in (("tools", sight.tools), ("vision", sight.vision)) if can]
    facts += [sight.detail.removesuffix(".")] if sight.detail else []
    name = f"{sight.id} (default)" if sight.default else sight.id
    text = render.printable(", ".join(facts))
    render.sentence(f"{render.paint(mark, colour)} {render.paint(f'{name:<20}', 'bold')} {text}", 23)
    if sight.hint and sight.state != "ready":
        render.sentence(f"{'':<23}{render.paint(render.printable(sight.hint), 'dim')}", 23)


def _extension(state: ExtensionState) -> None:
    mark, colour = {"active": MARKS["ready"]}.get(state.state) or MARKS[state.state]
    gives = f"gives {', '.join(state.providers)}" if state.providers else ""
    facts = [state.state, state.reason or gives or state.description.removesuffix(".")]
    text = render.printable(": ".join(filter(None, facts)))
    painted = f"{render.paint(mark, colour)} {render.paint(f'{state.id:<20}', 'bold')} "
    render.sentence(f"{painted}extension {text}", 23)


command.add_command(setting.show)
command.add_command(changing.enable)
command.add_command(changing.disable)
command.add_command(changing.set_default)
command.add_command(setting.set_)
command.add_command(setting.unset)
command.add_command(changing.order)
command.add_command(servers.add)
command.add_command(servers.remove)
command.add_command(servers.discover)
