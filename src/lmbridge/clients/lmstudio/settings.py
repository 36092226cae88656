"""The settings of LM Studio: the table `[lmstudio]` of lmbridge.toml and what the environment says.

Read are the variables of LM Studio itself, of its SDK, and of the two programs whose users come from
there. The variables `LMBRIDGE_LMSTUDIO_*` are `lmbridge.config`'s affair: they are put into the table
before it comes here, and `config` decides that they win.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from lmbridge.core.errors import ConfigInvalid

DEFAULT_URL: Final = "http://localhost:1234"
"""Where LM Studio listens unless told otherwise."""

TABLE: Final = "[lmstudio]"

# LM_API_TOKEN is the documented one and LMSTUDIO_API_TOKEN the SDK's. LMSTUDIO_API_KEY comes last, because
# it often holds the placeholder that OpenAI's clients insist on.
TOKEN_VARIABLES: Final = ("LM_API_TOKEN", "LMSTUDIO_API_TOKEN", "LMSTUDIO_API_KEY")
URL_VARIABLES: Final = ("LMSTUDIO_BASE_URL", "CODEX_OSS_BASE_URL")
PORT_VARIABLE: Final = "CODEX_OSS_PORT"
NATIVE_VARIABLE: Final = "LMSTUDIO_USE_NATIVE_API"

_WORDS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
# What people copy from LM Studio's window or its documentation, the longest first.
_ROUTES: Final = ("/api/v1", "/api/v0", "/v1")
# Addresses to listen on, which cannot be connected to everywhere.
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 (replaced, never bound)

_UNKNOWN: Final = re.compile(r"unknown field `(.*?)`", re.DOTALL)
_AT: Final = re.compile(r" - at `\$\.?(.*?)`$")
_QUOTED: Final = re.compile(r"`([^`]*)`")
_TYPES: Final = {"str": "a string", "float": "a number", "bool": "true or false", "null": "nothing"}

_Seconds: TypeAlias = Annotated[float, Meta(gt=0)]


class LMStudioSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything about one LM Studio that can be set.

    Attributes:
        url: its address, with or without `/v1`; "" finds it: the port it is set to, else `DEFAULT_URL`.
        token: its API token, where it asks for one. In no log, error or `repr`.
        native_api: True insists on its own API (`/api/v1`), False on the OpenAI routes alone, None finds out.
        model: answers who names no model. fast, standard, premium: models to be asked for by these words.
        embedding_model: embeds for who names no model.
        autostart: start it when it is needed and down. auto_download: get a model that is asked for and missing.
        connect_timeout: seconds for a connection.
        first_byte_timeout: seconds from a prompt to the beginning of its answer, loading included.
        idle_timeout: seconds of silence within an answer.
        ask_timeout: seconds for what needs no model: a list, a status, an unload.
        load_timeout: seconds for loading one model.
        start_timeout: seconds for starting LM Studio itself; it takes up to a minute when it is cold.

    None as a timeout waits for as long as it takes.

    Raises:
        ConfigInvalid: a URL or a token that cannot be used.
    """

    url: str = ""
    token: str = ""
    native_api: bool | None = None
    model: str = ""
    fast: str = ""
    standard: str = ""
    premium: str = ""
    embedding_model: str = ""
    autostart: bool = False
    auto_download: bool = False
    connect_timeout: _Seconds = 5.0
    first_byte_timeout: _Seconds | None = None
    idle_timeout: _Seconds | None = None
    ask_timeout: _Seconds = 15.0
    load_timeout: _Seconds | None = None
    start_timeout: _Seconds = 75.0

    def __post_init__(self) -> None:
        try:
            force_setattr(self, "url", root_url(self.url) if self.url.strip() else "")
        except ValueError as error:
            raise ConfigInvalid(TABLE, f"`url`: {error}") from error
        force_setattr(self, "token", self.token.strip())
        if not _sendable(self.token):
            raise ConfigInvalid(TABLE, "`token` has characters that no header can carry")

    @classmethod
    def read(cls, table: Mapping[str, object], environ: Mapping[str, str] | None = None) -> LMStudioSettings:
        """The settings of a table, those of the environment laid over them.

        Args:
            table: of lmbridge.toml; numbers and truth values may be strings.
            environ: variables to look at; None looks at none.

        Raises:
            ConfigInvalid: an unknown setting, a wrong type or value; it names the setting or the variable.
        """
        found = aliases(environ or {})
        told: dict[str, object] = {**table, **{name: value for name, (_, value) in found.items()}}
        try:
            return msgspec.convert(told, cls, strict=False)
        except msgspec.ValidationError as error:
            raise _explained(str(error)) from error

    @property
    def root(self) -> str:
        """Its address without a route and a final slash: `url`, or the default."""
        return self.url or DEFAULT_URL

    @property
    def tiers(self) -> dict[str, str]:
        """The models that can be asked for by a word, those that are set."""
        named = {"fast": self.fast, "standard": self.standard, "premium": self.premium}
        return {word: model for word, model in named.items() if model}

    def __rich_repr__(self) -> list[tuple[str, object]]:
        # msgspec's own would show the token, and rich prefers this to `repr`.
        told = [(name, getattr(self, name)) for name in self.__struct_fields__]
        shown = [(name, value) for name, value in told if value != _DEFAULTS.get(name)]
        return [(name, "(hidden)" if name == "token" else value) for name, value in shown]

    def __repr__(self) -> str:
        return f"LMStudioSettings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


_DEFAULTS: Final = dict(zip(LMStudioSettings.__struct_fields__, LMStudioSettings.__struct_defaults__, strict=True))


def aliases(environ: Mapping[str, str]) -> dict[str, tuple[str, object]]:
    """What other programs' variables say: setting to variable and value. Blank variables say nothing.

    `LMSTUDIO_BASE_URL`, `CODEX_OSS_BASE_URL` and `CODEX_OSS_PORT` give `url`, the first that is set;
    `LM_API_TOKEN`, `LMSTUDIO_API_TOKEN` and `LMSTUDIO_API_KEY` give `token`;
    `LMSTUDIO_USE_NATIVE_API` gives `native_api`.

    Raises:
        ConfigInvalid: a value that cannot be used, naming its variable.
    """
    found: dict[str, tuple[str, object]] = {}
    for variable in URL_VARIABLES:
        if "url" not in found and (text := environ.get(variable, "").strip()):
            try:
                found["url"] = variable, root_url(text)
            except ValueError as error:
                raise ConfigInvalid(variable, str(error)) from error
    if "url" not in found and (text := environ.get(PORT_VARIABLE, "").strip()):
        found["url"] = PORT_VARIABLE, f"http://localhost:{_port(text)}"
    for variable in TOKEN_VARIABLES:
        if "token" not in found and (text := environ.get(variable, "").strip()):
            if not _sendable(text):
                raise ConfigInvalid(variable, "it has characters that no header can carry")
            found["token"] = variable, text
    if text := environ.get(NATIVE_VARIABLE, "").strip():
        if text.lower() not in _WORDS:
            raise ConfigInvalid(NATIVE_VARIABLE, f"it must be true or false, not {text[:40]!r}")
        found["native_api"] = NATIVE_VARIABLE, _WORDS[text.lower()]
    return found


def root_url(text: str) -> str:
    """The address that all routes are appended to, made of one as people write it.

    A missing `http://` is added; `/v1`, `/api/v1`, `/api/v0` and final slashes are taken off; any other
    path stays, as a proxy may need it. `0.0.0.0`, which LM Studio listens on for a network, becomes this computer.

    Raises:
        ValueError: why it is no address, without repeating it, as it may hold a password.
    """
    text = text.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("it is not a URL") from error
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError("it must be an http:// or https:// address with a host")
    if "@" in parts.netloc:
        raise ValueError("it must not hold a user name or a password; a token belongs into `token`")
    if parts.query or parts.fragment:
        raise ValueError("it must not have a query or a fragment")
    if any(c <= " " or c > "~" for c in text):
        raise ValueError("it has characters that must be percent-encoded")
    authority = parts.netloc.lower()
    if host in _ANYWHERE:
        authority = _ANYWHERE[host] + (f":{port}" if port else "")
    path = parts.path.rstrip("/")
    for route in _ROUTES:
        if path.endswith(route):
            path = path.removesuffix(route).rstrip("/")
            break
    return f"{parts.scheme}://{authority}{path}"


def _explained(text: str) -> ConfigInvalid:
    """What msgspec says of a table, in the words of the table."""
    if stray := _UNKNOWN.search(text):
        near = get_close_matches(stray[1], _DEFAULTS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"The settings are: {', '.join(_DEFAULTS)}."
        return ConfigInvalid(TABLE, f"unknown setting {stray[1]!r}", hint=hint)
    at = _AT.search(text)
    said = _QUOTED.sub(lambda found: " or ".join(_TYPES.get(t, t) for t in found[1].split(" | ")), text)
    said = said[: said.rindex(" - at ")] if at else said
    return ConfigInvalid(TABLE, f"`{at[1]}`: {said[:1].lower()}{said[1:]}" if at else said)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise ConfigInvalid(PORT_VARIABLE, f"it must be a port number from 1 to 65535, not {text[:40]!r}")
    return int(text)


def _sendable(token: str) -> bool:
    return token.isascii() and token.isprintable()
