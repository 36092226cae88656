"""Other people's extensions: found, checked, activated; one that fails stops no other.

Whatever one does wrong becomes an `ExtensionState`, which `lmbridge providers list` and `lmbridge doctor` show.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final, Protocol, cast, get_args

from msgspec import Struct
from msgspec.structs import replace

from lmbridge.config import Config
from lmbridge.core import settings as values
from lmbridge.core.errors import BridgeError, ConfigInvalid
from lmbridge.core.extension import Extension, ExtensionManifest, ExtensionState, Listener, SettingValue
from lmbridge.core.provider import Category, Provider
from lmbridge.core.registering import provider_problem
from lmbridge.machine.home import extension_folder, private_folder

ID: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")

Given = type[Provider] | Provider

log = logging.getLogger("lmbridge.extensions")


class Audience(Protocol):
    """The hub's activity, as far as it matters here."""

    def listen(self, listener: Callable[[Struct], None]) -> None:
        """Tell all that happens."""

    def forget(self, listener: Callable[[Struct], None]) -> None:
        """Tell no more."""


class Hosting(Protocol):
    """Who has the providers of an extension while a hub runs."""

    def join(self, extension: str, provider: Given) -> None:
        """Register what an extension gives."""

    async def part(self, extension: str, id: str) -> None:
        """Unregister what it gave."""


class Context:
    """What one extension is handed: an `ExtensionContext`.

    Attributes:
        given: the providers that it registered before a hub ran. host: takes those that come later.
    """

    host: Hosting | None = None
    ended = False

    def __init__(self, id: str, settings: Mapping[str, SettingValue], home: Path, taken: Sequence[str]) -> None:
        self._id, self._home = id, home
        self._taken = set(taken)
        self.settings = settings
        self.given: list[Given] = []
        self.listeners: list[Listener] = []

    @cached_property
    def folder(self) -> Path:
        """A folder of its own."""
        return private_folder(extension_folder(self._home, self._id))

    @property
    def logger(self) -> logging.Logger:
        """A log of its own."""
        return log.getChild(self._id)

    def register_provider(self, provider: Given) -> None:
        """Add a place where models run.

        Raises:
            ConfigInvalid: its id is taken, or it is no provider; or the extension has ended.
        """
        where = f"extension {self._id}"
        if self.ended:
            raise ConfigInvalid(where, "it has ended")
        if wrong := provider_problem(provider):
            raise ConfigInvalid(where, wrong)
        if self.host is not None:
            self.host.join(self._id, provider)
            return
        id = provider.manifest.id if isinstance(provider, type) else provider.id
        if id in self._taken:
            raise ConfigInvalid(where, f"there is a provider {id!r} already")
        self._taken.add(id)
        self.given.append(provider)

    async def unregister_provider(self, id: str) -> None:
        """Close a provider that it registered.

        Raises:
            ConfigInvalid: no hub runs, or it registered none of that id. ModelBusy.
        """
        if self.host is None:
            raise ConfigInvalid(f"extension {self._id}", "no hub runs")
        await self.host.part(self._id, id)

    def listen(self, listener: Listener) -> None:
        """Hear of what happens in the hub."""
        self.listeners.append(listener)


class Extensions:
    """All extensions of one hub, in the order of their names.

    Attributes:
        states: what became of each. contexts: of those that are active, by id.
        manifests: of all that could be read, by id.
    """

    def __init__(self) -> None:
        self.states: list[ExtensionState] = []
        self.contexts: dict[str, Context] = {}
        self.manifests: dict[str, ExtensionManifest] = {}
        self._active: list[Extension] = []
        self._heard: list[tuple[Audience, Callable[[Struct], None]]] = []

    def activate(self, points: Sequence[EntryPoint], config: Config, taken: Sequence[str]) -> None:
        """Load and activate every one that is switched on.

        Args:
            taken: ids of providers that there are already.
        """
        for point in sorted(points, key=lambda point: point.name):
            known = [*taken, *self.provided()]
            state = self._state_of(point, config, known)
            self.states.append(state)
            if state.state == "failed":
                log.debug("The extension %s failed: %s", state.id, state.reason)

    def provided(self) -> list[str]:
        """Ids of the providers that were registered so far."""
        return [id for state in self.states for id in state.providers]

    def later(self) -> set[str]:
        """Ids of the providers that active ones say they register while the hub runs."""
        return {id for extension in self._active for id in extension.manifest.later}

    def _state_of(self, point: EntryPoint, config: Config, taken: Sequence[str]) -> ExtensionState:
        package = point.dist.name if point.dist is not None else ""
        state = ExtensionState(point.name, "failed", package=package)
        if point.name in config.disabled:
            return replace(state, state="disabled")  # one that cannot even be imported is left out so
        try:
            extension = _made(point.load())
            manifest = _checked(extension, self.manifests)
            self.manifests[manifest.id] = manifest
            state = ExtensionState(
                manifest.id, "failed", manifest.display_name, manifest.description, manifest.category, package
            )
            if manifest.id in config.disabled:
                return replace(state, state="disabled")
            context = _context(manifest, config, taken)
            if inspect.iscoroutinefunction(extension.activate):
                return replace(state, reason="`activate` must not be `async`")
            extension.activate(context)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it does, others go on
            return replace(state, reason=said(error))
        self.contexts[manifest.id] = context
        self._active.append(extension)
        ids = tuple(p.manifest.id if isinstance(p, type) else p.id for p in context.given)
        return replace(state, state="active", providers=ids)

    def serve(self, activity: Audience, host: Hosting) -> None:
        """Tell the extensions what happens in a hub from now on, and let them bring providers while it runs."""
        for context in self.contexts.values():
            context.host = host
            for listener in context.listeners:
                told = _guarded(listener, context.logger)
                activity.listen(told)
                self._heard.append((activity, told))

    def gives(self, id: str, providers: Sequence[str]) -> None:
        """An extension has these providers now."""
        self.states = [replace(s, providers=tuple(providers)) if s.id == id else s for s in self.states]

    async def aclose(self) -> None:
        """Deactivate them, the last one first. Idempotent; one that fails stops no other."""
        for context in self.contexts.values():
            context.ended = True
        for activity, listener in self._heard:
            activity.forget(listener)
        self._heard.clear()
        while self._active:
            extension = self._active.pop()
            end = getattr(extension, "deactivate", None)
            if end is None:
                continue
            try:
                ending = end()
                if isinstance(ending, Awaitable):
                    await ending
            except Exception as error:  # noqa: BLE001 - it is over for all of them
                log.warning("The extension %s failed while it ended: %s", extension.manifest.id, said(error))


def _made(found: object) -> Extension:
    """The extension that an entry point leads to, made where it leads to a class."""
    extension: object = found() if isinstance(found, type) else found
    if not callable(getattr(extension, "activate", None)):
        raise ConfigInvalid("entry point", "what it leads to has no `activate`")
    return cast("Extension", extension)


def _checked(extension: Extension, known: Mapping[str, ExtensionManifest]) -> ExtensionManifest:
    manifest: object = getattr(extension, "manifest", None)
    if not isinstance(manifest, ExtensionManifest):
        raise ConfigInvalid("manifest", "an extension needs a `manifest` of the type `ExtensionManifest`")
    reason = values.problem(manifest.settings)
    if not ID.fullmatch(str(manifest.id)):
        reason = f"its id {manifest.id!r} must be of small letters, digits and single hyphens"
    elif manifest.id in known:
        reason = f"there is an extension {manifest.id!r} already"
    elif not manifest.display_name or not manifest.description:
        reason = "it needs a display name and a description"
    elif manifest.category not in get_args(Category):
        reason = f"its category {manifest.category!r} is none of {', '.join(get_args(Category))}"
    if reason:
        raise ConfigInvalid("manifest", reason)
    return manifest


def _context(manifest: ExtensionManifest, config: Config, taken: Sequence[str]) -> Context:
    where = f"[extensions.{manifest.id}]"
    begins = f"{manifest.id.replace('-', '_')}_"
    names = {setting.name for setting in manifest.settings}
    variables = {
        name: text
        for variable, text in config.extension_variables.items()
        if variable.startswith(begins) and (name := variable.removeprefix(begins)) in names
    }
    table = config.extensions.get(manifest.id, {})
    return Context(manifest.id, values.all_of(manifest.settings, table, variables, where), config.home, taken)


def _guarded(listener: Listener, logger: logging.Logger) -> Callable[[Struct], None]:
    """A listener that cannot disturb the hub; one that raised is not called again."""
    broken = False

    def told(happening: Struct) -> None:
        nonlocal broken
        if broken:
            return
        try:
            listener(happening)
        except Exception as error:  # noqa: BLE001 - the hub must not end for it
            broken = True
            logger.warning("A listener failed and is not called any more: %s", said(error))

    return told


def said(error: BaseException) -> str:
    """An error in one line, without a full stop."""
    if isinstance(error, BridgeError):
        return f"{error.message} {error.hint}".strip().rstrip(".")
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}".rstrip(": ").rstrip(".")
