"""Starts the process that downloads, passes its news on, and ends it."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import msgspec

from lmbridge.core.errors import DownloadFailed
from lmbridge.core.models import Download
from lmbridge.core.provider import DownloadProgress
from lmbridge.machine.downloads.order import Failed, Moved, News, Order, Ready, failure
from lmbridge.machine.environment import engine_environment

CHILD: Final = Path(__file__).parent / "child.py"
LAST_WORDS: Final = 2000
"""Letters that are kept of what the process says besides its news, for the case that it breaks."""

_NETWORK: Final = frozenset(
    (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    )
)

_decoder: Final = msgspec.json.Decoder(News)


async def download(order: Order, progress: DownloadProgress | None = None) -> Path:
    """Get a model, in a process of its own; returns its file, the first one of a split model.

    Leaving early kills the process at once; what has come stays out of sight and is not fetched again the
    next time. Whoever asks for files that another process is downloading waits for it, and takes over if it stops.

    Raises:
        ModelNotFound: the hub has no such repository, or not for us. ProviderUnavailable: it cannot be reached.
        NoSpace: what is missing does not fit the disk. BadModelFile: what came is not what an engine can use.
        DownloadFailed: anything else. ConfigInvalid: a setting of the environment that cannot be used.
    """
    process = await _start(order)
    try:
        ready = await _listen(process, order, progress)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # closes the pipes, too
    if progress is not None:
        progress(Download("completed" if ready.fetched else "already_downloaded", ready.size, ready.size))
    return Path(ready.path)


async def _start(order: Order) -> Process:
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            str(CHILD),
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            env=_environment(os.environ),
            start_new_session=True,
        )
    except OSError as error:
        raise DownloadFailed(order.name, f"the process that downloads cannot be started: {error}") from error
    cast("asyncio.StreamWriter", process.stdin).write(
        msgspec.json.encode({**msgspec.to_builtins(order), "python_path": sys.path}) + b"\n"
    )
    return process


def _environment(mine: Mapping[str, str]) -> dict[str, str]:
    """What the process needs to find the network. The token comes another way."""
    return engine_environment(mine) | {k: v for k, v in mine.items() if k.upper() in _NETWORK}


async def _listen(process: Process, order: Order, progress: DownloadProgress | None) -> Ready:
    """Pass the news on until the last of them."""
    news_of, words = cast("asyncio.StreamReader", process.stdout), ""
    while line := await news_of.readline():
        try:
            news = _decoder.decode(line)
        except msgspec.DecodeError:
            words = (words + line.decode("utf-8", "replace"))[-LAST_WORDS:]
            continue
        match news:
            case Ready():
                return news
            case Failed():
                raise failure(news)
            case Moved(done, total, speed) if progress is not None:
                progress(Download("downloading", done, total, speed))
    status = await process.wait()
    reason = words.strip().rpartition("\n")[2] or f"exit status {status}"
    raise DownloadFailed(order.name, f"the process that downloads ended: {reason}")
