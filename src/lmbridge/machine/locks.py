"""Locks between processes, by files. The system frees the lock of a process that died."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Final

from lmbridge.machine.home import private_folder

LOOK_AGAIN: Final = 0.25
"""Seconds between two tries."""
NO_FILE: Final = -1
"""In the place of an open file."""


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


def claim(path: Path) -> int | None:
    """A file that is open and locked, made if need be; None while somebody else has it. To be given to `release`.

    Raises:
        OSError: it cannot be made.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    # Whoever had it removed it on leaving: a lock of a file without a name keeps nobody out.
    if locked(handle) and _is(handle, path):
        return handle
    os.close(handle)
    return None


def release(handle: int, path: Path) -> None:
    """Let others have it; the file goes, too."""
    with suppress(OSError):  # Windows does not remove what is open
        path.unlink()
    os.close(handle)


def _is(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the only one of all processes that changes *path* while the `with` lasts: for changes of a moment.

    Raises:
        OSError: the file beside it that is locked cannot be made.
    """
    private_folder(path.parent)
    handle = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@asynccontextmanager
async def turn(
    path: Path, limit: float | None = None, waiting: Callable[[], None] | None = None
) -> AsyncIterator[bool]:
    """Be the only one of all processes that has *path* while the `with` lasts; tells whether that took waiting.

    Somebody who never finishes is waited for no longer than the limit. Where no file can be made nobody is kept
    out: it must not matter more than what is to be done.

    Args:
        path: a file that is there meanwhile.
        limit: seconds; None waits.
        waiting: called now and then meanwhile.
    """
    waited, begun = False, monotonic()
    while (handle := _claimed(path)) is None and (limit is None or monotonic() < begun + limit):
        waited = True
        if waiting is not None:
            waiting()
        await asyncio.sleep(LOOK_AGAIN)
    try:
        yield waited
    finally:
        if handle is not None and handle != NO_FILE:
            release(handle, path)


def _claimed(path: Path) -> int | None:
    try:
        private_folder(path.parent)
        return claim(path)
    except OSError:
        return NO_FILE
