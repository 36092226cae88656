"""lmbridge's own folder: where it is, and what lies where in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of this user: `$LMBRIDGE_HOME`, else `~/.lmbridge`. Not created here."""
    named = (os.environ if environ is None else environ).get("LMBRIDGE_HOME")
    return Path(named).expanduser() if named else Path.home() / ".lmbridge"


def private_folder(path: Path) -> Path:
    """*path*, created if need be so that only its owner can look inside."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def config_file(home: Path) -> Path:
    """The settings."""
    return home / "lmbridge.toml"


def models_folder(home: Path) -> Path:
    """Our own GGUF files, `<publisher>/<repo>/<file>` or flat."""
    return home / "models"


def keys_file(home: Path) -> Path:
    """The API keys, hashed."""
    return home / "keys.json"


def responses_file(home: Path) -> Path:
    """The stored answers."""
    return home / "responses.db"


def usage_file(home: Path) -> Path:
    """The ledger of usage."""
    return home / "usage.db"


def logs_folder(home: Path) -> Path:
    """Logs of the gateway in the background."""
    return home / "logs"


def requests_log(home: Path) -> Path:
    """The log of requests; what was put aside of it lies beside it."""
    return logs_folder(home) / "requests.jsonl"


def cache_folder(home: Path) -> Path:
    """What may be deleted at any time."""
    return home / "cache"


def choices_file(home: Path) -> Path:
    """What `lmbridge providers` was told: written by the program, below lmbridge.toml."""
    return home / "providers.json"


def secrets_file(home: Path) -> Path:
    """Secrets of providers and extensions, where the system has no keyring."""
    return home / "secrets.json"


def extension_folder(home: Path, id: str) -> Path:
    """What an extension keeps."""
    return home / "extensions" / id


def presets_folder(home: Path) -> Path:
    """Model presets, `NAME.toml`."""
    return home / "presets"
