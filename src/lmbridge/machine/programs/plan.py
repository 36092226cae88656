"""What would become of a program's files, and making it so."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.programs import settings_file, values
from lmbridge.machine.programs.change import Change, Setting, changed, empty, taken_back
from lmbridge.machine.programs.languages import LANGUAGES, LanguageName
from lmbridge.machine.programs.program import NO_KEY, Part
from lmbridge.machine.programs.records import FileRecord


class FilePlan(Struct, frozen=True):
    """What would become of one file.

    Attributes:
        before, after: its text now and then; None where there is no file.
        change: how it comes about, to be taken back; None when it is taken back.
        differs: the paths of our settings that somebody has changed since.
    """

    path: Path
    language: LanguageName
    before: str | None
    after: str | None
    change: Change | None = None
    differs: tuple[values.Path, ...] = ()

    def __repr__(self) -> str:
        return f"FilePlan({str(self.path)!r})"  # the texts may hold keys

    @property
    def changes(self) -> bool:
        """Whether there is anything to write."""
        return self.before != self.after

    def diff(self) -> list[str]:
        """The change, as programs show one."""
        before, after = ((text or "").splitlines() for text in (self.before, self.after))
        names = str(self.path) if self.before is not None else "(new)", str(self.path)
        return list(difflib.unified_diff(list(before), list(after), *names, lineterm="", n=2))


def connecting(parts: Iterable[Part], records: Sequence[FileRecord] = ()) -> tuple[FilePlan, ...]:
    """What connecting would make of the files of some parts.

    Args:
        records: what was written there before: it is taken back first, so that nothing of it is left.

    Raises:
        ConfigInvalid: a file is broken, cannot be read or written, or cannot be added to.
    """
    by_file: dict[Path, list[Part]] = {}
    for part in parts:
        by_file.setdefault(part.file, []).append(part)
    return tuple(_connecting(path, mine, records) for path, mine in by_file.items())


def _connecting(path: Path, parts: list[Part], records: Sequence[FileRecord]) -> FilePlan:
    language = parts[0].language
    text = base = settings_file.read(path)
    settings = tuple({each.path: each for part in parts for each in part.settings}.values())
    mine = [each for each in records if each.path == str(path)] if base is not None else []
    with _told(path):
        for record in mine:
            if changed(text, language, settings)[0] == text and _same_paths(record, settings):
                return FilePlan(path, language, text, text, record.change)
            base, _ = taken_back(base or "", record.language, record.change)
            base = None if record.change.new and empty(base, language) else base
        after, change = changed(base, language, settings)
    if after != text:
        settings_file.refuse_unless_writable(path)
    return FilePlan(path, language, text, after, change)


def _same_paths(record: FileRecord, settings: Sequence[Setting]) -> bool:
    """Whether nothing was written before but what is to be written now."""
    return {each.path for each in record.change.written} <= {each.path for each in settings}


def disconnecting(records: Iterable[FileRecord], *, force: bool = False) -> tuple[FilePlan, ...]:
    """What taking everything back would make of the files.

    Raises:
        ConfigInvalid: a file is broken, or cannot be read or written.
    """
    return tuple(_disconnecting(record, force) for record in records)


def _disconnecting(record: FileRecord, force: bool) -> FilePlan:
    path = Path(record.path)
    text = settings_file.read(path)
    if text is None:
        return FilePlan(path, record.language, None, None)
    with _told(path):
        after, differs = taken_back(text, record.language, record.change, force=force)
    if after != text:
        settings_file.refuse_unless_writable(path)
    gone = record.change.new and empty(after, record.language)
    return FilePlan(path, record.language, text, None if gone else after, differs=tuple(differs))


def keep_copy(plan: FilePlan) -> Path | None:
    """Put a copy of what a file is now beside it; None where there is none, or nothing is to be written.

    Raises:
        OSError: it cannot be written.
    """
    return settings_file.backed_up(plan.path) if plan.changes and plan.change is not None else None


def carry_out(plans: Sequence[FilePlan]) -> None:
    """Write the files, or remove them.

    Raises:
        OSError: one cannot be written; then all are as they were.
    """
    done: list[FilePlan] = []
    try:
        for plan in plans:
            if plan.changes:
                _put(plan.path, plan.after)
                done.append(plan)
    except BaseException:
        for plan in done:
            with suppress(OSError):
                _put(plan.path, plan.before)
        raise


def remembered(plan: FilePlan, copy: Path | None, before: FileRecord | None) -> FileRecord | None:
    """What is to be remembered of a file that is about to be written; None where nothing of ours is in it then.

    Args:
        copy: of what it is now. before: what was remembered of it so far: what it was at first is what counts.
    """
    if plan.change is None:
        return None
    first = (
        (before.backup, before.folder) if before else (str(copy or ""), settings_file.missing_folder(plan.path))
    )
    return FileRecord(str(plan.path), plan.language, plan.change, *first)


def remove_folders(records: Iterable[FileRecord]) -> None:
    """Take away the folders that were made for files, as far as nothing is in them."""
    for record in records:
        if record.folder:
            settings_file.remove_folders(Path(record.path), record.folder)


def _put(path: Path, text: str | None) -> None:
    if text is None:
        settings_file.remove(path)
    else:
        settings_file.write(path, text)


def value_in(plans: Iterable[FilePlan], part: Part, path: values.Path, *, before: bool = False) -> object:
    """What is at *path* in the file of a part as it would be, or as it is; `MISSING` where nothing is."""
    for plan in plans:
        text = plan.before if before else plan.after
        if plan.path == part.file and text is not None and path:
            return values.found(LANGUAGES[plan.language].values(text), path)
    return values.MISSING


def keys_in(plans: Iterable[FilePlan], parts: Iterable[Part]) -> tuple[str, ...]:
    """The keys that stand where a program keeps its key, now or then: for who shows the texts."""
    texts = [(plan.language, text) for plan in plans for text in (plan.before, plan.after) if text is not None]
    there = [
        values.found(LANGUAGES[language].values(text), part.key_at)
        for part in parts
        for language, text in texts
        if part.key_at and part.language == language
    ]
    return tuple(dict.fromkeys(key for key in there if isinstance(key, str) and key not in ("", NO_KEY)))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """That a text is broken is said of its file."""
    try:
        yield
    except values.Broken as error:
        hint = "Mend it and try again; nothing was written."
        raise ConfigInvalid(str(path), str(error), hint=hint) from error
    except RecursionError as error:
        raise ConfigInvalid(str(path), "is nested too deep") from error
