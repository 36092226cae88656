"""The tools of one MCP server as a `Toolbox`.

It connects when it is first asked for something, and once more when the server is found gone; what a server does
wrong in a call is a result that says so, as the model may go on without it. Which tools exist here at all, and
which of them may be called, is decided by `Rules`, and by nobody else.

Not offered to servers: sampling, questions to the user, roots, and OAuth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar, cast

from msgspec import Struct

from lmbridge.core.depth import META, depth
from lmbridge.core.errors import InvalidRequest, ToolServerNotAllowed, ToolServerUnavailable
from lmbridge.core.messages import Message, Tool
from lmbridge.core.tools import ToolProgress, ToolResult
from lmbridge.machine.mcp.entries import Entry, Policy
from lmbridge.tools.mcp.connection import MOST_WORDS, Connection
from lmbridge.tools.mcp.extra import need_mcp
from lmbridge.tools.mcp.lists import (
    FORGOTTEN,
    MOST_DESCRIPTION,
    Endless,
    Listed,
    all_tools,
    is_lost,
    pages,
    shown,
    sorted_out,
)
from lmbridge.tools.mcp.names import accepted
from lmbridge.tools.mcp.results import of_call, of_prompt, of_resource
from lmbridge.tools.mcp.rules import PROMPT, READ, Rules

if TYPE_CHECKING:
    import mcp_types
    from mcp import Client
    from mcp.shared.dispatcher import ProgressFnT

    from lmbridge.tools.mcp.http import Guard

MOST_TOOLS: Final = 128
"""Tools of one server: OpenAI's API takes no more in a request, and small models lose their way far sooner."""
_URI: Final[dict[str, object]] = {"type": "object", "properties": {"uri": {"type": "string"}}, "required": ["uri"]}
RESOURCE_TOOLS: Final = (
    Tool(
        "list_resources",
        "List the resources that can be read: their addresses (uri) and what they are.",
        {"type": "object", "properties": {}},
    ),
    Tool(READ, "Read a resource by its address (uri), as list_resources tells it.", _URI),
)
"""Added to the tools of a server that has resources."""

AFTER_S: Final = 5.0
"""Seconds that the package gets to give a call up by itself, which tells the server, too."""

T = TypeVar("T")


class Described(Struct, frozen=True):
    """A resource or a prompt that a server has.

    Attributes:
        name: a resource's uri, a prompt's name. arguments: of a prompt.
    """

    name: str
    description: str = ""
    arguments: tuple[str, ...] = ()


class _Gone(Exception):
    """The connection was lost before anything was done: it may be tried once more."""


class MCPBox:
    """The tools of a server.

    Args:
        entry: how it is started or reached; whether that is allowed has been decided.
        rules: which tools may be called; default what the entry says.
        guard: what its address may lead to, where somebody else than the user chose it.

    Attributes:
        name: what the user calls the server.
        left_out: tools that it has and that are not offered, with the reason; known after `tools`.

    Raises:
        MissingExtra: the package `mcp` is not installed.
        ToolServerUnavailable: the entry has a problem.
    """

    def __init__(self, entry: Entry, rules: Rules | None = None, guard: Guard | None = None) -> None:
        need_mcp()
        if entry.problem:
            hint = f"Look at it in {entry.source}." if entry.source else ""
            raise ToolServerUnavailable(entry.name, entry.problem, hint=hint)
        self.name, self._entry, self._guard = entry.name, entry, guard
        self.rules = rules or Rules.of(entry)
        self.left_out: dict[str, str] = {}
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._listed: Listed | None = None
        self._names: dict[str, str] = {}
        self._own: dict[str, Tool] = {}
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # ---- as a toolbox

    async def tools(self) -> Sequence[Tool]:
        """What can be called. Asked for once, and again when the server tells that it changed.

        Raises:
            ToolServerUnavailable: it cannot be had, or has too many tools.
        """
        connection = self._connection
        if self._listed is None or connection is None or connection.over or not connection.tells:
            self._listed = await self._asked(all_tools)
        return self._offered(self._listed)

    async def call(
        self, name: str, arguments: Mapping[str, object], progress: ToolProgress | None = None
    ) -> ToolResult:
        """Carry a call out. Cancelling tells the server.

        Raises:
            ToolServerUnavailable: it cannot be had.
        """
        await self.tools()
        if name not in self._names and name not in self._own:
            why = self.left_out.get(name)
            said = f"{name} is not to be called: {why}." if why else f"There is no tool {name[:200]!r} here."
            return ToolResult(said, is_error=True)
        if self.policy_of(name, arguments) == "never":
            return ToolResult(f"The user does not allow this call of {name}.", is_error=True)
        limit = self._entry.call_timeout_s + AFTER_S
        return await self._asked(
            lambda client: self._call(client, name, arguments, progress), limit, lost=self._lost
        )

    def policy_of(self, name: str, arguments: Mapping[str, object] = {}) -> Policy:
        """What becomes of a call: of a tool as `tools` names it.

        Args:
            arguments: a resource that they name may have a rule of its own.
        """
        if name == READ and name in self._own:
            return self.rules.policy_of_resource(str(arguments.get("uri", "")))
        return self.rules.policy_of(self.real_name(name))

    def real_name(self, name: str) -> str:
        """What the server itself calls a tool."""
        return self._names.get(name, name)

    async def aclose(self) -> None:
        """End the connection, and the server if it was started. Idempotent."""
        self._closed = True
        async with self._opening:
            await self._drop()

    # ---- what else a server has

    async def resources(self) -> tuple[Described, ...]:
        """The resources that can be read; none where the server has none.

        Raises:
            ToolServerUnavailable.
        """
        return await self._asked(self._list_resources)

    async def read_resource(self, uri: str) -> ToolResult:
        """What a resource holds.

        Raises:
            InvalidRequest: the server does not have it. ToolServerUnavailable.
            ToolServerNotAllowed: the user forbade it, or calls of `read_resource`.
        """
        if self.rules.policy_of_resource(uri) == "never":
            raise self._forbidden(f"reading {uri[:200]!r}", READ)

        async def read(client: Client) -> ToolResult:
            return of_resource(await client.read_resource(uri))

        return await self._asked(read, may_refuse=True)

    async def prompts(self) -> tuple[Described, ...]:
        """The prompts that the server offers; none where it has none.

        Raises:
            ToolServerUnavailable.
        """
        return await self._asked(self._list_prompts)

    async def prompt(self, name: str, arguments: Mapping[str, str] | None = None) -> tuple[Message, ...]:
        """A prompt as turns of a conversation.

        Raises:
            InvalidRequest: there is no such prompt, or an argument is missing. ToolServerUnavailable.
            ToolServerNotAllowed: the user forbade calls of `get_prompt`.
        """
        if self.rules.policy_of(PROMPT) == "never":
            raise self._forbidden(f"the prompt {name[:200]!r}", PROMPT)

        async def get(client: Client) -> tuple[Message, ...]:
            return of_prompt(await client.get_prompt(name, dict(arguments or {})))

        return await self._asked(get, may_refuse=True)

    def _forbidden(self, what: str, tool: str) -> ToolServerNotAllowed:
        hint = f"`lmbridge mcp servers allow {self.name} {tool}` allows it, if its `allowed_tools` do."
        return ToolServerNotAllowed(
            self.name, f"Of the MCP server {self.name!r} {what} is not allowed.", hint=hint
        )

    # ---- the connection

    async def _connected(self) -> Connection:
        async with self._opening:
            if self._closed:
                raise ToolServerUnavailable(self.name, "it was closed")
            if self._connection is not None and self._connection.over:
                await self._drop()
            if self._connection is None:
                connection = Connection(self._entry, self._guard, self._changed)
                await connection.open()
                self._connection = connection
            return self._connection

    async def _drop(self) -> None:
        connection, self._connection, self._listed = self._connection, None, None
        if connection is not None:
            await connection.aclose()

    def _changed(self) -> None:
        self._listed = None

    async def _asked(
        self,
        ask: Callable[[Client], Awaitable[T]],
        limit: float | None = None,
        lost: Callable[[Connection], T] | None = None,
        *,
        may_refuse: bool = False,
    ) -> T:
        """What the server answers; a connection that is found gone is made anew once.

        Args:
            limit: seconds; default those of its start.
            lost: what it is when the connection is lost in the middle; default an error.
            may_refuse: that the server refuses is then the fault of who asks, and not the server's.
        """
        limit = limit or self._entry.start_timeout_s
        try:
            return await self._ask_once(ask, limit, lost, may_refuse)
        except _Gone:
            return await self._ask_once(ask, limit, lost, may_refuse)

    async def _ask_once(
        self,
        ask: Callable[[Client], Awaitable[T]],
        limit: float,
        lost: Callable[[Connection], T] | None,
        may_refuse: bool,
    ) -> T:
        from mcp import MCPError
        from pydantic import ValidationError

        connection = await self._connected()
        try:
            async with asyncio.timeout(limit):
                return await ask(connection.client)
        except MCPError as error:
            if error.message == FORGOTTEN:
                await self._drop_if(connection)
                raise _Gone from error
            if not is_lost(error):
                said = error.message[:MOST_WORDS]
                if may_refuse:
                    raise InvalidRequest(f"The MCP server {self.name!r} said: {said}") from error
                raise ToolServerUnavailable(self.name, f"it said {said!r}") from error
            await connection.ended()
            await self._drop_if(connection)
            if lost is not None:
                return lost(connection)
            raise ToolServerUnavailable(self.name, connection.why()) from error
        except TimeoutError as error:
            raise ToolServerUnavailable(self.name, f"it did not answer within {limit:g} s") from error
        except Endless as error:
            raise ToolServerUnavailable(self.name, str(error)) from error
        except (ValidationError, RuntimeError, ValueError) as error:
            raise ToolServerUnavailable(self.name, f"it sent what is no MCP ({type(error).__name__})") from error

    async def _drop_if(self, connection: Connection) -> None:
        """Let go of this connection, unless somebody did before."""
        async with self._opening:
            if self._connection is connection:
                await self._drop()

    def _lost(self, connection: Connection) -> ToolResult:
        return ToolResult(
            f"The MCP server {self.name!r} ended while it worked on this: {connection.why()}.", is_error=True
        )

    # ---- calls

    async def _call(
        self, client: Client, name: str, arguments: Mapping[str, object], progress: ToolProgress | None
    ) -> ToolResult:
        from mcp import MCPError
        from mcp_types import REQUEST_TIMEOUT
        from pydantic import ValidationError

        real = self._names.get(name)
        if real is None:
            return await self._resource_tool(client, name, arguments)
        limit = self._entry.call_timeout_s
        try:
            result = await client.call_tool(
                real,
                dict(arguments),
                read_timeout_seconds=limit,
                progress_callback=_teller(progress),
                meta=_mark(),
            )
            return of_call(result)
        except MCPError as error:
            if is_lost(error):
                raise
            if error.code == REQUEST_TIMEOUT:
                return ToolResult(f"{name} did not answer within {limit:g} s; the call was given up.", True)
            return ToolResult(f"{name} failed: {error.message[:MOST_WORDS]}", is_error=True)
        except (ValidationError, RuntimeError) as error:
            # Not MCP, or a structured result that does not follow the schema which the tool promises.
            said = str(error).partition("\n")[0][:MOST_WORDS]
            return ToolResult(f"{name} gave back what it should not: {said}", is_error=True)

    async def _resource_tool(self, client: Client, name: str, arguments: Mapping[str, object]) -> ToolResult:
        if name == "list_resources":
            found = await self._list_resources(client)
            lines = [f"{each.name}: {each.description}" for each in found]
            return ToolResult("\n".join(lines) or "There are no resources.")
        from mcp import MCPError

        try:
            return of_resource(await client.read_resource(str(arguments.get("uri", ""))))
        except MCPError as error:
            if is_lost(error):
                raise
            return ToolResult(f"It cannot be read: {error.message[:MOST_WORDS]}", is_error=True)

    # ---- lists

    def _offered(self, listed: Listed) -> tuple[Tool, ...]:
        """Those that the rules allow now: what the user answers meanwhile counts at once."""
        offered, left_out = sorted_out(listed.tools, self.rules)
        self.left_out = {**(self._connection.unusable if self._connection else {}), **left_out}
        if len(offered) > MOST_TOOLS:
            hint = "Name those that are wanted in its `allowed_tools`."
            reason = f"it has {len(offered)} tools, and {MOST_TOOLS} are the most"
            raise ToolServerUnavailable(self.name, reason, hint=hint)
        self._names = accepted(offered)
        made = [shown(name, offered[real]) for name, real in self._names.items()]
        own = RESOURCE_TOOLS if listed.has_resources else ()
        self._own = {
            tool.name: tool for tool in own if tool.name not in self._names and not self.rules.why_not(tool.name)
        }
        return (*made, *self._own.values())

    async def _list_resources(self, client: Client) -> tuple[Described, ...]:
        if client.server_capabilities.resources is None:
            return ()
        found = await pages(lambda cursor: client.list_resources(cursor=cursor), lambda page: page.resources)
        return tuple(
            Described(each.uri[:2000], (each.description or each.title or each.name)[:MOST_DESCRIPTION])
            for each in found
        )

    async def _list_prompts(self, client: Client) -> tuple[Described, ...]:
        if client.server_capabilities.prompts is None:
            return ()
        found = await pages(lambda cursor: client.list_prompts(cursor=cursor), lambda page: page.prompts)
        return tuple(
            Described(
                each.name,
                (each.description or each.title or "")[:MOST_DESCRIPTION],
                tuple(argument.name for argument in each.arguments or ()),
            )
            for each in found
        )


def _mark() -> mcp_types.RequestParamsMeta | None:
    """What tells a server of ours that it is asked by way of another one (`core.depth`)."""
    deep = depth()
    return cast("mcp_types.RequestParamsMeta", {META: deep}) if deep else None


def _teller(told: ToolProgress | None) -> ProgressFnT | None:
    """What the package calls when a tool tells how far it is."""
    if told is None:
        return None

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        share = min(1.0, max(0.0, progress / total)) if total and total > 0 else None
        told(share, (message or "")[:MOST_WORDS])

    return tell
