"""Other programs' files: read with care; written whole or not at all, with a copy beside.

A link stays a link: what it leads to is written. Mode and owner stay as they were, and a file that may not be
written is not replaced by one that may.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.files import naming

MOST_BYTES: Final = 64 * 2**20
"""Of a settings file that is read."""


def read(path: Path) -> str | None:
    """The text of a file, its line ends as they are; None where there is none.

    Raises:
        ConfigInvalid: it cannot be read, is no plain file, or is no text.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigInvalid(str(path), "is not a plain file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        if os.path.islink(path):
            raise ConfigInvalid(
                str(path), "is a link that leads nowhere", hint="Remove it, or mend it."
            ) from error
        return None
    except NotADirectoryError as error:
        raise ConfigInvalid(str(path), "is below something that is no folder") from error
    except OSError as error:
        raise ConfigInvalid(str(path), f"cannot be read ({error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise ConfigInvalid(str(path), f"is larger than {MOST_BYTES // 2**20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigInvalid(str(path), f"line {line}: is not UTF-8") from error


def refuse_unless_writable(path: Path) -> None:
    """Make sure that a file, or a new one in its place, may be written.

    Raises:
        ConfigInvalid: it may not.
    """
    real = _real(path)
    # A file can be replaced without the right to write it, and root has every right: whoever took it meant it.
    if real.exists() and not (os.stat(real).st_mode & 0o222 and os.access(real, os.W_OK)):
        raise ConfigInvalid(str(path), "is read-only", hint="Make it writable, or see what made it so.")
    folder = real.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigInvalid(str(path), f"cannot be written: {folder} is read-only or no folder")


def backed_up(path: Path) -> Path | None:
    """A copy of a file beside it, with the time in its name; None where there is nothing to copy.

    Raises:
        OSError: it cannot be written.
    """
    real = _real(path)
    if not real.exists():
        return None
    stem = f"{real.name}.lmbridge-{time.strftime('%Y%m%d-%H%M%S')}"
    number = 1
    while True:
        copy = real.with_name(f"{stem}.bak" if number == 1 else f"{stem}-{number}.bak")
        try:
            handle = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(real.read_bytes())
        os.chmod(copy, stat.S_IMODE(os.stat(real).st_mode))
        return copy


def write(path: Path, text: str) -> None:
    """Put a text into the place of a file, which may be a link; a new one is for its owner only.

    Raises:
        OSError: it cannot be written; then it is as it was.
    """
    real = _real(path)
    real.parent.mkdir(parents=True, exist_ok=True)
    facts = os.stat(real) if real.exists() else None
    handle, name = tempfile.mkstemp(prefix=f".{real.name}-", dir=real.parent)
    try:
        with naming(real), os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        if facts is not None:
            _as_before(name, facts)
        os.replace(name, real)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def missing_folder(path: Path) -> str:
    """The outermost folder that will have to be made for a file; "" where all are there."""
    missing = [each for each in _real(path).parents if not each.exists()]
    return str(missing[-1]) if missing else ""


def remove_folders(path: Path, outermost: str) -> None:
    """Take away the folders that were made for a file, as far as nothing is in them."""
    with suppress(OSError):
        for folder in _real(path).parents:
            if not folder.is_relative_to(outermost):
                break
            folder.rmdir()


def remove(path: Path) -> None:
    """Take away a file that was made by us; a link that leads to it stays."""
    _real(path).unlink(missing_ok=True)


def _as_before(name: str, facts: os.stat_result) -> None:
    if hasattr(os, "chown"):
        mine = os.stat(name)
        if (mine.st_uid, mine.st_gid) != (facts.st_uid, facts.st_gid):
            with suppress(PermissionError):  # another's file that we may write becomes ours
                os.chown(name, facts.st_uid, facts.st_gid)
    os.chmod(name, stat.S_IMODE(facts.st_mode))


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
