"""Where the files of a repository lie: finished ones in view, unfinished ones out of sight.

    FOLDER/OWNER/NAME/model.gguf                                whole and checked, or not there at all
    FOLDER/.downloads/OWNER/NAME/model.gguf.0123456789ab.part   on its way; the number is the start of its hash
    FOLDER/.downloads/OWNER/NAME/model.gguf.0123456789ab.whole  checked, waiting for the others of its model
    FOLDER/.downloads/OWNER--NAME.lock                          whoever downloads from the repository holds it

Nothing that begins with a dot is looked into when models are searched for. All of it is in one folder, so that a
finished file takes its place by being renamed, at once and whole.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lmbridge.core.errors import DownloadFailed, NoSpace
from lmbridge.machine.downloads.choice import Choice, RemoteFile
from lmbridge.machine.downloads.names import is_repository
from lmbridge.machine.file_names import SUFFIX
from lmbridge.machine.locks import claim, release

HIDDEN: Final = ".downloads"
LOOK_EVERY: Final = 0.25
"""Seconds between two looks whether it is our turn."""
MAX_NAME: Final = 200
"""Most bytes of a file's name; what is added to it while it is unfinished must fit into 255."""


class Shelf:
    """The place of one repository in *folder*.

    Raises:
        DownloadFailed: a name that would lead elsewhere.
    """

    def __init__(self, folder: Path, repository: str, asked: str) -> None:
        if not is_repository(repository):
            raise DownloadFailed(asked, f"the hub calls it {repository[:80]!r}, which cannot be")
        owner, name = repository.split("/")
        self._asked = asked
        self._lock = folder / HIDDEN / f"{owner}--{name}.lock"
        self._hidden = folder / HIDDEN / owner / name
        self.folder = folder / owner / name

    def place(self, file: RemoteFile) -> Path:
        """Where the finished file is to lie. Folders within the repository are left out, as LM Studio does.

        Raises:
            DownloadFailed: its name is none that a file should have here.
        """
        name = file.name
        if (
            not name.lower().endswith(SUFFIX)
            or name.startswith((".", "-", " "))
            or not name.isprintable()
            or any(letter in '<>:"/\\|?*' for letter in name)
            or len(name.encode()) > MAX_NAME
        ):
            raise DownloadFailed(self._asked, f"{name[:80]!r} is no name for a file here")
        return self.folder / name

    def part(self, file: RemoteFile) -> Path:
        """Where it lies while it is incomplete."""
        return self._hidden / f"{self.place(file).name}.{_key(file)}.part"

    def whole(self, file: RemoteFile) -> Path:
        """Where it lies while others of its model are incomplete."""
        return self._hidden / f"{self.place(file).name}.{_key(file)}.whole"

    def is_here(self, file: RemoteFile) -> bool:
        """Whether the finished file is in its place. It got there checked, so its size is proof enough."""
        return _size(self.place(file)) == file.size

    def already(self, file: RemoteFile) -> int:
        """How many bytes of it are here, finished or not."""
        if self.is_here(file) or self.whole(file).exists():
            return file.size
        return max(0, min(_size(self.part(file)), file.size))

    def make_room(self, files: Sequence[RemoteFile]) -> None:
        """Prepare for downloading *files*.

        Raises:
            NoSpace: what is missing of them does not fit the disk. DownloadFailed: the folder cannot be made.
        """
        try:
            self._hidden.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._hidden).free
        except OSError as error:
            reason = f"{error.filename or self.folder} cannot be used: {error.strerror}"
            raise DownloadFailed(self._asked, reason, hint="Choose another `download_folder`.") from error
        needed = sum(file.size - self.already(file) for file in files)
        if needed > free:
            raise NoSpace(str(self.folder), needed, free)

    def put(self, choice: Choice) -> Path:
        """Show the finished files, all at once as nearly as can be, and clear away what they replace."""
        for file in choice.everything:
            if self.whole(file).exists():
                self.whole(file).replace(self.place(file))
        self._tidy(choice)
        return self.place(choice.files[0])

    def _tidy(self, choice: Choice) -> None:
        """Remove unfinished older versions of the same files."""
        for file in choice.everything:
            for stale in self._hidden.glob(f"{_literal(file.name)}.*"):
                stale.unlink(missing_ok=True)

    @contextmanager
    def turn(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Be the only one who downloads from this repository while the `with` lasts, among all processes.

        Arguments:
            waiting: called now and then while somebody else does.
        """
        handle = self._claim()
        while handle is None:
            waiting()
            time.sleep(LOOK_EVERY)
            handle = self._claim()
        try:
            yield
        finally:
            release(handle, self._lock)
            self._remove_if_empty(self._hidden, self._hidden.parent, self._lock.parent)
            self._remove_if_empty(self.folder, self.folder.parent)

    def _remove_if_empty(self, *folders: Path) -> None:
        with suppress(OSError):
            for folder in folders:
                folder.rmdir()

    def _claim(self) -> int | None:
        """The locked file; None while somebody else holds it."""
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            return claim(self._lock)
        except FileNotFoundError:
            return None  # whoever had it has just removed the empty folder
        except OSError as error:
            reason = f"{self._lock.parent} cannot be used: {error.strerror}"
            raise DownloadFailed(self._asked, reason, hint="Choose another `download_folder`.") from error


def _key(file: RemoteFile) -> str:
    return (file.sha256 or file.blob or "unknown")[:12]


def _literal(name: str) -> str:
    """*name* as a pattern that matches itself alone."""
    return "".join(f"[{letter}]" if letter in "[]*?" else letter for letter in name)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
