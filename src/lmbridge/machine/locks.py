"""Locks between processes, by files. The system frees the lock of a process that died."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from lmbridge.machine.home import private_folder

LOOK_AGAIN: Final = 0.25
"""Seconds between two tries."""


def locked(descriptor: int) -> bool:
    """Whether the open file could be locked; where locks are not supported nobody can be kept out."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
    return True


@asynccontextmanager
async def turn(
    path: Path, limit: float | None = None, waiting: Callable[[], None] | None = None
) -> AsyncIterator[bool]:
    """Be the only one of all processes that has *path* while the `with` lasts; tells whether that took waiting.

    Somebody who never finishes is waited for no longer than the limit. Where no file can be locked nobody is kept
    out: it must not matter more than what is to be done.

    Args:
        path: a file, made if need be and left there.
        limit: seconds; None waits.
        waiting: called now and then meanwhile.
    """
    lock = _opened(path)
    try:
        begun, waited = monotonic(), False
        while lock is not None and not locked(lock) and (limit is None or monotonic() < begun + limit):
            waited = True
            if waiting is not None:
                waiting()
            await asyncio.sleep(LOOK_AGAIN)
        yield waited
    finally:
        if lock is not None:
            os.close(lock)


def _opened(path: Path) -> int | None:
    try:
        private_folder(path.parent)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
