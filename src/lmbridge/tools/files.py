"""Tools for the files of one folder: a model may create, read, list and edit text in it, and nothing outside."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from lmbridge.core.messages import Tool
from lmbridge.core.tools import ToolProgress, ToolResult
from lmbridge.tools.confined import Folder, Refused, parts_of
from lmbridge.tools.functions import FunctionTools, tool

MOST_BYTES: Final = 256 * 1024
"""Of a file that is read or written: more would not fit a model's context anyway."""
MOST_CREATED: Final = 100
MOST_ENTRIES: Final = 500

_WHY: Final[Mapping[int, str]] = {
    errno.ENOENT: "it is not there",
    errno.ENOTDIR: "a part of the path is no folder, or is a link",
    errno.EISDIR: "it is a folder",
    errno.ELOOP: "it is a link, and links are not followed",
    errno.EEXIST: "it exists, and is not overwritten: choose another name, or edit it",
    errno.EACCES: "the system allows it to nobody here",
    errno.ENOSPC: "the disk is full",
    errno.ENAMETOOLONG: "the name is too long",
}


class FileTools:
    """A folder's files as a `Toolbox`. Creating overwrites nothing, nothing is deleted, links are not followed.

    Args:
        folder: must be there; the model names paths relative to it.
        read_only: offer reading and listing alone.
        most_bytes: of a file that is read or written.
        most_created: files that may be made in all.

    Raises:
        InvalidRequest: there is no such folder.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        read_only: bool = False,
        most_bytes: int = MOST_BYTES,
        most_created: int = MOST_CREATED,
    ) -> None:
        self.name = "files"
        self._folder = Folder(Path(folder))
        self._most_bytes, self._most_created, self._created = most_bytes, most_created, 0
        self._lock = threading.Lock()  # each call has a thread of its own
        reading = (self.read_file, self.list_directory)
        self._box = FunctionTools(
            reading if read_only else (*reading, self.create_file, self.edit_file), name="files"
        )

    @property
    def folder(self) -> Path:
        """The folder, links resolved."""
        return self._folder.path

    @tool
    def create_file(self, path: str, content: str) -> ToolResult:
        """Create a text file. A file that exists is not overwritten.

        Args:
            path: name of the new file, such as notes.txt or docs/notes.txt.
            content: the text to put into it.
        """
        return _told(path, lambda: self._create(path, content))

    @tool
    def read_file(self, path: str) -> ToolResult:
        """Read a text file.

        Args:
            path: of the file, such as notes.txt.
        """
        return _told(path, lambda: _text(self._folder.read(parts_of(path), self._most_bytes)))

    @tool
    def list_directory(self, path: str = ".") -> ToolResult:
        """List the files and folders of a folder, folders with a slash.

        Args:
            path: of the folder; leave it out for the whole.
        """
        return _told(path, lambda: self._list(path))

    @tool
    def edit_file(self, path: str, old_text: str, new_text: str) -> ToolResult:
        """Replace a piece of a text file by another. The piece must occur in it exactly once.

        Args:
            path: of the file, such as notes.txt.
            old_text: the piece to replace, exactly as it stands in the file.
            new_text: what to put in its place.
        """
        return _told(path, lambda: self._edit(path, old_text, new_text))

    def _create(self, path: str, content: str) -> str:
        data, parts = self._checked(content), parts_of(path)
        with self._lock:
            if self._created >= self._most_created:
                raise Refused(f"{self._created} files have been made, and no more may be")
            self._folder.create(parts, data)
            self._created += 1
        return f"{path} was created, {len(data)} bytes."

    def _list(self, path: str) -> str:
        entries = self._folder.entries(parts_of(path))
        lines = [f"{e.name}/" if e.size is None else f"{e.name} ({e.size} bytes)" for e in entries[:MOST_ENTRIES]]
        if len(entries) > MOST_ENTRIES:
            lines.append(f"and {len(entries) - MOST_ENTRIES} more")
        return "\n".join(lines) or "It is empty."

    def _edit(self, path: str, old_text: str, new_text: str) -> str:
        parts = parts_of(path)
        with self._lock:
            before = self._folder.read(parts, self._most_bytes)
            text = _text(before)
            count = text.count(old_text) if old_text else 0
            if count != 1:
                said = (
                    "no such text is in it" if not count else f"that text is in it {count} times: give more of it"
                )
                raise Refused(said)
            self._folder.replace(parts, before, self._checked(text.replace(old_text, new_text)))
        return f"{path} was changed."

    def _checked(self, text: str) -> bytes:
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise Refused("the text holds characters that UTF-8 does not have") from error
        if len(data) > self._most_bytes:
            raise Refused(f"{len(data):,} bytes are too many: at most {self._most_bytes:,}")
        return data

    async def tools(self) -> Sequence[Tool]:
        """What can be called."""
        return await self._box.tools()

    async def call(
        self, name: str, arguments: Mapping[str, object], progress: ToolProgress | None = None
    ) -> ToolResult:
        """Call one. Whatever goes wrong is a result that says so."""
        return await self._box.call(name, arguments, progress)

    async def aclose(self) -> None:
        """Nothing was started."""


def _told(path: str, work: Callable[[], str]) -> ToolResult:
    """What came of it; what goes wrong is told to the model in words that hold no path of this machine."""
    try:
        return ToolResult(work())
    except Refused as error:
        return ToolResult(f"{path!r}: {error}.", is_error=True)
    except OSError as error:
        return ToolResult(f"{path!r}: {_WHY.get(error.errno or 0, 'the system refuses it')}.", is_error=True)


def _text(data: bytes) -> str:
    if b"\0" in data:
        raise Refused("it holds no text")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused("it holds no text in UTF-8") from error
