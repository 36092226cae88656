"""`lmbridge stored list | delete | clear`: the answers that the gateway stores for its callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand, BridgeGroup, json_option

if TYPE_CHECKING:
    from lmbridge.hub.stored import Stored

T = TypeVar("T")

USUAL = 20
"""Answers that are listed where nobody says how many."""


@click.group(
    "stored",
    cls=BridgeGroup,
    examples=[
        ("lmbridge stored list", "the newest answers, and what was asked"),
        ("lmbridge stored delete resp_…", "overwritten on the disk, once no later answer needs it"),
        ("lmbridge stored clear", "all of them"),
    ],
)
def command() -> None:
    """Look after the answers that the gateway stores for its callers: see `store_days` in the settings."""


@command.command(
    "list",
    cls=BridgeCommand,
    examples=[
        ("lmbridge stored list", "the newest 20"),
        ("lmbridge stored list -n 1000 --json", "for programs"),
    ],
)
@click.option(
    "-n", "--lines", metavar="N", type=click.IntRange(min=0), default=USUAL, show_default=True, help="So many."
)
@json_option
def list_stored(lines: int, as_json: bool) -> None:
    """List stored answers, the newest first, with the beginning of the question."""
    import msgspec

    found = _use(lambda stored: stored.newest(lines))
    if as_json:
        render.json({"stored": [msgspec.structs.asdict(brief) for brief in found]})
        return
    if not found:
        render.line("No answer is stored.")
        return
    rows = [(brief.id, _date(brief.created), brief.model, " ".join(brief.said.split())) for brief in found]
    render.table(("ID", "WHEN", "MODEL", "ASKED"), rows, spare=("WHEN",))


@command.command("delete", cls=BridgeCommand, examples=[("lmbridge stored delete resp_…", "by its id")])
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
def delete(ids: tuple[str, ...], as_json: bool) -> None:
    """Delete stored answers by their ID. Nobody can go on from them; answers that followed keep what they need."""

    async def work(stored: Stored) -> None:
        for id in ids:
            await stored.delete(id)

    _use(work)
    if as_json:
        render.json({"deleted": list(ids)})
    else:
        render.line(f"{_count(len(ids))} deleted.")


@command.command("clear", cls=BridgeCommand, examples=[("lmbridge stored clear --yes", "without a question")])
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def clear(yes: bool, as_json: bool) -> None:
    """Delete all stored answers, and overwrite them on the disk."""
    if not yes and not render.confirmed("All stored answers will be deleted. Go on?"):
        render.line("Nothing was deleted.")
        return
    gone = _use(lambda stored: stored.clear())
    if as_json:
        render.json({"deleted": gone})
    else:
        render.line(f"{_count(gone)} deleted.")


def _use(work: Callable[[Stored], Awaitable[T]]) -> T:
    """Do something with the store of this user."""
    from lmbridge.config import load_config
    from lmbridge.hub.stored import DAY_S, Stored
    from lmbridge.machine.home import responses_file

    config = load_config()

    async def use() -> T:
        stored = Stored(responses_file(config.home), config.gateway.store_days * DAY_S)
        try:
            return await work(stored)
        finally:
            await stored.aclose()

    return asyncio.run(use())


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _count(number: int) -> str:
    return "One answer is" if number == 1 else f"{number} answers are"
