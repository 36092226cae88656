"""What a model may use in a chat: boxes of tools, who is asked before a call, and how many rounds there may be."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stdout
from pathlib import Path

import click
from msgspec import Struct

from lmbridge.cli import render
from lmbridge.core.acting import Approve
from lmbridge.core.tools import Toolbox


class Equipment(Struct, frozen=True):
    """Tools of a chat.

    Attributes:
        boxes: in which they are; none for a chat without tools. places: where each comes from, for people.
        approve: asked before each call; None where all are allowed that are offered.
        max_rounds: how often the model is asked at most.
    """

    boxes: tuple[Toolbox, ...] = ()
    places: tuple[str, ...] = ()
    approve: Approve | None = None
    max_rounds: int = 0

    def __bool__(self) -> bool:
        return bool(self.boxes)


def equipment(
    files: Sequence[Path],
    folder: Path | None,
    others: Sequence[tuple[str, Toolbox]] = (),
    *,
    yes: bool,
    attended: bool,
    max_rounds: int,
) -> Equipment:
    """The tools that the command line names.

    Args:
        files: Python files with functions. folder: what the file tools may touch.
        others: any more boxes, and where each comes from; where nobody is there, they offer only what their own
            rules always allow.
        yes: nobody is asked. attended: somebody could be.

    Raises:
        InvalidRequest: a file or folder that cannot be used.
        click.UsageError: calls are to be asked about, and nobody is there.
    """
    found: list[tuple[str, Toolbox]] = []
    if (files or folder is not None) and not attended:
        raise click.UsageError(
            "Calls of these tools are asked about, and nobody can be asked here; --yes allows them all."
        )
    if files:
        from lmbridge.tools.python_files import box_of_file

        with redirect_stdout(sys.stderr):  # what a file prints is no answer
            found += [(str(path), box_of_file(path)) for path in files]
    if folder is not None:
        from lmbridge.tools.files import FileTools

        box = FileTools(folder)
        found.append((str(box.folder), box))
    found += others
    if not found:
        return Equipment()
    places, boxes = zip(*found, strict=True)
    if yes or not attended:
        return Equipment(boxes, places, None, max_rounds)
    from lmbridge.cli.chat.approval import Approval

    return Equipment(boxes, places, Approval(boxes), max_rounds)


def somebody_is_there() -> bool:
    """Whether somebody can be asked about calls."""
    return render.is_terminal(sys.stdin) and render.is_terminal(sys.stderr)


@asynccontextmanager
async def ready(tools: Equipment) -> AsyncIterator[None]:
    """Tell what there is, and close the boxes afterwards.

    Raises:
        BridgeError: a box cannot be had.
        click.UsageError: nothing is left to be called, as nobody can be asked.
    """
    async with AsyncExitStack() as stack:
        unasked: list[str] = []
        some = False
        for place, box in zip(tools.places, tools.boxes, strict=True):
            stack.push_async_callback(box.aclose)
            names = [tool.name for tool in await box.tools()]
            unasked += _left_out_unasked(box)
            some = some or bool(names)
            render.note(render.printable(f"Tools of {place}: {', '.join(names) or 'none'}"), "dim", hang=2)
        if unasked:
            _tell_unasked(unasked, some=some)
        yield


def _left_out_unasked(box: Toolbox) -> list[str]:
    """What a box has and does not offer because nobody can be asked about it."""
    from lmbridge.tools.mcp.rules import UNASKED

    left_out: dict[str, str] = getattr(box, "left_out", {})
    return [f"{tool} of {box.name}" for tool, why in left_out.items() if why == UNASKED]


def _tell_unasked(tools: Sequence[str], *, some: bool) -> None:
    what = f"Nobody can be asked here about calls of {', '.join(tools)}: they are not offered."
    told = render.printable(f"{what} --yes allows all; `lmbridge mcp servers allow NAME TOOL` one, for good.")
    if not some:
        raise click.UsageError(told)
    render.note(told, "yellow")
