"""connect(): the one builder. Settings in, hub out.

The only place that joins providers and hub. Providers are found through the entry-point group
`lmbridge.providers`, so that other people's packages add some without a change here.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from msgspec.structs import replace

from lmbridge.config import PREFIX, TABLES, Config, load_config
from lmbridge.core.errors import ConfigInvalid, NotRunning
from lmbridge.core.hub import AnyHub
from lmbridge.core.provider import Provider, ProviderContext
from lmbridge.hub.hub import Hub
from lmbridge.machine.gateway_file import GatewayFile

GROUP = "lmbridge.providers"

ORDER = ("lmstudio", "embedded", "openai")
"""Where a name fits models of several providers, the earlier one wins; other people's come last."""


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

        async with RemoteHub(found.url, found.key) as remote:
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


def build_hub(config: Config, files: Sequence[Path] = ()) -> Hub:
    """A hub in this process, whatever gateway runs.

    Args:
        files: GGUF files to offer besides those of the settings, to be named by their path.

    Raises:
        ConfigInvalid: a table of lmbridge.toml that no provider answers to, or that its provider refuses.
    """
    return Hub(
        list(build_providers(_with_files(config, files))),
        default_model=config.model,
        default_embedding_model=config.embedding_model,
        options=config.load,
        jit=config.jit,
        auto_evict=config.auto_evict,
        truncate=config.truncate,
    )


def build_providers(config: Config) -> Iterator[Provider]:
    """The providers that the settings ask for. A `named` one exists only where it has a table."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    known = sorted({*points, *TABLES})
    for stray in config.providers.keys() - points.keys():
        near = get_close_matches(stray, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
        raise ConfigInvalid(_place(stray, config), f"there is no table {stray!r} of settings", hint=hint)
    taken: set[str] = set()
    unused = set(config.disabled)
    for point in sorted(points.values(), key=_rank):
        provider = point.load()
        table = config.providers.get(point.name)
        for name, settings in _tables(point.name, table, provider.manifest.named):
            unused.discard(name)
            if name in config.disabled:
                continue
            if name in taken:
                # Its models could not be told from those of the other.
                reason, hint = f"there is a provider {name!r} already", "Give the table another name."
                raise ConfigInvalid(f"[{point.name}.{name}]", reason, hint=hint)
            taken.add(name)
            yield provider.create(settings, ProviderContext(config.home, name))
    if unused:
        stray = min(unused)
        raise ConfigInvalid(
            config.source or f"{PREFIX}DISABLED", f"`disabled` names {stray!r}, and there is no such provider"
        )


def _place(table: str, config: Config) -> str:
    """Where a table comes from: the variable that stands for one of its settings, else the file."""
    prefix = f"{PREFIX}{table.upper()}_"
    return next((name for name in sorted(os.environ) if name.startswith(prefix)), config.source or "environment")


def _rank(point: EntryPoint) -> tuple[int, str]:
    return (ORDER.index(point.name) if point.name in ORDER else len(ORDER), point.name)


def _tables(
    name: str, table: Mapping[str, object] | None, named: bool
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The settings of each provider that one table describes: its own, and those of its sub-tables."""
    if not named:
        yield name, table or {}
        return
    if table is None:
        return
    own = {k: v for k, v in table.items() if not isinstance(v, dict)}
    if own or not table:  # an empty one is refused by its provider, which says what is missing
        yield name, own
    for key, value in table.items():
        if isinstance(value, dict):
            yield key, value
