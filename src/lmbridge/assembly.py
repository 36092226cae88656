"""connect(): the one builder. Settings in, hub out.

The only place that joins providers and hub. Which providers there are is the registry's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lmbridge.config import Config, load_config
from lmbridge.core.errors import NotRunning
from lmbridge.core.hub import AnyHub
from lmbridge.core.provider import Provider
from lmbridge.core.tools import Toolbox
from lmbridge.hub.act.actor import HubActor
from lmbridge.hub.hub import Hub
from lmbridge.machine.gateway_file import GatewayFile
from lmbridge.machine.home import usage_file
from lmbridge.registry import Registry

if TYPE_CHECKING:
    from lmbridge.hub.usage import Ledger
    from lmbridge.tools.mcp.box import MCPBox
    from lmbridge.tools.mcp.lending import Lending
    from lmbridge.tools.mcp.servers import MCPServers


@asynccontextmanager
async def connect(
    config: Config | None = None, *, gateway: bool | None = None, files: Sequence[Path] = ()
) -> AsyncIterator[AnyHub]:
    """The models of this computer: `async with lmbridge.connect() as hub: ...`.

    Args:
        config: settings; default what environment and lmbridge.toml say.
        gateway: True: ask the running gateway of this user, there must be one. False: never. None: if
            one runs and the settings allow it, so that all programs share its loaded models.
        files: GGUF files to offer besides those of the settings, to be named by their path. A gateway opens
            no file that a request names, so they are used in this process.

    Raises:
        ConfigInvalid: a setting that cannot be used. NotRunning: *gateway* is True and none runs.
    """
    config = config or load_config()
    wanted = (config.use_gateway and not files) if gateway is None else gateway
    found = GatewayFile.read(config.home) if wanted else None
    if found is not None and found.alive:
        from lmbridge.clients.lmbridge import RemoteHub

        async with RemoteHub(found.url, found.key, actor=HubActor(_toolbox_of)) as remote:
            yield remote
        return
    if gateway:
        raise NotRunning
    async with build_hub(config, files) as hub:
        yield hub


def _with_files(config: Config, files: Sequence[Path]) -> Config:
    """The settings, with *files* first among the folders of the embedded engine."""
    if not files:
        return config
    table = config.providers.get("embedded", {})
    folders = table.get("folders", [])
    more = [*map(str, files), *(folders if isinstance(folders, list) else [folders])]
    return replace(config, providers={**config.providers, "embedded": {**table, "folders": more}})


def build_hub(config: Config, files: Sequence[Path] = (), *, place: str = "process") -> Hub:
    """A hub in this process, whatever gateway runs.

    Args:
        files: GGUF files to offer besides those of the settings, to be named by their path.
        place: what the ledger of usage calls this process: `gateway`, or `process` for any other.

    Raises:
        ConfigInvalid: a table of lmbridge.toml that no provider answers to, or that its provider refuses.
    """
    registry = Registry(_with_files(config, files))
    hub = Hub(
        registry.providers,
        default_model=config.model,
        default_embedding_model=config.embedding_model,
        options=config.load,
        jit=config.jit,
        auto_evict=config.auto_evict,
        truncate=config.truncate,
        default_provider=config.default_provider,
        toolbox_of=_toolbox_of,
        ledger=ledger(config, place) if config.usage_days else None,
        attached=[registry],
    )
    registry.serve(hub)
    return hub


def ledger(config: Config, place: str = "process") -> Ledger:
    """The ledger of usage of this user."""
    from lmbridge.hub.database import DAY_S
    from lmbridge.hub.usage import Ledger

    return Ledger(usage_file(config.home), config.usage_days * DAY_S, place=place)


def _toolbox_of(functions: Sequence[Callable[..., object]]) -> Toolbox:
    """Python functions as a box of tools."""
    from lmbridge.tools.functions import FunctionTools

    return FunctionTools(functions)


def build_providers(config: Config) -> Iterator[Provider]:
    """The providers that the settings ask for. A `named` one exists only where it has a table.

    Raises:
        ConfigInvalid: as `build_hub`.
    """
    yield from Registry(config).providers


def mcp_servers(config: Config) -> MCPServers:
    """The MCP servers of this user: those of the settings, and of LM Studio's `mcp.json`."""
    from lmbridge.tools.mcp.servers import MCPServers

    return MCPServers(config.home, config.mcp, config.source)


def mcp_server(
    name: str = "",
    *,
    command: str = "",
    url: str = "",
    env: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    config: Config | None = None,
) -> MCPBox:
    """The tools of an MCP server for `Model.act`: `async with lmbridge.mcp_server("files") as files: ...`.

    It is started, or connected to, when it is first asked for something. A server of the user's is used as he
    agreed with `lmbridge mcp servers allow`; whoever writes a command line or a URL here has agreed to it. Which
    calls are made is for the `approve` of `Model.act` to say, save those that the user forbade.

    Args:
        name: one of the user's servers; with a command or a URL, what it is called.
        command: a command line that starts one. env: variables it gets besides ours, which are without secrets.
        url: the address of one that speaks streamable HTTP. headers: sent with each request.
        config: settings; default what environment and lmbridge.toml say.

    Raises:
        ToolServerNotFound, ToolServerNotAllowed: no such server, or the user did not agree to it.
        ToolServerUnavailable: what is given cannot be started. MissingExtra: the package `mcp` is not installed.
    """
    found = mcp_servers(config or load_config())
    if not command and not url:
        return found.box(found.entry(name))
    from lmbridge.machine.mcp.entries import checked, of_command, of_url
    from lmbridge.tools.mcp.box import MCPBox
    from lmbridge.tools.mcp.rules import Rules

    if command and not url:
        entry = replace(of_command(command, name), env=dict(env or {}), cwd=str(Path.cwd()))
    else:
        entry = replace(of_url(url, name), command=command, headers=dict(headers or {}))
    entry = entry if entry.problem else checked(entry)
    return MCPBox(entry, Rules.of(entry, found.consents))


def tool_servers(config: Config) -> Lending:
    """The same for callers of the gateway, where nobody can be asked."""
    from lmbridge.tools.mcp.lending import Lending

    return Lending(mcp_servers(config), config.gateway.mcp_idle_s)
