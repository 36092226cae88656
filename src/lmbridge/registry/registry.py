"""All providers of one hub, in their order, with the reasons why some are not there."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from lmbridge.config import EXTENSIONS as EXTENSIONS_TABLE
from lmbridge.config import PREFIX, TABLES, Config
from lmbridge.core.errors import ConfigInvalid, ShuttingDown
from lmbridge.core.provider import Manifest, Provider, ProviderContext
from lmbridge.core.registering import provider_problem
from lmbridge.hub.roster import default_of
from lmbridge.registry.extensions import Extensions, Given, said

if TYPE_CHECKING:
    from lmbridge.hub.hub import Hub

PROVIDERS: Final = "lmbridge.providers"
EXTENSIONS: Final = "lmbridge.extensions"

ORDER: Final = ("lmstudio", "embedded", "openai", "anthropic")
"""Where a name fits models of several providers, the earlier one wins; other people's come last."""

Points = Callable[[str], Iterable[EntryPoint]]

log = logging.getLogger("lmbridge.registry")


class Entry(Struct, frozen=True):
    """A provider that there could be.

    Attributes:
        table: where its settings are: a table of lmbridge.toml, and one within it for those that are named.
        state: `built`; else why not: `disabled`, or `failed`, with a *reason*.
        kind: what it is built by; None for one that came ready made, and has no settings here.
        extension: id of the one that registered it, "" for none.
    """

    id: str
    table: tuple[str, ...]
    state: Literal["built", "disabled", "failed"]
    manifest: Manifest | None = None
    kind: type[Provider] | None = None
    settings: Mapping[str, object] = {}
    reason: str = ""
    extension: str = ""
    provider: Provider | None = None

    def __repr__(self) -> str:
        return f"Entry({self.id!r}, {self.state!r})"  # its settings hold secrets


class _Source(Struct, frozen=True):
    """Where a provider comes from."""

    name: str
    given: Given
    own: bool
    extension: str = ""


class _Table(Struct, frozen=True):
    """The settings of one provider, and where they are."""

    path: tuple[str, ...]
    settings: Mapping[str, object]

    @property
    def id(self) -> str:
        return self.path[-1]


class Registry:
    """The providers and extensions that the settings ask for.

    Attributes:
        entries: every provider, the disabled and the failed ones too, in the order that counts.
        extensions: those of other packages.
    """

    def __init__(self, config: Config, points: Points | None = None) -> None:
        """Build everything.

        Args:
            points: finds entry points of a group; default those of what is installed.

        Raises:
            ConfigInvalid: a table of lmbridge.toml that no provider answers to, or one of lmbridge's own
                providers refuses. What other packages do wrong is in their entries instead.
        """
        found = points or (lambda group: entry_points(group=group))
        self._config = config
        self._hub: Hub | None = None
        self.extensions = Extensions()
        entries, sources = self._sources(list(found(PROVIDERS)))
        self.extensions.activate(list(found(EXTENSIONS)), config, [source.name for source in sources])
        sources += self._registered()
        later = self.extensions.later()
        self._refuse_strays([*(source.name for source in sources), *(entry.id for entry in entries), *later])
        known = {state.id for state in self.extensions.states} | later
        self._unused = set(config.disabled) - set(config.kept.disabled) - known
        self._taken: set[str] = set()
        entries += [entry for source in sources for entry in self._entries(source)]
        self._unused -= {entry.id for entry in entries}
        self._refuse_unused()
        self.entries: Sequence[Entry] = sorted(entries, key=self._place)

    @property
    def providers(self) -> list[Provider]:
        """Those that were built, in their order."""
        return [entry.provider for entry in self.entries if entry.provider is not None]

    @property
    def default(self) -> str:
        """Id of the provider that answers who names no model; "" lets the hub choose.

        Where the one that was chosen is not there any more, the first that is no cloud takes its place.
        """
        return default_of(self._config.default_provider, self.providers)

    def entry(self, id: str) -> Entry | None:
        """The provider with an id, whatever became of it."""
        return next((entry for entry in self.entries if entry.id == id), None)

    def serve(self, hub: Hub) -> None:
        """Tell the extensions what happens in a hub that has these providers, and take what they bring later."""
        self._hub = hub
        self.extensions.serve(hub.activity, self)

    def join(self, extension: str, provider: Given) -> None:
        """Register what an extension gives while the hub runs; a class is built from its table, as at the start.

        Raises:
            ConfigInvalid: there is one of its id already, or its table is wrong. ShuttingDown.
        """
        hub = self._running()
        self._taken = {p.id for p in hub.providers}
        id = provider.manifest.id if isinstance(provider, type) else provider.id
        if id in self._taken:
            raise ConfigInvalid(f"extension {extension}", f"there is a provider {id!r} already")
        for entry in list(self._entries(_Source(id, provider, own=False, extension=extension))):
            if entry.state == "failed":
                raise ConfigInvalid(f"extension {extension}", entry.reason)
            others = [other for other in self.entries if other.id != entry.id]
            self.entries = sorted([*others, entry], key=self._place)
            if entry.provider is not None:
                hub.register(entry.provider, before=self._next(entry))
        self._told(extension)

    async def part(self, extension: str, id: str) -> None:
        """Unregister what an extension gave.

        Raises:
            ConfigInvalid: it gave none of that id. ModelBusy: one of its models is needed.
        """
        if not any(entry.id == id and entry.extension == extension for entry in self.entries):
            raise ConfigInvalid(f"extension {extension}", f"it has registered no provider {id!r}")
        await self._running().unregister(id)
        self.entries = [entry for entry in self.entries if entry.id != id]
        self._told(extension)

    def _running(self) -> Hub:
        if self._hub is None:
            raise ShuttingDown
        return self._hub

    def _next(self, entry: Entry) -> str:
        """Id of the provider that comes after one in the order; "" for none."""
        there = {p.id for p in self._running().providers}
        later = self.entries[list(self.entries).index(entry) + 1 :]
        return next((other.id for other in later if other.id in there), "")

    def _told(self, extension: str) -> None:
        self.extensions.gives(extension, [e.id for e in self.entries if e.extension == extension])

    async def aclose(self) -> None:
        """End the extensions; the providers are closed by whoever has them. Idempotent."""
        await self.extensions.aclose()

    # -- building ---------------------------------------------------------------------------------

    def _sources(self, points: Sequence[EntryPoint]) -> tuple[list[Entry], list[_Source]]:
        """The classes that entry points lead to, and entries for those that lead nowhere or are not to be used."""
        others: list[Entry] = []
        sources: list[_Source] = []
        for point in sorted(points, key=lambda point: _rank(point.name)):
            own = point.value.startswith("lmbridge.")
            if not own and point.name in self._config.disabled:
                others.append(Entry(point.name, (point.name,), "disabled"))
                continue
            try:
                given = point.load()
            except (Exception, SystemExit) as error:
                if own:
                    raise
                others.append(Entry(point.name, (point.name,), "failed", reason=said(error)))
                continue
            if not own and (wrong := provider_problem(given)):
                others.append(Entry(point.name, (point.name,), "failed", reason=wrong))
            else:
                sources.append(_Source(point.name, given, own))
        return others, sources

    def _registered(self) -> list[_Source]:
        return [
            _Source(given.manifest.id if isinstance(given, type) else given.id, given, own=False, extension=id)
            for id, context in self.extensions.contexts.items()
            for given in context.given
        ]

    def _entries(self, source: _Source) -> Iterator[Entry]:
        given = source.given
        if not isinstance(given, type):
            yield self._entry(source, _Table((given.id,), {}), lambda: given)
            return
        for table in _tables(source.name, self._config.providers.get(source.name), given.manifest.named):
            if table.id in self._taken and table.id not in self._config.disabled:
                # Its models could not be told from those of the other.
                reason, hint = f"there is a provider {table.id!r} already", "Give the table another name."
                raise ConfigInvalid(f"[{'.'.join(table.path)}]", reason, hint=hint)
            context = ProviderContext(self._config.home, table.id)
            yield self._entry(source, table, partial(given.create, table.settings, context), given)

    def _entry(
        self, source: _Source, table: _Table, build: Callable[[], Provider], kind: type[Provider] | None = None
    ) -> Entry:
        entry = Entry(
            table.id,
            table.path,
            "disabled",
            source.given.manifest,
            kind,
            table.settings,
            extension=source.extension,
        )
        if table.id in self._config.disabled:
            return entry
        self._taken.add(table.id)
        try:
            return replace(entry, state="built", provider=build())
        except Exception as error:
            if source.own:
                raise
            return replace(entry, state="failed", reason=said(error))

    def _place(self, entry: Entry) -> int:
        order = self._config.provider_order
        return order.index(entry.id) if entry.id in order else len(order)

    # -- what nobody answers to -------------------------------------------------------------------

    def _refuse_strays(self, tables: Sequence[str]) -> None:
        """Make sure that every table has its provider; those of extensions that are not active have to wait."""
        config = self._config
        strays = config.providers.keys() - set(tables)
        known = sorted({*tables, *TABLES, EXTENSIONS_TABLE})
        for stray in sorted(strays - (config.kept.providers.keys() | self._waiting(strays))):
            near = get_close_matches(stray, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
            raise ConfigInvalid(_where(stray, config), f"there is no table {stray!r} of settings", hint=hint)
        for stray in sorted(config.extensions.keys() - {state.id for state in self.extensions.states}):
            if stray not in config.kept.extensions:
                hint = "`lmbridge providers list` shows those that are installed."
                raise ConfigInvalid(f"[extensions.{stray}]", f"there is no extension {stray!r}", hint=hint)

    def _waiting(self, strays: Iterable[str]) -> set[str]:
        """The tables that may belong to an extension which is switched off or failed."""
        idle = [state.id for state in self.extensions.states if state.state != "active"]
        if not idle:
            return set()
        for stray in strays:
            log.info("The table [%s] is not used: an extension is not active (%s).", stray, ", ".join(idle))
        return set(strays)

    def _refuse_unused(self) -> None:
        idle = any(state.state != "active" for state in self.extensions.states)
        if self._unused and not idle:
            where = self._config.source or f"{PREFIX}DISABLED"
            raise ConfigInvalid(where, f"`disabled` names {min(self._unused)!r}, and there is no such provider")


def _where(table: str, config: Config) -> str:
    """Where a table comes from: the variable that stands for one of its settings, else the file."""
    prefix = f"{PREFIX}{table.upper()}_"
    return next((name for name in sorted(os.environ) if name.startswith(prefix)), config.source or "environment")


def _rank(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _tables(name: str, table: Mapping[str, object] | None, named: bool) -> Iterator[_Table]:
    """The settings of each provider that one table describes: its own, and those of its sub-tables."""
    if not named:
        yield _Table((name,), table or {})
        return
    if table is None:
        return
    own = {k: v for k, v in table.items() if not isinstance(v, dict)}
    if own or not table:  # an empty one is refused by its provider, which says what is missing
        yield _Table((name,), own)
    for key, value in table.items():
        if isinstance(value, dict):
            yield _Table((name, key), value)
