"""A gateway in the background: a detached process of its own, its words in a log file."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from lmbridge.cli.exits import ADDRESS_TAKEN
from lmbridge.config import Config
from lmbridge.core.errors import BridgeError, LoadFailed, NoSpace, ProviderTimeout, error_from_code
from lmbridge.machine import gateway_file
from lmbridge.machine.gateway_file import GatewayFile
from lmbridge.machine.home import logs_folder, private_folder

if TYPE_CHECKING:
    from lmbridge.clients.lmbridge import GatewayStatus

START_S = 30.0
"""Seconds a gateway gets to answer after its start."""
LOAD_S = 900.0
"""The same where it loads models first."""
YIELD_S = 3.0
"""Seconds another one gets that was started at the same moment."""
STOP_S = 12.0
"""Seconds it gets to end after it was asked to: its answers' grace, and its engines' end."""
WITHOUT_CONSOLE = 0x8 | 0x200 if sys.platform == "win32" else 0
"""DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP: outlives the console it was started from, and its Ctrl-C."""
LOOK_S = 0.05
ANSWER_S = 10.0
"""Seconds it gets to answer a question about itself, or to take the order to end."""
LARGEST_LOG = 5 * 2**20
BLOCK = 4096
"""Bytes; a disk with fewer takes nothing more."""


def log_file(home: Path) -> Path:
    """Where a gateway in the background writes what it has to say."""
    return logs_folder(home) / "gateway.log"


def start(config: Config, arguments: Sequence[str] = (), seconds: float = START_S) -> GatewayFile:
    """Start one and wait until it answers.

    Args:
        arguments: for `lmbridge serve`.
        seconds: it gets until then.

    Raises:
        BridgeError: it did not come up; the error is the one it ended with.
    """
    log = _fresh_log(config.home)
    with log.open("ab") as out:
        begin = out.tell()
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "lmbridge", "serve", "--json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=_environment(config),
            start_new_session=sys.platform != "win32",
            creationflags=WITHOUT_CONSOLE,
        )
    found = _until(seconds, lambda: _started(config.home, child))
    if found is None and child.poll() is None:
        child.kill()
        raise LoadFailed("gateway", f"it did not answer within {seconds:.0f} s; {log} tells more")
    if child.poll() == ADDRESS_TAKEN:
        # Somebody else started one at the same moment and is about to say where.
        found = found or _until(YIELD_S, lambda: gateway_file.running(config.home))
    if found is None:
        raise _reason(log, begin, child.wait())
    return found


def _started(home: Path, child: subprocess.Popen[bytes]) -> GatewayFile | Literal[False] | None:
    """The gateway that answers; False when the child has ended, None as long as one must wait."""
    found = gateway_file.running(home)
    if found is not None and (found.pid == child.pid or child.poll() is not None):
        return found
    return None if child.poll() is None else False


def _until(seconds: float, look: Callable[[], GatewayFile | Literal[False] | None]) -> GatewayFile | None:
    """Look again and again until there is an answer or the time is over."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return found or None


def stop(found: GatewayFile, home: Path, say: Callable[[str], None]) -> None:
    """End a gateway: ask it to, then tell its process to; returns when it is gone.

    Args:
        say: told when asking was not enough.

    Raises:
        LoadFailed: it lives on.
    """
    asked = asyncio.run(_ask_to_stop(found))
    if asked and _gone(found, STOP_S):
        found.remove(home)
        return
    say(f"It did not end when asked; sending SIGTERM to process {found.pid}.")
    if found.alive:
        os.kill(found.pid, signal.SIGTERM)
    if not _gone(found, STOP_S):
        raise LoadFailed("gateway", f"process {found.pid} does not end; `kill -9 {found.pid}` ends it for sure")
    found.remove(home)


def _gone(found: GatewayFile, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while found.alive and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return not found.alive


async def _ask_to_stop(found: GatewayFile) -> bool:
    from lmbridge.clients.lmbridge import RemoteHub

    try:
        async with RemoteHub(found.url, found.key) as gateway, asyncio.timeout(ANSWER_S):
            await gateway.shutdown()
    except (BridgeError, TimeoutError):
        return False
    return True


async def look(found: GatewayFile) -> GatewayStatus:
    """Ask a gateway how it is.

    Raises:
        NotRunning, BrokenAnswer. ProviderTimeout: it does not answer.
    """
    from lmbridge.clients.lmbridge import RemoteHub

    try:
        async with RemoteHub(found.url, found.key) as gateway, asyncio.timeout(ANSWER_S):
            return await gateway.status()
    except TimeoutError as error:
        raise ProviderTimeout("gateway", "status", ANSWER_S) from error


def _fresh_log(home: Path) -> Path:
    """The log, its predecessor put aside when it has grown large."""
    log = log_file(home)
    private_folder(home)
    private_folder(log.parent)
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))
    os.close(os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    return log


def _environment(config: Config) -> dict[str, str]:
    """This environment, with every path in it absolute."""
    environment = {**os.environ, "LMBRIDGE_HOME": str(config.home.absolute()), "PYTHONUNBUFFERED": "1"}
    if "LMBRIDGE_CONFIG" in environment:
        environment["LMBRIDGE_CONFIG"] = str(Path(environment["LMBRIDGE_CONFIG"]).expanduser().absolute())
    return environment


def _reason(log: Path, begin: int, code: int) -> BridgeError:
    """Why a gateway ended at once, from what it wrote to its log."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = [line for line in file.read(64 * 1024).decode("utf-8", "replace").splitlines() if line.strip()]
    for line in reversed(lines):
        try:
            told = msgspec.json.decode(line, type=_Told).error
        except msgspec.DecodeError:
            continue
        known = error_from_code(told.code, told.message, told.hint, told.param)
        return known or BridgeError(told.message, hint=told.hint)
    if not lines and shutil.disk_usage(log.parent).free < BLOCK:
        return NoSpace(str(log))
    last = lines[-1] if lines else f"exit code {code}"
    return LoadFailed("gateway", f"it ended at once: {last.strip().removesuffix('.')}; {log} tells more")


class _Error(Struct):
    code: str
    message: str
    hint: str = ""
    param: str | None = None


class _Told(Struct):
    error: _Error
