"""Changing what is chosen: which providers are used, in which order, with which settings.

All of it goes into the file of `machine.choices`, never into lmbridge.toml, which wins where both say something.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from lmbridge.config import EXTENSIONS, Config
from lmbridge.core.errors import ConfigInvalid, InvalidRequest
from lmbridge.core.extension import SettingValue
from lmbridge.core.provider import ProviderContext, Setting
from lmbridge.core.settings import all_of, find, typed
from lmbridge.machine.choices import Choices, change_choices, with_setting
from lmbridge.machine.secrets import Place, SecretStore
from lmbridge.providers.anthropic import AnthropicProvider
from lmbridge.providers.anthropic.settings import URL
from lmbridge.providers.openai import OpenAIProvider
from lmbridge.providers.openai.presets import PRESETS
from lmbridge.registry.registry import Registry

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
OTHER: Final = "other"
"""In place of a preset, for a server of no known sort that speaks OpenAI's language."""
ANTHROPIC: Final = "anthropic"
"""Anthropic's API, or a server that speaks its language."""

_TABLES: Final = ("openai", "anthropic")
"""The tables of servers that have names."""

Change: TypeAlias = Callable[[Choices], Choices]


class Target(Struct, frozen=True):
    """Whose settings are meant.

    Attributes:
        path: of its table, without the name of a setting. values: what is set now, secrets among them.
    """

    path: tuple[str, ...]
    settings: Sequence[Setting]
    values: dict[str, object]

    def __repr__(self) -> str:
        return f"Target({self.where!r})"

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"[{'.'.join(self.path)}]"


class Chooser:
    """Changes what is chosen for one home folder.

    Args:
        config: the settings as they are. registry: what they make.
        secrets: where secrets go, default the system's keyring or a file.
    """

    def __init__(self, config: Config, registry: Registry, secrets: SecretStore | None = None) -> None:
        self._config, self._registry = config, registry
        self._secrets = secrets or SecretStore.of(config.home)

    # -- which ones -------------------------------------------------------------------------------

    def enable(self, id: str) -> None:
        """Use a provider or an extension again.

        Raises:
            InvalidRequest: there is none. ConfigInvalid: it is lmbridge.toml, or the environment, that says no.
        """
        self._refuse_unknown(id)
        if id in self._config.disabled and id not in self._config.kept.disabled:
            where = self._config.source or "LMBRIDGE_DISABLED"
            raise ConfigInvalid(where, f"`disabled` names {id!r} there", hint="Take it out there.")
        self._change(lambda now: replace(now, disabled=tuple(each for each in now.disabled if each != id)))

    def disable(self, id: str) -> str:
        """Use one no more; returns the default provider from now on, "" where the hub chooses.

        Raises:
            InvalidRequest: there is none.
        """
        self._refuse_unknown(id)
        gone = {id, *(entry.id for entry in self._registry.entries if entry.extension == id)}
        default = self._default_without(gone)
        disabled = (*(each for each in self._config.kept.disabled if each != id), id)
        self._change(lambda now: replace(now, disabled=disabled, default=default))
        return default

    def set_default(self, id: str) -> None:
        """Let a provider answer who names no model; "" lets the hub choose.

        Raises:
            InvalidRequest: there is none, or it is not used. ConfigInvalid: lmbridge.toml names another one.
        """
        if id:
            entry = self._registry.entry(id)
            if entry is None:
                raise self._unknown(id, providers_alone=True)
            if entry.state != "built":
                hint = f"`lmbridge providers enable {id}`" if entry.state == "disabled" else entry.reason
                raise InvalidRequest(f"The provider {id!r} is {entry.state}.", hint=f"{hint}.", param="id")
        if self._config.default_provider not in (self._config.kept.default, id):
            where = self._config.source or "LMBRIDGE_DEFAULT_PROVIDER"
            reason = f"`default_provider` is {self._config.default_provider!r} there"
            raise ConfigInvalid(where, reason, hint="That goes first: change it there.")
        self._change(lambda now: replace(now, default=id))

    def order(self, ids: Sequence[str]) -> None:
        """Let providers come first, in this order; none puts back the usual one.

        Raises:
            InvalidRequest: there is none of that name, or one is named twice. ConfigInvalid: as `set_default`.
        """
        for id in ids:
            if self._registry.entry(id) is None:
                raise self._unknown(id, providers_alone=True)
        if len(set(ids)) != len(ids):
            raise InvalidRequest("A provider is named twice.", param="ids")
        if self._config.provider_order not in (self._config.kept.order, tuple(ids)):
            where = self._config.source or "LMBRIDGE_PROVIDER_ORDER"
            raise ConfigInvalid(where, "`provider_order` is set there", hint="That goes first: change it there.")
        self._change(lambda now: replace(now, order=tuple(ids)))

    def _default_without(self, gone: set[str]) -> str:
        """The default provider when some go: the next in the order takes the place of one that was chosen."""
        chosen = self._config.kept.default
        if chosen not in gone:
            return chosen
        return next((p.id for p in self._registry.providers if p.id not in gone), "")

    # -- settings ---------------------------------------------------------------------------------

    def targets(self, id: str) -> list[Target]:
        """Whose settings an id means: those of the provider, and those of the extension that is called so.

        Raises:
            InvalidRequest: there is neither.
        """
        found: list[Target] = []
        entry = self._registry.entry(id)
        if entry is not None and entry.kind is not None and entry.manifest is not None:
            found.append(Target(entry.table, entry.manifest.settings, dict(entry.settings)))
        extension = self._registry.extensions.manifests.get(id)
        if extension is not None:
            table = self._config.extensions.get(id, {})
            found.append(Target((EXTENSIONS, id), extension.settings, dict(table)))
        if not found:  # disabled, or failed: there it is all the same
            self._refuse_unknown(id)
        return found

    def find(self, id: str, name: str) -> tuple[Target, Setting]:
        """The setting of that name.

        Raises:
            InvalidRequest: there is no such provider or extension. ConfigInvalid: it has no such setting.
        """
        targets = self.targets(id)
        for target in targets:
            for setting in target.settings:
                if setting.name == name:
                    return target, setting
        if not targets:
            raise ConfigInvalid(f"provider {id}", "it has no settings here")
        known = [setting for target in targets for setting in target.settings]
        return targets[0], find(known, name, targets[0].where)  # which raises

    def check_value(self, id: str, name: str, text: str) -> SettingValue:
        """The value that a text stands for.

        Raises:
            InvalidRequest, ConfigInvalid: as `find`; or the setting cannot have it.
        """
        target, setting = self.find(id, name)
        value = typed(setting, text, target.where, lenient=True)
        self._refuse_useless(target, {**target.values, name: value})
        return value

    def set_value(self, id: str, name: str, text: str) -> SettingValue | Place:
        """Give a setting a value; returns it, or for a secret where it is kept.

        Raises:
            InvalidRequest, ConfigInvalid: as `check_value`; nothing is written then.
        """
        target, setting = self.find(id, name)
        value = self.check_value(id, name, text)
        path = (*target.path, name)
        if setting.type != "secret":
            self._put(path, list(value) if isinstance(value, tuple) else value)
            return value
        place = self._secrets.put("/".join(path), text)
        self._change(lambda now: replace(now, secrets=tuple(dict.fromkeys((*now.secrets, "/".join(path))))))
        return place

    def unset_value(self, id: str, name: str) -> None:
        """Let a setting have its default again.

        Raises:
            InvalidRequest: it was not set here. ConfigInvalid: it must be set.
        """
        target, setting = self.find(id, name)
        path = (*target.path, name)
        secret = "/".join(path)
        if secret not in self._config.kept.secrets and not _there(self._config.kept, path):
            hint = "lmbridge.toml or the environment has it." if name in target.values else "It has its default."
            raise InvalidRequest(f"{name!r} was not set by `lmbridge providers`.", hint=hint, param="name")
        self._refuse_useless(target, {key: value for key, value in target.values.items() if key != name})
        if setting.type == "secret":
            self._secrets.remove(secret)
            self._change(lambda now: replace(now, secrets=tuple(s for s in now.secrets if s != secret)))
        else:
            self._put(path, None)

    def _refuse_useless(self, target: Target, values: dict[str, object]) -> None:
        """Make sure, before anything is written, that what there would be is usable."""
        entry = next((e for e in self._registry.entries if e.table == target.path), None)
        if entry is None or entry.kind is None:
            all_of(target.settings, values, {}, target.where)
        else:
            entry.kind.create(values, ProviderContext(self._config.home, entry.id))

    def _put(self, path: tuple[str, ...], value: object | None) -> None:
        if path[0] == EXTENSIONS:
            change = path[1:]
            self._change(lambda now: replace(now, extensions=with_setting(now.extensions, change, value)))
        else:
            self._change(lambda now: replace(now, providers=with_setting(now.providers, path, value)))

    # -- servers ----------------------------------------------------------------------------------

    def add(self, preset: str, name: str = "", url: str = "", key_env: str = "") -> str:
        """Set up a server; returns its name.

        Args:
            preset: its sort; `OTHER` for one that is not known, which needs a name and a URL.

        Raises:
            InvalidRequest: the name cannot be used, or is in use. ConfigInvalid: the URL cannot be.
        """
        name = name or ("" if preset == OTHER else preset)
        if not NAME.fullmatch(name):
            hint = "Use 1 to 64 letters, digits or `._-`, beginning with a letter or digit."
            raise InvalidRequest(f"{name!r} cannot be the name of a server.", hint=hint, param="name")
        if self._registry.entry(name) is not None:
            hint = "Give it another name, as second argument."
            raise InvalidRequest(f"There is a provider {name!r} already.", hint=hint, param="name")
        values = {"url": url, "key_env": key_env}
        if preset == ANTHROPIC:
            values["url"] = url or URL
        elif preset != OTHER:
            values["preset"] = preset
        table: dict[str, object] = {key: value for key, value in values.items() if value}
        kind = AnthropicProvider if preset == ANTHROPIC else OpenAIProvider
        kind.create(table, ProviderContext(self._config.home, name))
        self._put((kind.manifest.id, name), table)
        return name

    def remove(self, name: str) -> str:
        """Forget a server that was added; returns the default provider from now on.

        Raises:
            InvalidRequest: none of that name was added here.
        """
        paths = [(table, name) for table in _TABLES if _there(self._config.kept, (table, name))]
        if not paths:
            hint = "Servers of lmbridge.toml are taken out there; `lmbridge providers disable` switches one off."
            raise InvalidRequest(f"No server {name!r} was added here.", hint=hint, param="name")
        path = paths[0]
        begins = f"{'/'.join(path)}/"
        mine = [secret for secret in self._config.kept.secrets if secret.startswith(begins)]
        for secret in mine:
            self._secrets.remove(secret)
        default = self._default_without({name})
        self._change(
            lambda now: replace(
                now,
                default=default,
                order=tuple(each for each in now.order if each != name),
                disabled=tuple(each for each in now.disabled if each != name),
                secrets=tuple(secret for secret in now.secrets if secret not in mine),
                providers=with_setting(now.providers, path, None),
            )
        )
        return default

    # -- what all share ---------------------------------------------------------------------------

    def _change(self, change: Change) -> None:
        kept = change_choices(self._config.home, change)
        self._config = replace(self._config, kept=kept)

    def _refuse_unknown(self, id: str) -> None:
        known = {entry.id for entry in self._registry.entries}
        if id not in known | {state.id for state in self._registry.extensions.states}:
            raise self._unknown(id)

    def _unknown(self, id: str, *, providers_alone: bool = False) -> InvalidRequest:
        states = () if providers_alone else self._registry.extensions.states
        known = [*(e.id for e in self._registry.entries), *(state.id for state in states)]
        near = get_close_matches(id, known, n=1)
        meant = f"Did you mean {near[0]!r}? " if near else ""
        more = f" A server is added with `lmbridge providers add {id}`." if id in PRESETS else ""
        hint = f"{meant}There are: {', '.join(dict.fromkeys(known))}.{more}"
        what = "provider" if providers_alone else "provider or extension"
        return InvalidRequest(f"There is no {what} {id!r}.", hint=hint, param="id")


def _there(kept: Choices, path: tuple[str, ...]) -> bool:
    """Whether something of that path was set here."""
    value: object = {**kept.providers, EXTENSIONS: kept.extensions}
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True
