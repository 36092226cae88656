"""Locks between processes, by files. The system frees the lock of a process that died."""

from __future__ import annotations

import errno
import sys


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
