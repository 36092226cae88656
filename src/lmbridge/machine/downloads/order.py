"""What the process that downloads is told, and what it answers. Pure, but for `Account.read`.

The order is one line of JSON on its standard input, so that no token is in a process list; the answers are lines
of JSON on its standard output, the last of which is `Ready` or `Failed`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from lmbridge.core.errors import (
    BadModelFile,
    BridgeError,
    ConfigInvalid,
    DownloadFailed,
    ModelNotFound,
    NoSpace,
    ProviderUnavailable,
)

PUBLIC: Final = "https://huggingface.co"


class Account(Struct, frozen=True):
    """Which hub is asked, and as whom.

    Attributes:
        endpoint: its URL without a final slash.
        token: "" to ask as nobody.
        offline: the user wants no network to be used.
    """

    endpoint: str = PUBLIC
    token: str = ""
    offline: bool = False

    def __repr__(self) -> str:
        return f"Account(endpoint={self.endpoint!r}, offline={self.offline})"

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, user_home: Path | None = None) -> Account:
        """As the hub's own programs do: `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, the token of `hf auth login`.

        https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables

        Raises:
            ConfigInvalid: `HF_ENDPOINT` is no address, or `HF_TOKEN` no token.
        """
        env = os.environ if environ is None else environ
        endpoint = env.get("HF_ENDPOINT", "").strip().rstrip("/") or PUBLIC
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ConfigInvalid("HF_ENDPOINT", "is no address of a hub", hint=f"It is usually {PUBLIC}.")
        token = env.get("HF_TOKEN", "").strip() or env.get("HUGGING_FACE_HUB_TOKEN", "").strip()
        if token and not _is_token(token):
            raise ConfigInvalid("HF_TOKEN", "is no token", hint=f"{endpoint}/settings/tokens shows yours.")
        if not token and not _yes(env.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "")):
            token = _kept_token(env, user_home or Path.home())
        return cls(endpoint, token, _yes(env.get("HF_HUB_OFFLINE", "")))


def _yes(text: str) -> bool:
    return text.strip().upper() in ("1", "ON", "YES", "TRUE")


def _kept_token(env: Mapping[str, str], user_home: Path) -> str:
    cache = env.get("XDG_CACHE_HOME") or str(user_home / ".cache")
    home = env.get("HF_HOME") or os.path.join(cache, "huggingface")
    try:
        text = (
            Path(env.get("HF_TOKEN_PATH") or os.path.join(home, "token")).expanduser().read_text("utf-8").strip()
        )
    except (OSError, ValueError):
        return ""
    return text if _is_token(text) else ""


def _is_token(text: str) -> bool:
    """Whether it can be sent as one."""
    return text.isascii() and text.isprintable() and " " not in text


class Limits(Struct, frozen=True):
    """How patient a download is.

    Attributes:
        connect: seconds for a connection to each address of a host. silence: within an answer.
        attempts: in a row that bring nothing before it is given up.
        pause: seconds before the second of them, doubled for each further one. longest: that is waited at once.
        piece: most bytes that are asked for in one request.
    """

    connect: float = 10.0
    silence: float = 30.0
    attempts: int = 6
    pause: float = 1.0
    longest: float = 60.0
    piece: int = 16 * 2**30


class Order(Struct, frozen=True):
    """What is to be downloaded, and where to.

    Attributes:
        name: as a person wrote it; see `names.parse`.
        folder: where models lie as `owner/repository/file`.
        capacity: bytes of memory that a model may take, where the choice of its files is ours; None for any.
        elsewhere: further folders of that layout in which the files may be already.
        account: which hub, and as whom.
    """

    name: str
    folder: str
    account: Account = Account()
    capacity: int | None = None
    elsewhere: tuple[str, ...] = ()
    limits: Limits = Limits()


class Moved(Struct, frozen=True, tag="moved"):
    """How far it is, in bytes; None for a speed that is not known yet."""

    done: int
    total: int
    per_s: float | None = None


class Ready(Struct, frozen=True, tag="ready"):
    """The model is there.

    Attributes:
        path: its file, the first one of a split model.
        fetched: it was not there before.
        size: bytes of all its files.
    """

    path: str
    fetched: bool
    size: int


class Failed(Struct, frozen=True, tag="failed"):
    """It did not work; code and facts of a `BridgeError`."""

    code: str
    facts: dict[str, str | int | list[str] | None]


News: TypeAlias = Moved | Ready | Failed

_FACTS: Final[dict[type[BridgeError], tuple[str, ...]]] = {
    BadModelFile: ("path", "reason"),
    ConfigInvalid: ("where", "reason", "hint"),
    DownloadFailed: ("name", "reason", "hint"),
    ModelNotFound: ("name", "known", "where", "hint"),
    NoSpace: ("path", "needed", "available"),
    ProviderUnavailable: ("provider", "reason", "hint"),
}
"""The errors that can come out of a download, and what they are made of."""


def failed(error: BridgeError) -> Failed:
    """*error*, for the way to the other process."""
    if type(error) not in _FACTS:
        error = DownloadFailed("", error.message, hint=error.hint)
    return Failed(error.code, {fact: getattr(error, fact) for fact in _FACTS[type(error)]})


def failure(report: Failed) -> BridgeError:
    """The error that came."""
    made: Callable[..., BridgeError] = next(kind for kind in _FACTS if kind.code == report.code)
    return made(**report.facts)
