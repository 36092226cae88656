"""Servers of tools that a native chat asks for: whether it may have them, and their tools.

The gateway is handed who knows the servers (`ToolServers`). Both kinds are off by default, as in LM Studio, and
nobody without a key uses the servers of this user: they work in his name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Protocol

from msgspec import Struct

from lmbridge.core.errors import BridgeError, Forbidden, InvalidRequest, ToolServerNotAllowed
from lmbridge.core.messages import Tool
from lmbridge.core.tools import Toolbox
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.wire.lmstudio.serving.asked import PluginAsked, ServerAsked
from lmbridge.wire.lmstudio.serving.events import EphemeralInfo, PluginInfo, ProviderInfo

PLUGIN: Final = "mcp/"
"""How the id of a plugin begins that is an MCP server."""


class ToolServers(Protocol):
    """Who knows MCP servers. Only tools that the user lets be called without asking are in their boxes."""

    async def of_user(self, name: str, only: Sequence[str] | None) -> Toolbox:
        """The tools of one of the user's servers; the box is the caller's to close, and the server may stay.

        Raises:
            ToolServerNotFound, ToolServerNotAllowed, ToolServerUnavailable, MissingExtra.
        """

    async def at(
        self, label: str, url: str, headers: Mapping[str, str], only: Sequence[str] | None, *, local: bool
    ) -> Toolbox:
        """The tools of a server that a caller named; the box is the caller's to close.

        Args:
            local: it may be on this machine or in a private network.

        Raises:
            ToolServerUnavailable, MissingExtra.
        """

    async def aclose(self) -> None:
        """End all that was opened."""


class Wanted(Struct, frozen=True):
    """A box, and what callers are told of whose it is."""

    box: Toolbox
    info: ProviderInfo


class Integrations:
    """Opens what requests ask for.

    Args:
        servers: None where nobody knows any.
    """

    def __init__(self, settings: GatewaySettings, servers: ToolServers | None) -> None:
        self._settings, self._servers = settings, servers

    def check(self, wanted: Sequence[ServerAsked], caller: str) -> None:
        """Whether a caller may have these.

        Args:
            caller: the name of his key; "" for none.

        Raises:
            Forbidden, InvalidRequest.
        """
        for one in wanted:
            if isinstance(one, PluginAsked):
                self._check_plugin(one.id, caller)
            elif not self._settings.ephemeral_mcp or self._servers is None:
                raise _refused(one.server_label, "Servers that a request names are not used here", "ephemeral_mcp")
            elif not caller:
                raise _needs_key(one.server_label)

    def _check_plugin(self, id: str, caller: str) -> None:
        if not id.startswith(PLUGIN):
            raise InvalidRequest(
                f"There is no plugin {id!r} here.", hint="MCP servers are: `mcp/NAME`.", param="integrations"
            )
        if not self._settings.mcp or self._servers is None:
            raise _refused(id, "The MCP servers of this user are not for callers", "mcp")
        if not caller:
            raise _needs_key(id)

    @asynccontextmanager
    async def open(self, wanted: Sequence[ServerAsked]) -> AsyncIterator[list[Wanted]]:
        """The boxes of what is wanted, connected; they are closed in the end.

        Raises:
            BridgeError: one cannot be had; `integrations` is to blame.
        """
        async with AsyncExitStack() as opened:
            try:
                boxes = [await self._open(one, opened) for one in wanted]
                for each in boxes:
                    _refuse_if_empty(each, await each.box.tools())
            except BridgeError as error:
                error.param = "integrations"
                raise
            yield boxes

    async def _open(self, one: ServerAsked, opened: AsyncExitStack) -> Wanted:
        assert self._servers is not None  # noqa: S101 - `check` saw to it
        if isinstance(one, PluginAsked):
            box = await self._servers.of_user(one.id.removeprefix(PLUGIN), one.allowed_tools)
        else:
            local = self._settings.ephemeral_mcp_local
            box = await self._servers.at(
                one.server_label, one.server_url, one.headers or {}, one.allowed_tools, local=local
            )
        opened.push_async_callback(box.aclose)
        return Wanted(box, PluginInfo(one.id) if isinstance(one, PluginAsked) else EphemeralInfo(one.server_label))


def _refuse_if_empty(wanted: Wanted, tools: Sequence[Tool]) -> None:
    """Nobody asks for a server to be told of none of its tools.

    Raises:
        ToolServerNotAllowed.
    """
    if not tools and isinstance(wanted.info, PluginInfo):
        name = wanted.box.name
        raise ToolServerNotAllowed(
            name,
            f"Of the MCP server {name!r} no tool that is wanted may be called without asking.",
            hint=f"`lmbridge mcp servers allow {name} TOOL` allows one, `--all-tools` all of them.",
        )


def _refused(what: str, why: str, setting: str) -> Forbidden:
    return Forbidden(
        f"Permission denied to use plugin {what!r}. {why}.",
        hint=f"`{setting} = true` in [gateway] of lmbridge.toml allows it.",
        param="integrations",
    )


def _needs_key(what: str) -> Forbidden:
    return Forbidden(
        f"Permission denied to use plugin {what!r}. It is for callers with a key alone.",
        hint="Make one with `lmbridge keys create NAME`; from its next start the gateway asks everybody for one.",
        param="integrations",
    )
