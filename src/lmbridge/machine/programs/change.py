"""What connecting a program changes in a text, and how that is taken back. Pure: texts in, texts out.

Taking back has two ways. Where the text is as it was left, the very characters go back. Where the program or its
user has written to it since, our settings are taken out one by one, each only if it still has our value.
"""

from __future__ import annotations

import hashlib
from typing import Final

from msgspec import Struct

from lmbridge.machine.programs.languages import LANGUAGES, Language, LanguageName
from lmbridge.machine.programs.values import MISSING, Broken, Path, digest, found, merged, same


class Setting(Struct, frozen=True):
    """A value at a path.

    Attributes:
        only_if_missing: leave what is there already; and leave ours behind where others have written since.
        within: the table that is ours as a whole once it is made: what others write into it means nothing without
            the rest.
    """

    path: Path
    value: object
    only_if_missing: bool = False
    within: Path = ()


class Hunk(Struct, frozen=True):
    """One change of a text: from *start* on, *length* characters stand where *old* stood."""

    start: int
    old: str
    length: int


class Written(Struct, frozen=True):
    """A setting that was written.

    Attributes:
        digest: of its value. before: how the value before was written; None where there was none.
        made: the tables that were made for it, outermost first. stays: others may build on it by now.
        ours: that of these tables which goes as a whole.
    """

    path: Path
    digest: str
    before: str | None = None
    made: tuple[Path, ...] = ()
    stays: bool = False
    ours: Path = ()


class Change(Struct, frozen=True):
    """What was done to a text.

    Attributes:
        before, after: the digests of the text. new: there was no file before.
    """

    after: str
    hunks: tuple[Hunk, ...] = ()
    written: tuple[Written, ...] = ()
    new: bool = False


def text_digest(text: str) -> str:
    """What a text is recognised by."""
    return hashlib.sha256(text.encode()).hexdigest()


def changed(text: str | None, language: LanguageName, settings: tuple[Setting, ...]) -> tuple[str, Change]:
    """The text with the settings in it, and how that was done. None is a file that is not there.

    Raises:
        Broken: the text is not what its language says, or is written in a way that cannot be added to.
    """
    use, now = LANGUAGES[language], text or ""
    values = use.values(now)
    hunks: list[Hunk] = []
    written: list[Written] = []
    for setting in settings:
        there = found(values, setting.path)
        if there is not MISSING and (setting.only_if_missing or same(there, setting.value)):
            continue
        made = tuple(
            setting.path[:depth]
            for depth in range(1, len(setting.path))
            if found(values, setting.path[:depth]) is MISSING
        )
        before = use.raw(now, setting.path) if there is not MISSING else None
        after = use.put(now, setting.path, setting.value)
        values = _checked(use, after, _expected(values, setting, language), setting.path)
        hunks.append(_hunk(now, after))
        stays, ours = setting.only_if_missing, setting.within if setting.within in made else ()
        written.append(Written(setting.path, digest(found(values, setting.path)), before, made, stays, ours))
        now = after
    return now, Change(text_digest(now), tuple(hunks), tuple(written), new=text is None)


def taken_back(
    text: str, language: LanguageName, change: Change, *, force: bool = False
) -> tuple[str, list[Path]]:
    """The text without what a change did, and the paths whose values are others' by now. Those stay, unless
    *force* is given.

    Raises:
        Broken: the text is not what its language says.
    """
    if text_digest(text) == change.after:
        return _undone(text, change.hunks), []
    use = LANGUAGES[language]
    differ: list[Path] = []
    for written in reversed(change.written):
        there = found(use.values(text), written.path)
        if there is MISSING or written.stays:
            continue
        if digest(there) != written.digest:
            differ.append(written.path)
            if not force:
                continue
        if written.before is not None:
            text = _put_back(use, text, written.path, written.before)
            continue
        text = use.drop(text, written.path)
        for made in reversed(written.made):
            rest = found(use.values(text), made)
            if rest not in ({}, [], None) and made == written.ours:
                differ.append(made)
            if rest in ({}, [], None) or (force and made == written.ours):
                text = use.drop(text, made)
    return text, differ[::-1]


def empty(text: str, language: LanguageName) -> bool:
    """Whether a text says nothing any more, so that a file made for it can go."""
    return not text.strip() or (language in ("json", "jsonc") and text.strip() in ("{}", "{ }"))


def _expected(values: object, setting: Setting, language: LanguageName) -> object:
    """What a text should mean once a setting is in it."""
    if language != "yaml" or len(setting.path) == 1:
        return merged(values, setting.path, setting.value)
    # In YAML a table at a path of two names is an item of a list, with its name inside.
    first, name = setting.path
    item = {"name": name, **setting.value} if isinstance(setting.value, dict) else {"name": name}
    listed = values.get(first) if isinstance(values, dict) else None
    return merged(values, (first,), merged(listed or [], (name,), item))


_CANNOT: Final = "is written in a way that lmbridge cannot add to"


def _checked(use: Language, text: str, expected: object, path: Path) -> object:
    """What the text means now, if that is what it should."""
    try:
        values = use.values(text)
    except Broken as error:
        raise Broken(0, f"{'.'.join(path[:-1]) or path[0]} {_CANNOT}") from error
    if not same(values, expected):
        raise Broken(0, f"{'.'.join(path[:-1]) or path[0]} {_CANNOT}")
    return values


def _put_back(use: Language, text: str, path: Path, written: str) -> str:
    """The text with what stood at a path before we came, if that is all that changes."""
    after = use.put_raw(text, path, written)
    try:
        values = use.values(after)
        alike = same(values, merged(use.values(text), path, found(values, path)))
    except Broken:
        alike = False
    if not alike:
        raise Broken(
            0, f"what stood at {'.'.join(path)} before cannot be put back; the copy beside the file has it"
        )
    return after


def _hunk(before: str, after: str) -> Hunk:
    """What differs, between the beginning and the end that are the same."""
    start, most = 0, min(len(before), len(after))
    while start < most and before[start] == after[start]:
        start += 1
    end = 0
    while end < most - start and before[len(before) - 1 - end] == after[len(after) - 1 - end]:
        end += 1
    return Hunk(start, before[start : len(before) - end], len(after) - end - start)


def _undone(text: str, hunks: tuple[Hunk, ...]) -> str:
    for hunk in reversed(hunks):
        text = text[: hunk.start] + hunk.old + text[hunk.start + hunk.length :]
    return text
