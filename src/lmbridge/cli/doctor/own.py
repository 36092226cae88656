"""lmbridge itself: its version, settings, folder, gateway."""

from __future__ import annotations

import os
import platform
import tempfile
from pathlib import Path

from msgspec.structs import replace

from lmbridge.assembly import build_hub
from lmbridge.cli import background, render
from lmbridge.cli.doctor.checks import Checklist, Found
from lmbridge.cli.provider import LMSTUDIO
from lmbridge.config import Config, load_config
from lmbridge.core.errors import ConfigInvalid
from lmbridge.hub.hub import Hub
from lmbridge.machine.gateway_file import GatewayFile
from lmbridge.machine.home import home
from lmbridge.version import __version__

PART = "lmbridge"
SETTINGS = "settings"


async def look(checks: Checklist) -> tuple[Config, Hub]:
    """Look at it; returns the settings and the hub they make, those of the defaults where they are wrong."""
    python = f"Python {platform.python_version()}"
    checks.add(PART, "version", Found(f"{__version__}, {python}, {platform.system()} {platform.machine()}"))
    config, hub, found = _settings()
    checks.add(PART, SETTINGS, found)

    async def folder() -> Found:
        return _writable(config.home)

    async def gateway() -> Found:
        return await _gateway(config.home)

    await checks.look(PART, "folder", folder)
    await checks.look(PART, "gateway", gateway)
    return config, hub


def _settings() -> tuple[Config, Hub, Found]:
    try:
        config = load_config()
        hub = build_hub(_looking(config))
    except ConfigInvalid as error:
        config = Config(home())
        return config, build_hub(replace(config, usage_days=0)), Found(error.message, "failed", error.hint)
    return config, hub, Found(config.source or f"the defaults, as there is no {config.home / 'lmbridge.toml'}")


def _looking(config: Config) -> Config:
    """The settings for who only looks: nothing is started, downloaded or counted because somebody asks for it."""
    config = replace(config, usage_days=0)
    if LMSTUDIO in config.disabled:
        return config
    table = {**config.providers.get(LMSTUDIO, {}), "autostart": False, "auto_download": False}
    return replace(config, providers={**config.providers, LMSTUDIO: table})


def _writable(folder: Path) -> Found:
    """Whether files can be made in lmbridge's folder, or the folder itself where it is not there yet."""
    if not folder.exists():
        above = next(parent for parent in folder.absolute().parents if parent.exists())
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            return Found(f"{folder} is made when it is needed")
        return Found(f"{folder} cannot be made", "failed", _OTHER_FOLDER)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Found(str(folder))
    except OSError as error:
        return Found(f"{folder}: {error.strerror or error}", "failed", _OTHER_FOLDER)


_OTHER_FOLDER = "lmbridge keeps its files there; the variable LMBRIDGE_HOME names another folder."


async def _gateway(folder: Path) -> Found:
    """Whether one runs; one that is not running is no fault, one that does not answer is.

    Raises:
        ConfigInvalid: others could have written its file. BridgeError: it does not answer.
    """
    found = GatewayFile.read(folder)
    if found is None or not found.alive:
        return Found("none is running; `lmbridge gateway start` starts one", "skipped")
    told = await background.look(found)
    return Found(f"{found.url}, pid {found.pid}, for {render.duration(told.uptime_s)}")
