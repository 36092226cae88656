"""Where tool calls go: what `act` and the doors know of tools, whatever carries the calls out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from lmbridge.core.messages import Part, Tool


class ToolProgress(Protocol):
    """Called while a tool works, by the tool: how far it is.

    A function gets one for a parameter that is annotated with this, of which no model is told.
    """

    def __call__(self, fraction: float | None, text: str = "", /) -> None:
        """Tell it.

        Args:
            fraction: 0 to 1; None where it is not known how far it is.
            text: a word for people.
        """


class ToolResult(Struct, frozen=True):
    """What a tool gives back to the model.

    Attributes:
        content: text, or parts when there are pictures.
        is_error: it went wrong, and the content says how: the model may do better next time.
    """

    content: str | tuple[Part, ...]
    is_error: bool = False

    @property
    def text(self) -> str:
        """The words of the result, pictures left out."""
        if isinstance(self.content, str):
            return self.content
        return "".join(getattr(part, "text", "") for part in self.content)


@runtime_checkable
class Toolbox(Protocol):
    """Some tools that belong together: Python functions, a folder's files, an MCP server."""

    name: str
    """For people, and where two boxes have a tool of the same name: `box_tool`."""

    async def tools(self) -> Sequence[Tool]:
        """What can be called; connects first where that is needed.

        Raises:
            BridgeError: it cannot be had.
        """

    async def call(
        self, name: str, arguments: Mapping[str, object], progress: ToolProgress | None = None
    ) -> ToolResult:
        """Carry a call out. A tool that fails gives a result that says so; cancelling stops it.

        Args:
            arguments: they passed the tool's schema.
            progress: to be called in the event loop, if at all.

        Raises:
            BridgeError: the box itself is broken, so that no call can be carried out.
        """

    async def aclose(self) -> None:
        """End what was started for it. Idempotent."""
