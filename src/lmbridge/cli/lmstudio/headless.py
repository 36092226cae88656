"""`lmbridge lmstudio setup`: shows what would be changed, asks, changes it, and tells where the copies are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmbridge.cli import render
from lmbridge.cli.progress import waiting
from lmbridge.machine.lmstudio.headless import Change
from lmbridge.providers.lmstudio.program import LMStudioProgram


async def set_up(
    program: LMStudioProgram, daemon: bool | None, *, ask: bool, dry_run: bool, as_json: bool
) -> None:
    """Plan, show, ask, and carry it out.

    Args:
        daemon: its daemon, the app as a service, or None for what is installed.

    Raises:
        RuntimeMissing: LM Studio is not here. ConfigInvalid: a file of it that is not understood.
    """
    changes = await program.headless_plan(daemon=daemon)
    steps = [change for change in changes if change.path or change.command]
    if not as_json:
        _show(changes, steps)
    agreed = bool(steps) and not dry_run and (not ask or render.confirmed("Make these changes?"))
    backups: list[Path] = []
    if agreed:
        with waiting("Setting LM Studio up") as tell:
            backups = await program.headless_apply(steps, waiting=tell)
    if as_json:
        told = [_told(change) for change in changes]
        render.json({"changes": told, "applied": agreed, "backups": [str(path) for path in backups]})
    elif agreed:
        for path in backups:
            render.sentence(f"The file as it was is kept as {render.printable(str(path))}")
        render.line("LM Studio is set up. `lmbridge lmstudio start` starts its server now.")
    elif steps:
        render.line("Nothing was changed.")


def _show(changes: Sequence[Change], steps: Sequence[Change]) -> None:
    for change in changes:
        head, *rest = str(change).split("\n")
        render.sentence(render.paint(render.printable(head), "bold"))
        for line in rest:
            render.sentence(f"  {render.printable(line)}", 2)
    if not steps:
        render.line("Nothing can be changed yet." if changes else "LM Studio is set up already.")


def _told(change: Change) -> dict[str, object]:
    path = str(change.path) if change.path else ""
    return {
        "what": change.what,
        "path": path,
        "key": change.key,
        "diff": change.diff,
        "command": " ".join(change.command),
        "note": change.note,
    }
