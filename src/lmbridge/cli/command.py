"""What all commands share: how their help looks, and options that mean the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

BESIDE = 46
"""Longest example that has its remark beside it."""

UNCUT = 1000
"""More letters than the first sentence of any help has: it is never cut off."""

Example = tuple[str, str]
"""A command line, and what it does."""


class BridgeCommand(click.Command):
    """A command whose help ends with examples.

    Args:
        examples: shown one below the other, what each does beside it.
    """

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(formatter, self.examples)


class BridgeGroup(click.Group):
    """A group of commands, such as `lmbridge keys`; its help ends with examples too.

    Its commands are listed in the order in which they were added: what one needs first comes first.
    """

    command_class = BridgeCommand

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the help."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each with the first sentence of its help, all of it."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, each.get_short_help_str(UNCUT)) for name, each in found if each is not None]
            )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(formatter, self.examples)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[Example]) -> None:
    """Write the section `Examples`: lines as one types them, remarks beside them if there is room, else below."""
    if not examples:
        return
    short = [line for line, _ in examples if len(line) <= BESIDE]
    column = max(map(len, short), default=0) + 2
    beside = bool(short) and 2 + column + max(len(remark) for _, remark in examples) <= formatter.width
    with formatter.section("Examples"):
        for line, remark in examples:
            if beside and len(line) <= BESIDE:
                formatter.write(f"  {line:<{column}}{remark}\n")
            else:
                formatter.write(f"  {line}\n  {'':<{column if beside else 4}}{remark}\n")


def model_name(
    ctx: click.Context, param: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """Callback for models' names: the path of a file is made absolute, as a gateway has another folder than we.

    Raises:
        ModelNotFound: what can only be a path leads to no file.
    """
    if isinstance(value, str):
        return _absolute(value)
    return tuple(map(_absolute, value)) if isinstance(value, tuple) else value


def _absolute(name: str) -> str:
    path = os.path.expanduser(name)
    if path.lower().endswith(".gguf") and os.path.isfile(path):
        return os.path.abspath(path)
    if name.startswith((".", "~")) or os.path.isabs(path):
        _refuse_if_missing(name, path)
        return os.path.abspath(path)
    return name


def _refuse_if_missing(name: str, path: str) -> None:
    from lmbridge.core.errors import BridgeError, error_from_code

    said = (
        "is a folder, not a GGUF file" if os.path.isdir(path) else "" if os.path.exists(path) else "is not there"
    )
    if said:
        hint = "Name a GGUF file by its path, or a model as `lmbridge ls` shows it."
        raise error_from_code("model_not_found", f"{name} {said}.", hint, "model") or BridgeError(name)


def listening_options(function: F) -> F:
    """What a gateway is started with: the parameters `host`, `port`, `cors`, `require_key`, `as_lmstudio`,
    `lmstudio_quirks` and `models`."""
    for option in reversed(
        (
            click.option(
                "--host",
                metavar="ADDRESS",
                help="Address to listen on; wider than loopback needs a key.  [default: 127.0.0.1]",
            ),
            click.option(
                "--port", metavar="N", type=click.IntRange(0, 65535), help="0 takes a free one.  [default: 1235]"
            ),
            click.option(
                "--cors", multiple=True, metavar="ORIGIN", help="Web page that may ask. May be repeated."
            ),
            click.option("--require-key", is_flag=True, help="Ask for a key on this machine too."),
            click.option(
                "--stand-in",
                "as_lmstudio",
                is_flag=True,
                help="Listen where LM Studio does, too (port 1234), if it is free.",
            ),
            click.option(
                "--lmstudio-quirks", is_flag=True, help="Answer as LM Studio does where that is a trap, too."
            ),
            click.option(
                "--model",
                "models",
                multiple=True,
                callback=model_name,
                metavar="NAME",
                help="Load this at once. May be repeated.",
            ),
        )
    ):
        function = option(function)
    return function


def json_option(function: F) -> F:
    """`--json`: the parameter `as_json`. Errors are then one JSON object on standard output as well."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, errors included.")(function)


def gateway_option(function: F) -> F:
    """`--gateway/--no-gateway`: the parameter `gateway`, None when neither was given."""
    return click.option(
        "--gateway/--no-gateway",
        default=None,
        help="Insist on a running gateway, or do without one.  [default: use it if it runs]",
    )(function)
