"""Python functions as tools."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydantic
import pytest

from lmbridge.core.errors import InvalidRequest, NotRunning
from lmbridge.core.messages import ImagePart, TextPart
from lmbridge.core.tools import Toolbox, ToolProgress, ToolResult
from lmbridge.tools.functions import FunctionTools, in_thread, result_of, tool

PICTURE = ImagePart("data:image/png;base64,AA==")
WHO = contextvars.ContextVar("WHO", default="nobody")


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: the first.
    """
    return a + b


@tool(name="wait_for_it", description="Wait.", timeout=0.01)
async def wait() -> str:
    await asyncio.Event().wait()
    return "never"


@tool(timeout=0.01)
def stuck() -> None:
    """Wait in a thread."""
    threading.Event().wait(5)


@tool(schema={"type": "object", "properties": {"x": {}}}, timeout=None)
def free(**given: object) -> object:
    """Take anything."""
    return given


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def fails(kind: str) -> None:
    """Fail."""
    raise {
        "value": ValueError("no good"),
        "own": NotRunning(),
        "bare": KeyError(),
        "stop": StopIteration(1),
        "exit": SystemExit(3),
        "mute": Mute(),
    }[kind]


async def leaves() -> None:
    """End the program."""
    raise SystemExit(3)


async def times_out() -> None:
    """Fail with somebody's own time limit."""
    raise TimeoutError("of mine")


def later(a: int) -> Awaitable[int]:
    """Give back what can be awaited."""

    async def work() -> int:
        return a

    return work()


def who() -> str:
    """Tell who asks."""
    return WHO.get()


BOX = FunctionTools([add, wait, stuck, free, fails, leaves, times_out, later, who])


async def test_a_function_is_told_of_as_it_is_documented_and_typed() -> None:
    assert isinstance(BOX, Toolbox)
    tools = {each.name: each for each in await BOX.tools()}
    assert list(tools) == ["add", "wait_for_it", "stuck", "free", "fails", "leaves", "times_out", "later", "who"]
    assert tools["add"].description == "Add two numbers."
    assert tools["add"].parameters["required"] == ["a"]
    assert tools["wait_for_it"].description == "Wait."
    assert tools["free"].parameters == {"type": "object", "properties": {"x": {}}}
    await BOX.aclose()


def test_a_tool_stays_the_function_it_was() -> None:
    assert add(1, 2) == 3


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("add", {"a": 1}, ToolResult("2")),
        (
            "add",
            {"a": "x"},
            ToolResult("The arguments of add are wrong: Expected `int`, got `str` - at `$.a`", True),
        ),
        ("free", {"x": 1, "y": "z"}, ToolResult('{"x":1,"y":"z"}')),
        ("later", {"a": 7}, ToolResult("7")),
        ("wait_for_it", {}, ToolResult("wait_for_it took longer than 0.01 s.", True)),
        ("stuck", {}, ToolResult("stuck took longer than 0.01 s.", True)),
        ("fails", {"kind": "value"}, ToolResult("ValueError: no good", True)),
        ("fails", {"kind": "own"}, ToolResult(str(NotRunning()), True)),
        ("fails", {"kind": "bare"}, ToolResult("KeyError", True)),
        ("fails", {"kind": "stop"}, ToolResult("RuntimeError: StopIteration(1)", True)),
        ("fails", {"kind": "exit"}, ToolResult("RuntimeError: SystemExit(3)", True)),
        ("fails", {"kind": "mute"}, ToolResult("Mute", True)),
        ("leaves", {}, ToolResult("SystemExit: 3", True)),
        ("times_out", {}, ToolResult("TimeoutError: of mine", True)),
        ("gone", {}, ToolResult("There is no tool 'gone'.", True)),
    ],
)
async def test_whatever_comes_of_a_call_is_a_result(
    name: str, arguments: dict[str, object], result: ToolResult
) -> None:
    assert await BOX.call(name, arguments) == result


def counts(to: int, progress: ToolProgress) -> str:
    """Count in a thread."""
    for number in range(1, to + 1):
        progress(number / to, f"number {number}")
    return "counted"


async def waits(progress: ToolProgress) -> str:
    """Tell without waiting."""
    progress(None)
    return "waited"


@tool(schema={"type": "object"})
def anyhow(progress: ToolProgress | None = None, **given: object) -> object:
    """Take anything, and tell."""
    assert progress is not None
    progress(1)
    return given


def tells_nonsense(progress: ToolProgress) -> None:
    """Tell what is no number."""
    progress("half")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "arguments", "told", "result"),
    [
        ("counts", {"to": 2}, [(0.5, "number 1"), (1.0, "number 2")], "counted"),
        ("waits", {}, [(None, "")], "waited"),
        ("anyhow", {"progress": 7, "x": 1}, [(1.0, "")], '{"x":1}'),
        ("tells_nonsense", {}, [], "ValueError: could not convert string to float: 'half'"),
    ],
)
async def test_a_function_tells_how_far_it_is(
    name: str, arguments: dict[str, object], told: list[tuple[float | None, str]], result: str
) -> None:
    box, heard = FunctionTools([counts, waits, anyhow, tells_nonsense]), list[tuple[float | None, str]]()
    found = await box.call(name, arguments, lambda fraction, text="": heard.append((fraction, text)))
    assert (heard, found.text) == (told, result)


async def test_a_function_may_tell_where_nobody_listens() -> None:
    assert (await FunctionTools([counts]).call("counts", {"to": 1})).text == "counted"


def test_a_thread_may_tell_after_its_loop_has_ended() -> None:
    may, told = threading.Event(), threading.Event()

    def late(progress: ToolProgress) -> None:
        """Tell too late."""
        may.wait(30)
        progress(1.0)
        told.set()

    async def begin() -> None:
        asyncio.ensure_future(FunctionTools([late]).call("late", {}, lambda *_: None))  # noqa: RUF006
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(begin())
    may.set()
    assert told.wait(30)


def test_what_gives_its_result_piece_by_piece_is_no_tool() -> None:
    def pieces(a: int) -> Iterator[int]:
        """Count."""
        yield a

    async def later_pieces(a: int) -> AsyncIterator[int]:
        """Count."""
        yield a

    for function in (pieces, later_pieces):
        with pytest.raises(InvalidRequest, match="piece by piece"):
            tool(function)


async def test_a_thread_knows_who_asked() -> None:
    WHO.set("me")
    assert (await BOX.call("who", {})).text == "me"


async def test_who_is_cancelled_does_not_wait_for_the_thread() -> None:
    begun, may = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may.wait(30)

    task = asyncio.ensure_future(in_thread(work))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may.set()


def test_a_thread_that_outlives_its_loop_is_no_error() -> None:
    may, done = threading.Event(), threading.Event()

    def work() -> None:
        may.wait(30)
        done.set()

    async def begin() -> None:
        asyncio.ensure_future(in_thread(work))  # noqa: RUF006 - the end of the loop ends it
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(begin())
    may.set()
    assert done.wait(30)


async def test_methods_are_tools_of_their_object() -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        @tool
        def more(self, by: int = 1) -> int:
            """Count."""
            self.count += by
            return self.count

    counter = Counter()
    box = FunctionTools([counter.more], name="counter")
    assert (await box.call("more", {"by": 2})).text == "2"
    assert counter.count == 2


async def test_an_object_that_can_be_called_is_a_tool() -> None:
    class Ask:
        """Ask somebody."""

        async def __call__(self, what: str) -> str:
            return f"{what}?"

    assert (await FunctionTools([Ask()]).call("Ask", {"what": "who"})).text == "who?"


@dataclass
class Point:
    x: int


class Model(pydantic.BaseModel):
    y: int


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (None, "Done."),
        ("as it is", "as it is"),
        (ToolResult("made", True), "made"),
        ([1, "a"], '[1,"a"]'),
        (Point(1), '{"x":1}'),
        (Model(y=2), '{"y":2}'),
        ({"at": Path("a")}, '{"at":"a"}'),
        ({"odd": 1j}, '{"odd":"1j"}'),
        (PICTURE, (PICTURE,)),
        (TextPart("a"), (TextPart("a"),)),
        (["see", PICTURE, 3], (TextPart("see"), PICTURE, TextPart("3"))),
    ],
)
def test_what_a_function_returns_is_made_what_a_model_can_read(value: object, content: object) -> None:
    assert result_of(value).content == content


def undocumented(a: int) -> None:
    pass


def test_what_is_wrong_with_a_tool_is_told_where_it_is_defined() -> None:
    with pytest.raises(InvalidRequest, match="'undocumented' has no docstring"):
        tool(undocumented)
    with pytest.raises(InvalidRequest, match="cannot be called 'no name'"):
        tool(name="no name")(add)
    with pytest.raises(InvalidRequest, match="cannot be called '<lambda>'"):
        FunctionTools([lambda: None])
    with pytest.raises(InvalidRequest, match="two tools called 'add'"):
        FunctionTools([add, add])
