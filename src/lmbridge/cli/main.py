"""The command `lmbridge`: which commands there are, and how every one of them ends.

Commands load when they are named, so that `lmbridge --version` imports click and nothing else.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from types import MappingProxyType
from typing import NoReturn

import click

from lmbridge.cli.command import BridgeGroup
from lmbridge.version import __version__

SECTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "Talk": {
            "chat": "Talk with a model, or ask it one thing.",
            "demo": "Show that everything works, with one short answer.",
        },
        "Models": {
            "ls": "List the models of this machine.",
            "ps": "List the models in memory.",
            "get": "Download a model.",
            "load": "Load a model into memory.",
            "unload": "Give a model's memory back.",
            "presets": "Models with their options and instructions, under names.",
        },
        "Gateway": {
            "serve": "Run the gateway: the APIs of OpenAI, Anthropic, Ollama, LM Studio.",
            "gateway": "Run the gateway in the background.",
            "mcp": "Serve the models to MCP hosts: programs whose model uses tools.",
            "keys": "API keys for programs that use the gateway.",
            "stored": "The answers that the gateway stores for its callers.",
            "log": "What the gateway answered, for whom and how fast.",
            "usage": "What models were used for: calls, tokens and times, added up.",
        },
        "Other programs": {
            "connect": "Write another program's settings, so that it uses the models here.",
            "disconnect": "Take back what was written there.",
        },
        "This installation": {
            "status": "What works here and what does not.",
            "doctor": "Try everything out, and tell what mends the rest.",
            "providers": "Where models run: which are there, which are used, their settings.",
            "lmstudio": "LM Studio itself: find it, start it, stop it.",
            "completion": "Complete commands with the Tab key in your shell.",
        },
    }
)
"""Section of the help, command, its short help. The command NAME is `command` in `lmbridge.cli.NAME`."""

ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {"connect": "programs.connect", "disconnect": "programs.disconnect"}
)
"""Commands whose module has another name than they have: that of `connect` holds how commands get their hub."""


SPARE: Mapping[str, str] = MappingProxyType(
    {"✓": "+", "✗": "x", "–": "-", "●": "*", "○": "o", "…": "...", "→": "->", "←": "<-", "━": "=", "·": "."}  # noqa: RUF001 - a dash, no minus
    | dict.fromkeys("█▉▊▋▌", "#")
    | dict.fromkeys("▍▎▏", ".")
)
"""What stands for our own symbols where the terminal's encoding lacks them; they must not all become a `?`."""


class ReaderGone(Exception):
    """Whoever read our output has enough (`| head`)."""


class Commands(BridgeGroup):
    """The commands, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(f"lmbridge.cli.{ELSEWHERE.get(cmd_name, cmd_name)}").command
        assert isinstance(command, click.Command)  # noqa: S101 - tells mypy; a test imports every command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was named; one that does not exist is told with the nearest that do."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # click knows only of commands that are imported already.
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error  # click would make exit code 1 of the other

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them by section, without importing any."""
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl(list(commands.items()))


@click.command(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    examples=[
        ("lmbridge chat", "talk with the default model"),
        ('lmbridge chat -p "What is lmbridge?"', "one answer"),
        ('cat notes.txt | lmbridge chat -p "Summarise"', "about a text"),
        ("lmbridge serve", "the gateway, on http://127.0.0.1:1235"),
    ],
)
@click.version_option(__version__, "-V", "--version", message="lmbridge %(version)s")
@click.pass_context
def lmbridge(ctx: click.Context) -> None:
    """The models on your own computer, usable from everywhere."""
    if ctx.invoked_subcommand is None:
        from lmbridge.cli import render

        render.line(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with the exit code of `exits.EXITS`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _open_what_is_closed()
    codecs.register_error("spare", _spare)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A character that the terminal's encoding lacks must not end an answer halfway.
            stream.reconfigure(errors="spare")
    try:
        code = _flushed(_run(list(arguments)))
    except (BrokenPipeError, ReaderGone):
        code = _reader_gone()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _open_what_is_closed() -> None:
    """Give standard output and error somewhere to go where the caller closed them (`>&-`).

    Python has None in their place then, and the next file opened would get their number.
    """
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_WRONLY)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, open(descriptor, "w", encoding="utf-8"))  # noqa: SIM115 - open to the end


def _run(arguments: list[str]) -> int:
    """The exit code of one run; every error is reported here."""
    as_json = "--json" in arguments
    try:
        returned = lmbridge.main(arguments, prog_name="lmbridge", standalone_mode=False)
    except click.Abort:  # what click makes of Ctrl-C
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        from lmbridge.cli import render

        return render.usage(error)
    except click.ClickException as error:
        from lmbridge.cli import render

        return render.usage_error(error, as_json=as_json)
    except (BrokenPipeError, ReaderGone):
        raise
    except Exception as error:  # noqa: BLE001 - the one place where everything ends
        from lmbridge.cli import render

        return render.failure(error, as_json=as_json)
    return returned if isinstance(returned, int) else 0


def _spare(error: UnicodeError) -> tuple[str, int]:
    """What is written for characters that cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(SPARE.get(character, "?") for character in error.object[error.start : error.end]), error.end


def _flushed(code: int) -> int:
    """The exit code, once everything is written; that it cannot be is told, unless it was before."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        from lmbridge.cli import render

        code = code or render.failure(error, as_json=False)
        _drop_output()
    return code


def _reader_gone() -> int:
    """The exit code when nobody reads any more; said without a word."""
    _drop_output()
    return 141


def _drop_output() -> None:
    """What is still buffered must not be written at exit, where it would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
