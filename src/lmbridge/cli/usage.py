"""`lmbridge usage`: what models were used for, added up, with a small picture of it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, json_option
from lmbridge.cli.moments import Moment
from lmbridge.core.usage import BY, UsageBy, UsageReport, Used

if TYPE_CHECKING:
    from lmbridge.hub.usage import Ledger

T = TypeVar("T")

HOUR_S: Final = 3600.0
USUAL_S: Final[Mapping[UsageBy, float]] = MappingProxyType({"hour": 24 * HOUR_S})
"""Seconds to look back where nobody says how far; of what is not here, `REST_S`."""
REST_S: Final = 30 * 24 * HOUR_S
CELLS: Final = 16
"""Width of the picture."""
EIGHTHS: Final = " ▏▎▍▌▋▊▉"
"""The end of a bar, for each eighth of a cell (Unicode, block elements)."""
HEADER: Final = ("CALLS", "ERRORS", "LEFT", "IN", "CACHED", "OUT", "FIRST", "TOKENS/S", "")
SPARE: Final = ("LEFT", "CACHED", "ERRORS", "FIRST", "")


@click.command(
    "usage",
    cls=BridgeCommand,
    examples=[
        ("lmbridge usage", "the models of the last 30 days, the most used first"),
        ("lmbridge usage --by day --since 7d", "day by day"),
        ("lmbridge usage --by task --model qwen", "what one model was used for"),
        ("lmbridge usage --by caller --since 2026-11-01 --json", "for programs"),
        ("lmbridge usage --clear --yes", "forget all of it, without a question"),
    ],
)
@click.option(
    "--by", type=click.Choice(BY), default="model", show_default=True, metavar="WHAT", help=f"{', '.join(BY)}."
)
@click.option(
    "--since",
    type=Moment(ahead=False),
    metavar="WHEN",
    help="A span such as 15m or 7d, or a day such as 2026-11-27.  [default: 30d; 24h by hour]",
)
@click.option("--until", type=Moment(ahead=False), metavar="WHEN", help="Nothing that came later.")
@click.option("--model", metavar="NAME", default="", help="Only models whose name contains this.")
@click.option("--clear", is_flag=True, help="Forget all of it.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before that.")
@json_option
def command(
    by: UsageBy, since: float | None, until: float | None, model: str, clear: bool, yes: bool, as_json: bool
) -> None:
    """Show what models were used for: calls, tokens in and out, errors, time to the first word, speed of writing.

    Counted are the gateway's callers and every program of this user that asks models through lmbridge. There is
    not a word of prompts and answers in this ledger. What a call is for is said by the program, or by the header
    `x-lmbridge-task`.
    """
    if clear:
        _clear(yes=yes, as_json=as_json)
        return
    since = time.time() - USUAL_S.get(by, REST_S) if since is None else since
    if until is not None and until <= since:
        raise click.UsageError("--until must be after --since, which is 30d ago (24h by hour) if it is left out.")
    report = _use(lambda ledger: ledger.report(by, since=since, until=until, model=model))
    if as_json:
        render.json(report)
    elif not report.rows:
        _nothing()
    else:
        _show(report)


def _clear(*, yes: bool, as_json: bool) -> None:
    if not yes and not render.confirmed("All that is known of past usage will be deleted. Go on?"):
        render.line("Nothing was deleted.")
        return
    gone = _use(lambda ledger: ledger.clear())
    if as_json:
        render.json({"deleted": gone})
    else:
        render.line(f"{'One call is' if gone == 1 else f'{gone:,} calls are'} forgotten.")


def _use(work: Callable[[Ledger], Awaitable[T]]) -> T:
    """Do something with the ledger of this user: its file, which a gateway may be writing meanwhile."""
    from lmbridge.assembly import ledger
    from lmbridge.config import load_config

    async def use() -> T:
        mine = ledger(load_config())
        try:
            return await work(mine)
        finally:
            await mine.aclose()

    return asyncio.run(use())


def _nothing() -> None:
    from lmbridge.config import load_config

    if not load_config().usage_days:
        render.note("Usage is not written down: `usage_days = 0` in the settings.")
    else:
        render.note("No model was used in that time. `lmbridge chat` uses one.")


def _show(report: UsageReport) -> None:
    """The table, with a bar for the tokens of each row; for what uses none, of its calls."""
    most = max(map(_weight(report), report.rows))
    drawn = render.is_terminal(sys.stdout) and len(report.rows) > 1
    rows = [
        (row.name or "–", *_figures(row), bar(_weight(report)(row) / most) if drawn else "")  # noqa: RUF001 - a dash
        for row in report.rows
    ]
    if len(rows) > 1:
        rows.append(("total", *_figures(report.total), ""))
    render.table((report.by.upper(), *HEADER), rows, right=HEADER[:-1], spare=SPARE)


def _weight(report: UsageReport) -> Callable[[Used], int]:
    return (lambda row: row.tokens) if report.total.tokens else (lambda row: row.calls)


def _figures(used: Used) -> tuple[str, ...]:
    return (
        f"{used.calls:,}",
        f"{used.errors:,}" if used.errors else "",
        f"{used.cancelled:,}" if used.cancelled else "",
        f"{used.prompt_tokens:,}",
        f"{used.cached_tokens:,}" if used.cached_tokens else "",
        f"{used.completion_tokens:,}",
        "" if used.first_event_s is None else render.duration(used.first_event_s),
        "" if used.tokens_per_s is None else f"{used.tokens_per_s:,.0f}",
    )


def bar(fraction: float, cells: int = CELLS) -> str:
    """A bar that is *cells* wide at 1, drawn in eighths of a cell; what is not nothing can be seen."""
    eighths = max(round(fraction * cells * 8), 1 if fraction > 0 else 0)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
