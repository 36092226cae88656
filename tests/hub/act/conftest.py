from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from lmbridge.core.errors import BridgeError
from lmbridge.core.messages import Tool
from lmbridge.core.tools import ToolProgress, ToolResult

ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
WAIT = Tool("wait", "Wait.", {"type": "object", "properties": {}})


class Box:
    """Two tools: `add` answers at once, `wait` when it may.

    Attributes:
        called: what was called. waiting: set when `wait` begins; may: to be set for it to end.
        most: how many calls were under way at once. failure: raised by `add`.
    """

    def __init__(self, name: str = "box") -> None:
        self.name = name
        self.called: list[tuple[str, Mapping[str, object]]] = []
        self.waiting, self.may = asyncio.Event(), asyncio.Event()
        self.results = ["1"]
        self.failure: Exception | None = None
        self.now = self.most = 0
        self.steps: list[tuple[float | None, str]] = []  # told by `add`

    async def tools(self) -> Sequence[Tool]:
        return [ADD, WAIT]

    async def call(
        self, name: str, arguments: Mapping[str, object], progress: ToolProgress | None = None
    ) -> ToolResult:
        self.called.append((name, arguments))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if name == "wait":
                self.waiting.set()
                await self.may.wait()
                return ToolResult("waited")
            for step in self.steps:
                assert progress is not None
                progress(*step)
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            if self.failure is not None:
                raise self.failure
            return ToolResult(self.results.pop(0) if len(self.results) > 1 else self.results[0])
        finally:
            self.now -= 1

    async def aclose(self) -> None:
        pass


def broken(why: str, hint: str = "") -> BridgeError:
    """What a box raises that is broken. No class of its own: every class of errors counts everywhere."""
    return BridgeError(why, hint=hint)


@pytest.fixture
def box() -> Box:
    return Box()
