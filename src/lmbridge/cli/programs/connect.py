"""`lmbridge connect`: tell another program of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmbridge.cli.command import BridgeCommand, json_option

if TYPE_CHECKING:
    from lmbridge.machine.programs.program import Use


@click.command(
    "connect",
    cls=BridgeCommand,
    examples=[
        ("lmbridge connect", "which programs there are"),
        ("lmbridge connect codex", "show the change, ask, write"),
        ("lmbridge connect claude-code --model qwen3-8b", "with a model of your choice"),
        ("lmbridge connect zed --only tools --yes", "its MCP server alone, unasked"),
        ("lmbridge connect continue --key laptop", "with a key made for it"),
        ('eval "$(lmbridge connect shell)"', "for OpenAI's, Anthropic's and Ollama's packages, here"),
        ("lmbridge connect shell --write", "in every new terminal"),
        ("lmbridge connect cursor --dry-run", "only look"),
    ],
)
@click.argument("program", required=False)
@click.option("--url", metavar="URL", default="", help="Of the gateway.  [default: the one of yours that runs]")
@click.option("--model", metavar="NAME", default="", help="The model to name.  [default: the gateway's choice]")
@click.option(
    "--key",
    metavar="NAME",
    default="",
    help="Make a key of this name, for asking alone, if the gateway wants one; - reads one from standard input.",
)
@click.option("--only", type=click.Choice(["models", "tools"]), help="Leave out the other.")
@click.option("--file", metavar="PATH", default="", help="Write this file instead of the program's usual one.")
@click.option("--write", is_flag=True, help="For shell: add the variables to its profile.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the change, and do nothing.")
@click.option("--no-check", is_flag=True, help="Do not try out what is written.")
@json_option
def command(
    program: str | None,
    url: str,
    model: str,
    key: str,
    only: Use | None,
    file: str,
    write: bool,
    yes: bool,
    dry_run: bool,
    no_check: bool,
    as_json: bool,
) -> None:
    """Write the settings of another PROGRAM, so that it uses the models of this computer.

    The change is shown before anything is written, a copy of the file is kept beside it, and `lmbridge disconnect
    PROGRAM` takes exactly that back. Without PROGRAM, all are listed.
    """
    from lmbridge.cli.programs import connecting, listing

    if program is None:
        listing.show(as_json=as_json)
        return
    wishes = connecting.Wishes(url, model, key, only, file, write, yes, dry_run, not no_check, as_json)
    connecting.connect(program, wishes)
