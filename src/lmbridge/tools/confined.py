"""Files of one folder, out of which no path leads: not by `..`, an absolute path, a link or a race.

On POSIX every part of a path is opened by itself, relative to the folder before it and following no link, so that
what was checked is what is opened. Elsewhere the path is resolved and must lie in the folder; nothing but its own
user can put a link there in between.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from msgspec import Struct

from lmbridge.core.errors import InvalidRequest

BY_DESCRIPTOR: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
MOST_DEPTH: Final = 16
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)

# Names that Windows gives to devices, in every folder and with any ending; refused everywhere, so that what is
# made on one machine can be copied to another.
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)
_FORBIDDEN: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')


class Refused(ValueError):
    """A path, or what lies there, that is not to be used; the text is for the model."""


class Entry(Struct, frozen=True):
    """What lies in a folder.

    Attributes:
        size: bytes of a file; None for a folder.
    """

    name: str
    size: int | None = None


def parts_of(path: str) -> tuple[str, ...]:
    """The names that a path is made of, `.` and a slash at the end left out.

    Raises:
        Refused: it leads out of the folder, or holds a name that some system cannot have.
    """
    if path.startswith(("/", "\\", "~")) or re.match(r"[a-zA-Z]:", path):
        raise Refused("it is no path within the folder: begin with the name of a file or folder in it")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    for part in parts:
        if part == "..":
            raise Refused("it leads out of the folder")
        if (
            _FORBIDDEN.search(part)
            or _DEVICE.fullmatch(part)
            or part != part.rstrip(" .")
            or len(part.encode()) > 255
        ):
            raise Refused(f"{part[:80]!r} is no name that a file may have here")
    if len(parts) > MOST_DEPTH:
        raise Refused(f"it is more than {MOST_DEPTH} folders deep")
    return parts


class Folder:
    """A folder and what is in it.

    Args:
        path: must be there; a link to it is followed now, and not any more later.

    Raises:
        InvalidRequest: it is not there, or no folder.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.path = path.expanduser().resolve(strict=True)
        except OSError as error:
            raise InvalidRequest(f"The folder {path} cannot be used: {error.strerror}.") from error
        if not self.path.is_dir():
            raise InvalidRequest(f"{path} is no folder.")

    def create(self, parts: Sequence[str], data: bytes) -> None:
        """Make a file that is not there yet, and the folders that it needs.

        Raises:
            Refused, OSError. FileExistsError: there is something of that name.
        """
        with self._parent(parts, make=True) as (where, name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_WAIT | _BINARY
            descriptor = _open(name, flags, where, 0o644)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
            except BaseException:
                with suppress(OSError):
                    _remove(name, where)
                raise

    def read(self, parts: Sequence[str], most: int) -> bytes:
        """What a file holds.

        Raises:
            Refused: it is no file, or holds more than *most* bytes. OSError.
        """
        with self._parent(parts) as (where, name):
            return self._read(name, where, most)[0]

    def replace(self, parts: Sequence[str], before: bytes, data: bytes) -> None:
        """Put *data* in the place of what a file holds, in one step.

        Raises:
            Refused: it is no file, or does not hold *before* any more. OSError.
        """
        with self._parent(parts) as (where, name):
            found, mode = self._read(name, where, len(before))
            if found != before:
                raise Refused("it was changed meanwhile: read it again")
            beside = f".{token_hex(8)}.part"
            descriptor = _open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_WAIT | _BINARY, where, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    if BY_DESCRIPTOR:
                        os.fchmod(file.fileno(), mode)
                _rename(beside, name, where)
            except BaseException:
                with suppress(OSError):
                    _remove(beside, where)
                raise

    def entries(self, parts: Sequence[str]) -> list[Entry]:
        """What lies in a folder of it, by name; links and special files left out.

        Raises:
            Refused, OSError.
        """
        with self._folder(parts) as where, os.scandir(where) as found:
            return sorted(filter(None, map(_entry, found)), key=lambda entry: entry.name)

    def _read(self, name: str, where: int | Path, most: int) -> tuple[bytes, int]:
        descriptor = _open(name, os.O_RDONLY | _NO_WAIT | _BINARY, where)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise Refused("it is no file")
            data = file.read(most + 1)
        if len(data) > most:
            raise Refused(f"it holds more than {most:,} bytes")
        return data, stat.S_IMODE(about.st_mode)

    @contextmanager
    def _parent(self, parts: Sequence[str], *, make: bool = False) -> Iterator[tuple[int | Path, str]]:
        """The folder that a file is in, and the file's own name."""
        if not parts:
            raise Refused("that is the folder itself, and no file")
        with self._folder(parts[:-1], make=make) as where:
            yield where, parts[-1]

    @contextmanager
    def _folder(self, parts: Sequence[str], *, make: bool = False) -> Iterator[int | Path]:
        if not BY_DESCRIPTOR:
            yield self._resolved(parts, make=make)
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | _NO_WAIT
        descriptor = os.open(self.path, flags)
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=descriptor)
                inner = os.open(part, flags, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _resolved(self, parts: Sequence[str], *, make: bool) -> Path:
        path = self.path.joinpath(*parts)
        if make:
            path.mkdir(parents=True, exist_ok=True)
        if not path.resolve(strict=True).is_relative_to(self.path):
            raise Refused("it leads out of the folder")
        return path


def _entry(found: os.DirEntry[str]) -> Entry | None:
    if found.is_dir(follow_symlinks=False):
        return Entry(found.name)
    return (
        Entry(found.name, found.stat(follow_symlinks=False).st_size)
        if found.is_file(follow_symlinks=False)
        else None
    )


def _open(name: str, flags: int, where: int | Path, mode: int = 0) -> int:
    if isinstance(where, int):
        return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=where)
    path = where / name
    if path.is_symlink():
        raise Refused("it is a link")
    return os.open(path, flags, mode)


def _rename(name: str, to: str, where: int | Path) -> None:
    if isinstance(where, int):
        os.replace(name, to, src_dir_fd=where, dst_dir_fd=where)
    else:
        os.replace(where / name, where / to)


def _remove(name: str, where: int | Path) -> None:
    if isinstance(where, int):
        os.unlink(name, dir_fd=where)
    else:
        (where / name).unlink()
