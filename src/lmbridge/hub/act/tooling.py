"""The tools of a run: those of all its boxes under names of their own, and who carries a call out."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from lmbridge.core.acting import AnyTool
from lmbridge.core.errors import BridgeError, InvalidRequest
from lmbridge.core.messages import Tool
from lmbridge.core.tools import Toolbox, ToolProgress, ToolResult

ToolboxOf: TypeAlias = Callable[[Sequence[Callable[..., object]]], Toolbox]
"""Makes a box of Python functions; `assembly` knows how."""

_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST: Final = 64  # of a function's name in OpenAI's API


class Tooling:
    """Tools of several boxes.

    Attributes:
        tools: as the model is told of them, by the name that it calls. Where two boxes have one of the same name,
            both are called `box_tool`, as OpenAI's API allows no dot in a name.
    """

    def __init__(self, boxes: Sequence[tuple[Toolbox, Sequence[Tool]]]) -> None:
        names = Counter(tool.name for _, tools in boxes for tool in tools)
        self.tools: dict[str, Tool] = {}
        self._whose: dict[str, tuple[Toolbox, str]] = {}
        for box, tools in boxes:
            for tool in tools:
                shown = tool.name if names[tool.name] == 1 else _qualified(box.name, tool.name)
                shown = next(name for name in _variants(shown) if name not in self.tools)
                self.tools[shown] = tool if shown == tool.name else replace(tool, name=shown)
                self._whose[shown] = (box, tool.name)

    @classmethod
    async def of(cls, boxes: Sequence[Toolbox]) -> Tooling:
        """Ask all boxes what they have, at the same time.

        Raises:
            BridgeError: one of them cannot be had.
        """
        found = await asyncio.gather(*(box.tools() for box in boxes))
        return cls(list(zip(boxes, found, strict=True)))

    def whose(self, name: str) -> tuple[str, str]:
        """The name of the box that has a tool, and what it is called there."""
        box, own = self._whose[name]
        return box.name, own

    async def call(
        self, name: str, arguments: Mapping[str, object], progress: ToolProgress | None = None
    ) -> ToolResult:
        """Carry a call out. A box that is broken is told to the model, which may do without it."""
        box, own = self._whose[name]
        try:
            return await box.call(own, arguments, progress)
        except BridgeError as error:
            return ToolResult(str(error), is_error=True)


def _variants(name: str) -> Iterator[str]:
    """The name, and others like it for when it is taken."""
    yield name
    yield from (f"{name[: _LONGEST - 1 - len(str(number))]}_{number}" for number in itertools.count(2))


def _qualified(box: str, tool: str) -> str:
    return _NOT_IN_NAMES.sub("_", f"{box}_{tool}")[:_LONGEST]


def boxes_of(tools: Sequence[AnyTool], toolbox_of: ToolboxOf | None) -> list[Toolbox]:
    """The boxes among *tools*, and the functions among them as one more.

    Raises:
        InvalidRequest: something that is neither, or a function that is not documented or annotated.
    """
    if isinstance(tools, Toolbox) or not isinstance(tools, Iterable):
        raise InvalidRequest(
            f"{tools!r:.100} is no list of tools.", hint="Give a list: `[create_file]`, `[box]`.", param="tools"
        )
    boxes: list[Toolbox] = []
    functions: list[Callable[..., object]] = []
    for tool in tools:
        if isinstance(tool, Toolbox):
            boxes.append(tool)
        elif callable(tool):
            functions.append(tool)
        else:
            raise InvalidRequest(
                f"{tool!r:.100} is no tool.", hint="Give Python functions, or boxes of tools.", param="tools"
            )
    if functions:
        if toolbox_of is None:
            raise InvalidRequest(
                "Functions are no tools here.", hint="Use the hub of `lmbridge.connect`, or give boxes of tools."
            )
        boxes.append(toolbox_of(functions))
    return boxes
