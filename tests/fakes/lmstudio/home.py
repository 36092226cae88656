"""The files below a fake LM Studio's home folder, and the one of our own that tells a fake how to be.

`.internal/fake.json` has no counterpart there: processes of the fake (the server that `lms` starts, and `lms`
itself) read from it how a test wants them, and for whom they live.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from tests.fakes.lmstudio.faults import Injected
from tests.fakes.lmstudio.models import FakeModel

FAKE: Final = ".internal/fake.json"
SDK_SERVER: Final = ".internal/http-server.json"
HTTP_SETTINGS: Final = ".internal/http-server-config.json"
INDEX: Final = ".internal/model-index-cache.json"
APP_NOTE: Final = ".internal/app-install-location.json"
LLMSTER_NOTE: Final = ".internal/llmster-install-location.json"


class Wishes(Struct):
    """How processes of the fake shall be.

    Attributes:
        owner: process they live for: when it is gone, they end.
        idle_s: seconds without a request after which a server ends. life_s: after which it ends in any case.
        faults, lms_faults: what is wrong with the server and with the command.
        slow_s: seconds for which the command's fault `slow` keeps one waiting.
    """

    owner: int
    version: str = "0.4"
    token: str = ""
    jit: bool = True
    pace: float = 0.0
    load_s: float = 0.0
    download_s: float = 0.0
    outcome: str = "completed"
    idle_s: float = 120.0
    life_s: float = 900.0
    faults: list[Injected] = []
    lms_faults: list[Injected] = []
    slow_s: float = 0.3


def read(path: Path) -> dict[str, Any]:
    """The JSON object of a file, {} without one."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def write(path: Path, value: object) -> None:
    """Put JSON into a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    new.write_text(json.dumps(value, ensure_ascii=False, indent=2), "utf-8")
    new.replace(path)


def read_wishes(home: Path) -> Wishes:
    """How the fake of that home shall be."""
    return msgspec.json.decode((home / FAKE).read_bytes(), type=Wishes)


def write_wishes(home: Path, wishes: Wishes) -> None:
    write(home / FAKE, msgspec.to_builtins(wishes))


def read_models(home: Path) -> list[FakeModel]:
    """What is on that fake's disk."""
    return msgspec.json.decode((home / INDEX).read_bytes(), type=list[FakeModel])


def write_models(home: Path, models: list[FakeModel]) -> None:
    write(home / INDEX, msgspec.to_builtins(models))


def furnish(home: Path, *, port: int | None, jit: bool = True, downloads: Path | None = None) -> None:
    """Write the files that an app leaves which was started once. *port*: None for a server never configured."""
    (downloads or home / "models").mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"cors": False, "autoStartOnLaunch": False, "networkInterface": "127.0.0.1"}
    config |= {"justInTimeModelLoading": jit, "verbose": False, "logSensitiveData": False}
    config |= {"logIncomingTokens": False, "logLinesLimit": 500, "fileLoggingMode": "succinct"}
    if port is not None:
        config["port"] = port
    write(home / HTTP_SETTINGS, config)
    settings = {
        "language": "en",
        "downloadsFolder": str(downloads or home / "models"),
        "enableLocalService": False,
        "developer": {
            "jitModelTTL": {"enabled": True, "ttlSeconds": 3600},
            "unloadPreviousJITModelOnLoad": True,
            "separateReasoningContent": True,
        },
        "modelLoadingGuardrails": {"mode": "high", "customThresholdBytes": 4294967296},
        "defaultContextLength": {"type": "custom", "value": 8192},
    }
    write(home / "settings.json", settings)
    write(home / "mcp.json", {"mcpServers": {}})
    key = home / ".internal" / "lms-key-2"
    key.write_text("fake-key-that-nobody-may-read", "utf-8")
    key.chmod(0o600)


def configure(home: Path, **changes: object) -> None:
    """Change settings of the REST server."""
    write(home / HTTP_SETTINGS, read(home / HTTP_SETTINGS) | changes)
