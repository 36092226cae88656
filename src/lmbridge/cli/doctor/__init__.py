"""`lmbridge doctor`: from PATH to a one-token answer, what works and what mends the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, json_option

if TYPE_CHECKING:
    from lmbridge.cli.doctor.checks import Check
    from lmbridge.cli.doctor.examination import Outcome

MARKS = {"ok": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("–", "dim")}  # noqa: RUF001 - a dash, no minus


@click.command(
    "doctor",
    cls=BridgeCommand,
    examples=[
        ("lmbridge doctor", "everything, with what mends it"),
        ("lmbridge doctor qwen/qwen3-8b", "and whether this model would fit"),
        ("lmbridge doctor --json | jq '.checks[] | select(.state == \"failed\")'", "for programs"),
    ],
)
@click.argument("model", required=False, default="")
@json_option
@click.pass_context
def command(ctx: click.Context, model: str, as_json: bool) -> None:
    """Try everything out, from the settings to a one-token answer, and tell what mends what fails.

    With MODEL also whether this one would fit into memory. Nothing is started, downloaded or changed, and
    LM Studio is made to load nothing. Ends with 0 if something here can answer and MODEL would fit.
    """
    from lmbridge.cli import ending
    from lmbridge.cli.doctor.examination import examine

    outcome = ending.run(examine(model, _nothing if as_json else _Table().tell))
    if as_json:
        render.json(outcome.told())
    else:
        _conclude(outcome)
    ctx.exit(outcome.exit_code)


def _nothing(check: Check) -> None:
    """Keep quiet: the whole is printed in the end."""


class _Table:
    """The checks as they come, each part named once."""

    def __init__(self) -> None:
        self._part = ""

    def tell(self, check: Check) -> None:
        """A line for what was found, and one for what mends it."""
        mark, colour = MARKS[check.state]
        part = check.part if check.part != self._part else ""
        self._part = check.part
        painted = f"{render.paint(f'{part:<16}', 'bold')}{render.paint(mark, colour)} {check.name:<11}"
        detail = render.printable(check.detail)
        render.sentence(painted + (render.paint(detail, "dim") if check.state == "skipped" else detail), 29)
        if check.state == "failed" and (said := _mends(check)):
            render.sentence(f"{'':<18}{render.paint(f'→ {render.printable(said)}', 'cyan')}", 20)


def _mends(check: Check) -> str:
    """The command and what else is to be known; the command alone where the rest names it anyway."""
    if not check.hint or check.command in check.hint:
        return check.hint or check.command
    return f"`{check.command}`. {check.hint}"


def _conclude(outcome: Outcome) -> None:
    render.line()
    if not outcome.answers:
        render.line("Nothing here can answer yet.")
        return
    failed = sum(check.state == "failed" for check in outcome.checks)
    rest = f"; {failed} check{'s' if failed != 1 else ''} failed" if failed else ", and nothing is amiss"
    render.line(f"These can answer: {', '.join(outcome.answers)}{rest}.")
