"""The table `[anthropic]`, or `[anthropic.NAME]` where there are several."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from lmbridge.clients.http.address import wrong_url
from lmbridge.core.errors import ConfigInvalid
from lmbridge.core.provider import Setting
from lmbridge.core.tiers import tier_settings
from lmbridge.wire.anthropic.asking.requests import MAX_TOKENS

URL: Final = "https://api.anthropic.com"
KEY_ENV: Final = "ANTHROPIC_API_KEY"
"""Read for Anthropic's own address alone, and only where a table says that it is to be asked: a key that is there
for another program lets nobody talk to a cloud, and reaches no other server."""

TIERS: Final = tuple(setting for setting in tier_settings() if setting.name != "embedding_model")

SETTINGS: Final = (
    Setting("url", "string", "Its base URL, as Anthropic's package takes it.", URL),
    Setting("key", "secret", "Its API key; better kept in the environment, see key_env.", ""),
    Setting(
        "key_env",
        "string",
        f"Name of the environment variable that holds its API key; for Anthropic's own address {KEY_ENV}.",
        "",
    ),
    Setting("display_name", "string", "What people see instead of the name of the table.", ""),
    Setting("models", "list", "Offer only these of its models.", ()),
    *TIERS,
    Setting("max_tokens", "integer", "Most tokens of an answer, for requests without a limit.", MAX_TOKENS),
    Setting(
        "cache",
        "boolean",
        "Ask it to remember prompts for some minutes: what is sent again costs less, what is new a little more.",
        False,
    ),
    Setting("parallel", "integer", "Answers it gives at the same time; unset leaves the queue to it."),
    Setting("connect_timeout", "number", "Seconds until it must have accepted a connection.", 5.0),
    Setting("first_byte_timeout", "number", "Seconds until an answer must begin; unset waits."),
    Setting("idle_timeout", "number", "Seconds it may be silent within an answer; unset waits."),
)

_Seconds = Annotated[float, Meta(gt=0)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The values; see `SETTINGS` for what each is."""

    url: Annotated[str, Meta(min_length=1)] = URL
    key: str = ""
    key_env: str = ""
    display_name: str = ""
    models: str | tuple[str, ...] = ()
    model: str = ""
    fast: str = ""
    standard: str = ""
    premium: str = ""
    max_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] = MAX_TOKENS
    cache: bool = False
    parallel: Annotated[int, Meta(ge=1, le=4096)] | None = None
    connect_timeout: _Seconds = 5.0
    first_byte_timeout: _Seconds | None = None
    idle_timeout: _Seconds | None = None

    @property
    def base(self) -> str:
        """The URL that routes are appended to: with the version, which Anthropic's package adds by itself."""
        url = self.url.rstrip("/")
        return url if url.endswith("/v1") else f"{url}/v1"

    @property
    def key_variable(self) -> str:
        """The variable that holds the key, "" for none."""
        if self.key or self.key_env:
            return self.key_env
        return KEY_ENV if self.base == f"{URL}/v1" else ""

    @property
    def only(self) -> Sequence[str]:
        """The models to offer; a list, or one text with commas, which is what the environment gives."""
        if isinstance(self.models, str):
            return [name.strip() for name in self.models.split(",") if name.strip()]
        return self.models

    def secret(self) -> str | None:
        """The key; "" for none, None where the variable that should hold it is not set."""
        return os.environ.get(self.key_variable) if self.key_variable else self.key


def read_settings(told: Mapping[str, object], where: str) -> Settings:
    """Check the settings of a table.

    Args:
        where: what errors name.

    Raises:
        ConfigInvalid: an unknown setting, a wrong type, a URL or a key that cannot be used.
    """
    try:
        # The environment gives only strings, so that numbers in strings must do.
        checked = msgspec.convert(dict(told), Settings, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(setting.name for setting in SETTINGS)
        raise ConfigInvalid(where, str(error), hint=f"Its settings are: {known}.") from error
    if reason := wrong_url(checked.url):
        raise ConfigInvalid(where, reason)
    key = checked.secret()
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigInvalid(where, "its key has characters that no header can carry")
    return checked
