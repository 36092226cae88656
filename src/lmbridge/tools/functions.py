"""Python functions as tools.

    @tool
    def create_file(name: str, content: str) -> str:
        "Create a file."

A function that waits (`async def`) is awaited; any other runs in a thread of its own, as it may take its time.
What it raises goes back to the model as a result, so that it may do better; so does an argument that is not what
the function takes.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar, overload

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BridgeError, InvalidRequest
from lmbridge.core.messages import ImagePart, Part, TextPart, Tool
from lmbridge.core.tools import ToolProgress, ToolResult
from lmbridge.tools.docstrings import documented
from lmbridge.tools.signature import (
    BadArguments,
    Function,
    Signature,
    encoded,
    given_schema,
    read_signature,
)

F = TypeVar("F", bound=Callable[..., object])

MARK: Final = "__lmbridge_tool__"
"""Attribute of a function that `tool` made one."""
TIMEOUT_S: Final = 60.0
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what OpenAI's API allows, and so what servers are made for


class Marked(Struct, frozen=True):
    """What `tool` was told of a function."""

    name: str = ""
    description: str = ""
    schema: Mapping[str, object] | None = None
    timeout: float | None = TIMEOUT_S


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str = "",
    description: str = "",
    schema: Mapping[str, object] | None = None,
    timeout: float | None = TIMEOUT_S,
) -> Callable[[F], F]: ...


def tool(
    function: F | None = None,
    /,
    *,
    name: str = "",
    description: str = "",
    schema: Mapping[str, object] | None = None,
    timeout: float | None = TIMEOUT_S,
) -> F | Callable[[F], F]:
    """Make a function a tool that models can call; it stays the function it was.

    Args:
        name: what models call it; default its own.
        description: what it is for; default the first paragraph of its docstring.
        schema: JSON schema of its arguments, which it is then given as they are; default from its annotations.
        timeout: seconds until a call is given up; None for no limit. A thread cannot be stopped: it goes on, and
            its result is thrown away.

    Raises:
        InvalidRequest: no description, a parameter without annotation, a name or a type that cannot be.
    """
    marked = Marked(name, description, schema, timeout)

    def mark(function: F) -> F:
        # What is wrong with it is told where it stands.
        FunctionTool(function, marked, of_class=_of_class(function))
        setattr(function, MARK, marked)
        return function

    return mark if function is None else mark(function)


def _of_class(function: Callable[..., object]) -> bool:
    """Whether it is being defined in a class, and so not bound to its object yet."""
    first = next(iter(inspect.signature(function).parameters), "")
    return first == "self" and inspect.isfunction(function)


class FunctionTool:
    """A function that models can call.

    Args:
        function: marked by `tool`, or any that is documented and annotated.
        marked: what is said of it besides; default what `tool` was told.
        of_class: it is looked at inside of its class, and cannot be called yet.

    Attributes:
        tool: what models are told of it.

    Raises:
        InvalidRequest: as `tool`.
    """

    def __init__(self, function: Function, marked: Marked | None = None, *, of_class: bool = False) -> None:
        told: Marked = marked if marked is not None else getattr(function, MARK, Marked())
        said = documented(inspect.getdoc(function))
        name = told.name or getattr(function, "__name__", type(function).__name__)
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"A tool cannot be called {name!r}.",
                hint="Use letters, digits, _ and -, at most 64: `@tool(name=…)` gives it another name.",
            )
        description = told.description or said.description
        if not description:
            raise InvalidRequest(
                f"The tool {name!r} has no docstring: a model would not know what it is for.",
                hint="Say in one sentence what it does.",
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidRequest(
                f"The tool {name!r} gives its result piece by piece.", hint="Return it whole, such as a list."
            )
        self._function, self._timeout = function, told.timeout
        self._signature: Signature = (
            read_signature(function, said, of_class=of_class)
            if told.schema is None
            else given_schema(name, told.schema, function)
        )
        self.tool = Tool(name, description, self._signature.schema)

    async def call(self, arguments: Mapping[str, object], progress: ToolProgress | None = None) -> ToolResult:
        """Call it; whatever goes wrong is a result that says so."""
        try:
            by_position, by_name = self._signature.bound(arguments)
        except BadArguments as error:
            return ToolResult(f"The arguments of {self.tool.name} are wrong: {error}", is_error=True)
        if self._signature.progress:
            by_name[self._signature.progress] = _told_in_loop(progress)
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return result_of(await self._run(by_position, by_name))
        except TimeoutError as error:
            if limit.expired():
                return ToolResult(f"{self.tool.name} took longer than {self._timeout:g} s.", is_error=True)
            return failed(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - tools are code of the user's; the model is told
            return failed(error)

    async def _run(self, by_position: list[object], by_name: dict[str, object]) -> object:
        work = partial(self._function, *by_position, **by_name)
        if inspect.iscoroutinefunction(self._function) or inspect.iscoroutinefunction(
            getattr(self._function, "__call__", None)  # noqa: B004 - an object may be called, too
        ):
            return await work()  # type: ignore[misc]
        found = await in_thread(work)
        return await found if inspect.isawaitable(found) else found


class FunctionTools:
    """Functions as a `Toolbox`.

    Args:
        functions: marked by `tool`, or any that are documented and annotated.
        name: of the box, for people.

    Raises:
        InvalidRequest: as `tool`; or two of them have one name.
    """

    def __init__(self, functions: Sequence[Function], *, name: str = "functions") -> None:
        self.name = name
        self._tools: dict[str, FunctionTool] = {}
        for function in functions:
            made = FunctionTool(function)
            if made.tool.name in self._tools:
                raise InvalidRequest(f"There are two tools called {made.tool.name!r}.", hint="Name one otherwise.")
            self._tools[made.tool.name] = made

    async def tools(self) -> Sequence[Tool]:
        """What can be called."""
        return [made.tool for made in self._tools.values()]

    async def call(
        self, name: str, arguments: Mapping[str, object], progress: ToolProgress | None = None
    ) -> ToolResult:
        """Call one. Whatever goes wrong is a result that says so."""
        if name not in self._tools:
            return ToolResult(f"There is no tool {name!r}.", is_error=True)
        return await self._tools[name].call(arguments, progress)

    async def aclose(self) -> None:
        """Nothing was started."""


def failed(error: BaseException) -> ToolResult:
    """What a model is told of an error: its type and its words, and nothing of where it was."""
    if isinstance(error, BridgeError):
        return ToolResult(str(error), is_error=True)
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error of the user's may fail even at this
        text = ""
    return ToolResult(f"{type(error).__name__}: {text}" if text else type(error).__name__, is_error=True)


def result_of(value: object) -> ToolResult:
    """What a function returned, as a model can read it: text as it is, pictures, anything else as JSON."""
    if isinstance(value, ToolResult):
        return value
    if value is None:
        return ToolResult("Done.")
    if isinstance(value, str):
        return ToolResult(value)
    if isinstance(value, ImagePart | TextPart):
        return ToolResult((value,))
    if isinstance(value, list | tuple) and any(isinstance(each, ImagePart) for each in value):
        return ToolResult(tuple(_part(each) for each in value))
    return ToolResult(_as_json(value))


def _part(value: object) -> Part:
    return value if isinstance(value, ImagePart | TextPart) else TextPart(result_of(value).text)


def _as_json(value: object) -> str:
    def shown(inner: object) -> object:
        try:
            return encoded(inner)
        except NotImplementedError:
            return str(inner)

    return msgspec.json.encode(value, enc_hook=shown).decode()


def _told_in_loop(progress: ToolProgress | None) -> ToolProgress:
    """What a function calls, from whichever thread, to tell how far it is."""
    loop, home = asyncio.get_running_loop(), threading.get_ident()

    def tell(fraction: float | None, text: str = "", /) -> None:
        if progress is None:
            return
        # What is no number is an error here, where the function called it.
        fraction, text = None if fraction is None else float(fraction), str(text)
        if threading.get_ident() == home:
            progress(fraction, text)
            return
        try:
            loop.call_soon_threadsafe(progress, fraction, text)
        except RuntimeError:
            return  # the loop is gone, and so is who listened

    return tell


async def in_thread(work: Callable[[], object]) -> object:
    """Call it in a thread of its own, which is not waited for when the program ends or who waits is cancelled."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: object, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(value)
        else:
            done.set_exception(error)

    def run() -> None:
        value, failure = None, None
        try:
            value = context.run(work)
        except BaseException as error:  # noqa: BLE001 - it is told to whoever waits
            # A future cannot hold the end of an iteration, and that of a program would end the loop's.
            ends = isinstance(error, StopIteration) or not isinstance(error, Exception)
            failure = RuntimeError(repr(error)) if ends else error
        try:
            loop.call_soon_threadsafe(settle, value, failure)
        except RuntimeError:
            return  # the loop is gone, and so is who waited

    threading.Thread(target=run, daemon=True, name="lmbridge-tool").start()
    return await done
