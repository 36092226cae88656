"""Gets one file: goes on where the last attempt stopped, and believes nothing but its hash."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from lmbridge.core.errors import DownloadFailed, NoSpace
from lmbridge.machine.downloads.choice import RemoteFile
from lmbridge.machine.downloads.connections import Interrupted, Reply, why
from lmbridge.machine.downloads.huggingface import HuggingFace, Repository
from lmbridge.machine.downloads.order import Limits

BLOCK: Final = 2**20
MAX_IN_GIT: Final = 10 * 2**20
"""Larger files are not taken into git by the hub."""
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Transfer:
    """Fetches files of one repository.

    Arguments:
        asked: the name that the user gave, for errors.
        tell: called with the bytes of the file that are here, and those that have just come.
    """

    def __init__(
        self,
        hub: HuggingFace,
        repository: Repository,
        asked: str,
        limits: Limits,
        tell: Callable[[int, int], None],
    ) -> None:
        self._hub, self._repository, self._asked = hub, repository, asked
        self._limits, self._tell = limits, tell

    def fetch(self, file: RemoteFile, path: Path) -> None:
        """Bring *path* to the whole content of *file*, beginning with what is there.

        Raises:
            DownloadFailed: given up, or its hash is wrong. NoSpace. ProviderUnavailable: nothing came at all.
        """
        with _Incomplete(file, path, self._asked) as here:
            resumed = here.at > 0
            self._tell(here.at, 0)
            self._fill(file, here)
            if resumed and not here.right:
                # A power failure leaves files whose end was never written; so does a disk that fails.
                here.clear()
                self._fill(file, here)
            if here.right:
                here.save()
                return
        path.unlink(missing_ok=True)
        raise DownloadFailed(
            self._asked,
            f"what {self._hub.host} sent as {file.name} is not what its hash says, so it was thrown away",
        )

    def _fill(self, file: RemoteFile, here: _Incomplete) -> None:
        """Ask until all is here. An attempt that brought it further than any before starts the count anew."""
        failures, furthest = 0, here.at
        while here.at < file.size:
            try:
                self._ask(file, here)
            except Interrupted as interruption:
                failures = 1 if here.at > furthest else failures + 1
                furthest = max(furthest, here.at)
                if failures >= self._limits.attempts:
                    if not interruption.reached:
                        raise self._hub.unreachable(interruption.reason) from interruption
                    raise DownloadFailed(self._asked, interruption.reason) from interruption
                self._hub.pause(failures, interruption)

    def _ask(self, file: RemoteFile, here: _Incomplete) -> None:
        """One request for what is missing, or a piece of it."""
        end = min(file.size, here.at + self._limits.piece)
        with self._hub.open(self._repository, file.path, here.at, end, file.size) as reply:
            place = urlsplit(reply.url).netloc
            end = self._check_head(file, here, reply, end)
            try:
                while here.at < end and (data := reply.read1(min(BLOCK, end - here.at))):
                    here.add(data)
                    self._tell(here.at, len(data))
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Interrupted(why(error, place)) from error
        if here.at < end:
            raise Interrupted(f"{place} closed the connection before the end")

    def _check_head(self, file: RemoteFile, here: _Incomplete, reply: Reply, end: int) -> int:
        """Where the answer ends in the file, once it is known to be the right one."""
        encoding = reply.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise DownloadFailed(self._asked, f"{self._hub.host} sends it encoded ({encoding[:20]}) unasked")
        if reply.status == 200:
            length = reply.headers.get("Content-Length", "")
            if length.isdecimal() and int(length) != file.size:
                raise self._wrong_size(file, int(length))
            here.clear()  # a server that knows no ranges sends everything, always
            return file.size
        found = _RANGE.fullmatch(reply.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != here.at or int(found[2]) < here.at:
            raise DownloadFailed(
                self._asked, f"{self._hub.host} sends another part of the file than was asked for"
            )
        if found[3] not in ("*", str(file.size)):
            raise self._wrong_size(file, int(found[3]))
        return min(end, int(found[2]) + 1)

    def _wrong_size(self, file: RemoteFile, size: int) -> DownloadFailed:
        reason = f"{file.name} has {size:,} bytes where {self._hub.host} lists {file.size:,}"
        return DownloadFailed(self._asked, reason, hint="Try again later: it may be changing just now.")


class _Incomplete:
    """A file that grows, with the hash of what is in it.

    Attributes:
        at: how many bytes are in it.
    """

    def __init__(self, file: RemoteFile, path: Path, asked: str) -> None:
        self._file, self._path, self._asked = file, path, asked
        self.at = 0

    def __enter__(self) -> Self:
        with self._told():
            self._handle = open(  # closed by __exit__
                os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644), "r+b"
            )
            self._hash = _hash_of(self._file)
            while data := self._handle.read(BLOCK):
                self._hash.update(data)
                self.at += len(data)
        if self.at > self._file.size or not _known(self._file):
            self.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._handle.close()
        except OSError:
            if error is None:
                raise

    def add(self, data: bytes) -> None:
        """Append."""
        with self._told():
            self._handle.write(data)
        self._hash.update(data)
        self.at += len(data)

    def clear(self) -> None:
        """Begin anew."""
        with self._told():
            self._handle.seek(0)
            self._handle.truncate()
        self._hash, self.at = _hash_of(self._file), 0

    @property
    def right(self) -> bool:
        """Whether the hash is the one that the hub told; where it told none, nobody can know."""
        wanted = _known(self._file)
        return not wanted or self._hash.hexdigest() == wanted

    def save(self) -> None:
        """Make sure that it is on the disk before it takes its place."""
        with self._told():
            self._handle.flush()
            os.fsync(self._handle.fileno())

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong with the disk, told apart from what goes wrong with the network."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
                free = shutil.disk_usage(self._path.parent).free
                raise NoSpace(str(self._path.parent), self._file.size - self.at, free) from error
            reason = f"{self._path} cannot be written: {error.strerror}"
            if error.errno == errno.EFBIG:
                reason = f"the disk of {self._path.parent} cannot hold files of {self._file.size / 1e9:.1f} GB"
            raise DownloadFailed(self._asked, reason, hint="Choose another `download_folder`.") from error


def _known(file: RemoteFile) -> str:
    """The hash that the content must have; "" if nobody knows.

    Of small files, which are in git itself, it is git's own. Of large ones git has a pointer only, whose hash says
    nothing about them.
    """
    return file.sha256 or (file.blob if file.size <= MAX_IN_GIT else "")


def _hash_of(file: RemoteFile) -> hashlib._Hash:
    if file.sha256:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
