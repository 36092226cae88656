"""`lmbridge completion`: the script that makes a shell complete commands with the Tab key."""

from __future__ import annotations

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand


@click.command(
    "completion",
    cls=BridgeCommand,
    examples=[
        ('eval "$(lmbridge completion bash)"', "bash, in ~/.bashrc"),
        ('eval "$(lmbridge completion zsh)"', "zsh, in ~/.zshrc"),
        ("lmbridge completion fish | source", "fish, in ~/.config/fish/config.fish"),
    ],
)
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what SHELL (bash, zsh or fish) must run to complete commands and options of lmbridge."""
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None  # noqa: S101 - click has all three
    render.line(script(ctx.find_root().command, {}, "lmbridge", "_LMBRIDGE_COMPLETE").source())
