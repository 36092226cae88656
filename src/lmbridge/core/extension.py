"""What other people's packages add to lmbridge: extensions, and what they are handed.

An extension is an object (or a class that makes one) named by the entry-point group `lmbridge.extensions`. It is
activated when a hub is built and deactivated when that hub closes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from logging import Logger
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from lmbridge.core.provider import Category, Provider, Setting

SettingValue: TypeAlias = str | int | float | bool | tuple[str, ...] | None

Listener: TypeAlias = Callable[[Struct], None]
"""Called with each thing that happens in the hub (`hub.happenings`): names and numbers, never a prompt."""


class ExtensionManifest(Struct, frozen=True):
    """Who an extension is.

    Attributes:
        id: lower-case letters, digits and hyphens, a letter first; its table is `[extensions.ID]`.
        settings: those of the extension itself. Providers that it registers have tables and settings of their own.
        later: ids of the providers that it registers while the hub runs, so that their tables, and the settings
            that name them, are known from the start.
    """

    id: str
    display_name: str
    description: str
    category: Category = "ai"
    settings: tuple[Setting, ...] = ()
    later: tuple[str, ...] = ()


class ExtensionContext(Protocol):
    """What an extension is handed when it is activated."""

    @property
    def settings(self) -> Mapping[str, SettingValue]:
        """Every setting of its manifest, of the type that it has there; unset ones have their default."""

    @property
    def folder(self) -> Path:
        """A folder of its own that is kept from run to run, made when it is first asked for."""

    @property
    def logger(self) -> Logger:
        """A log of its own: `lmbridge.extensions.ID`."""

    def register_provider(self, provider: type[Provider] | Provider) -> None:
        """Add a place where models run: while the extension is activated, or at any time after that.

        Later it is to be called in the hub's event loop, as from a task; the models are there at once.

        Args:
            provider: a class, which is built from its own table by `create`; or an object that is ready.

        Raises:
            ConfigInvalid: there is a provider of that id already, or what is given is none.
        """

    async def unregister_provider(self, id: str) -> None:
        """Close a provider that this extension registered; see `AnyHub.unregister`.

        Raises:
            ConfigInvalid: it did not register one of that id, or no hub runs.
            ModelBusy: one of its models answers, loads or is waited for.
        """

    def listen(self, listener: Listener) -> None:
        """Hear of what happens in the hub, from its start until the extension is deactivated."""


class Extension(Protocol):
    """What an entry point of the group leads to. `deactivate` may be left out."""

    manifest: ExtensionManifest

    def activate(self, context: ExtensionContext) -> None:
        """Begin. Quick, and without I/O: what it connects to is connected when it is first used."""


class Deactivating(Protocol):
    """An extension that has something to end."""

    def deactivate(self) -> Awaitable[None] | None:
        """End. Called once, after the providers are closed."""


class ExtensionState(Struct, frozen=True, omit_defaults=True):
    """What became of an extension, or of a provider of another package: a fact, never an exception.

    Attributes:
        id: of its manifest; the name of its entry point where that could not be read.
        package: the distribution that it comes with.
        reason: why it failed, "" if it did not.
        providers: ids of what it registered.
    """

    id: str
    state: Literal["active", "disabled", "failed"]
    display_name: str = ""
    description: str = ""
    category: Category = "ai"
    package: str = ""
    reason: str = ""
    providers: tuple[str, ...] = ()
