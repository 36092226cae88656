"""What a model may use in a chat: boxes of tools, who is asked before a call, and how many rounds there may be."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
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
        approve: asked before each call; None where all are allowed.
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
    max_rounds: int,
) -> Equipment:
    """The tools that the command line names.

    Args:
        files: Python files with functions. folder: what the file tools may touch.
        others: any more boxes, and where each comes from.
        yes: nobody is asked.

    Raises:
        InvalidRequest: a file or folder that cannot be used.
        click.UsageError: calls are to be asked about, and nobody is there.
    """
    found: list[tuple[str, Toolbox]] = []
    if (files or folder is not None or others) and not yes:
        _check_somebody_is_there()
    if files:
        from lmbridge.tools.python_files import box_of_file

        found += [(str(path), box_of_file(path)) for path in files]
    if folder is not None:
        from lmbridge.tools.files import FileTools

        box = FileTools(folder)
        found.append((str(box.folder), box))
    found += others
    if not found:
        return Equipment()
    places, boxes = zip(*found, strict=True)
    if yes:
        return Equipment(boxes, places, None, max_rounds)
    from lmbridge.cli.chat.approval import Approval

    return Equipment(boxes, places, Approval(boxes), max_rounds)


def _check_somebody_is_there() -> None:
    if not (render.is_terminal(sys.stdin) and render.is_terminal(sys.stderr)):
        raise click.UsageError(
            "Calls of tools are asked about, and nobody can be asked here; --yes allows them all."
        )


@asynccontextmanager
async def ready(tools: Equipment) -> AsyncIterator[None]:
    """Tell what there is, and close the boxes afterwards.

    Raises:
        BridgeError: a box cannot be had.
    """
    async with AsyncExitStack() as stack:
        for place, box in zip(tools.places, tools.boxes, strict=True):
            stack.push_async_callback(box.aclose)
            names = ", ".join(tool.name for tool in await box.tools())
            render.note(render.printable(f"Tools of {place}: {names}"), "dim", hang=2)
        yield
