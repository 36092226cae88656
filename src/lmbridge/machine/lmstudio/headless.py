"""LM Studio for a computer without a screen: what would have to be changed, and changing it.

Two roads are documented: its daemon (`lms daemon up`), and the app's own service with a REST server that starts
along. The second is two switches in LM Studio's files. Those files are LM Studio's: a plan is made first and
shown to a person; a file is changed in the one place that matters, whole or not at all, with a backup beside it,
and not at all when it is not understood or was changed meanwhile.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Final

from msgspec import Struct

from lmbridge.core.errors import BridgeError, ConfigInvalid, NoSpace
from lmbridge.machine.lmstudio.home import MOST_BYTES
from lmbridge.machine.lmstudio.install import HTTP_SETTINGS, Installation

SERVICE: Final = (
    "settings.json",
    "enableLocalService",
    "run the app as a service, without a window",
)
SERVER: Final = (HTTP_SETTINGS, "autoStartOnLaunch", "start the REST server whenever LM Studio starts")

DAEMON: Final = ("lms", "daemon", "up")

PREFERENCES: Final = (
    "Some guides name the key `developer.enableLocalLLMService` in `preferences.json`. No known version of LM "
    "Studio reads such a file, so none is written: `enableLocalService` in `settings.json` is what they mean."
)


class Change(Struct, frozen=True):
    """One step of a plan: a switch in a file, a command, or only something to know.

    Attributes:
        what: what it does, in a few words.
        path: file to change, None for a command. key: the switch in it.
        before, after: the whole text of the file.
        command: to be run, as one would type it without the path of the program.
        note: what speaks against it or must be done first; a step with neither file nor command is a note alone.
    """

    what: str
    path: Path | None = None
    key: str = ""
    before: str = ""
    after: str = ""
    command: tuple[str, ...] = ()
    note: str = ""

    @property
    def diff(self) -> str:
        """The change of the file, the lines that go marked with `-` and those that come with `+`."""
        if self.path is None:
            return ""
        lines = list(unified_diff(self.before.splitlines(), self.after.splitlines(), lineterm="", n=0))
        return "\n".join(line[:200] for line in lines[2:] if line[0] in "+-")

    def __str__(self) -> str:
        """The step for people: what it does, where, and the lines that change."""
        head = f"{self.what}:" if self.path or self.command else self.what
        parts = [head, str(self.path) if self.path else "", self.diff, " ".join(self.command), self.note]
        return "\n".join(part for part in parts if part)


def plan(installation: Installation, *, daemon: bool | None = None) -> list[Change]:
    """What is to be done so that LM Studio serves without a window. Reads, and writes nothing.

    Steps that are done already are left out, so that an empty plan, notes aside, means: it is set up.

    Args:
        daemon: True plans the daemon, False the app's service, None whichever is installed, the daemon first.

    Raises:
        ConfigInvalid: a file of LM Studio that cannot be read or understood.
    """
    if daemon is None:
        daemon = installation.llmster is not None or installation.app is None
    steps = [_switched(installation, *SERVER)]
    if daemon:
        steps.append(Change("Start LM Studio without a window", command=DAEMON))
    else:
        steps.insert(0, _switched(installation, *SERVICE))
    notes = [Change(PREFERENCES)] if os.path.exists(installation.home / "preferences.json") else []
    return [*(step for step in steps if step is not None), *notes]


def apply(changes: Sequence[Change]) -> list[Path]:
    """Make the changes of files, in their order; commands are for the caller. Returns the backups.

    Raises:
        ConfigInvalid: a file was changed since it was planned, or cannot be written; it is left as it is.
        NoSpace: the disk is full.
    """
    return [_write(change, change.path) for change in changes if change.path is not None]


def _switched(installation: Installation, name: str, key: str, what: str) -> Change | None:
    path = installation.home / name
    what = what[:1].upper() + what[1:]
    try:
        text = _read(path)
    except FileNotFoundError:
        return Change(
            what, note=f"LM Studio makes {path} when it is first started: start it once, then run this again."
        )
    after = switched_on(text, key)
    if after is None:
        raise ConfigInvalid(
            str(path), "is not understood, so it is left alone", hint="Change it in LM Studio itself."
        )
    if after == text:
        return None
    alive = installation.sdk is not None and installation.sdk.alive is not False
    note = "LM Studio runs: quit it first, as it may write its own settings over this." if alive else ""
    return Change(what, path, key, text, after, note=note)


def _read(path: Path) -> str:
    """The text of a settings file, line ends and all.

    Raises:
        FileNotFoundError. ConfigInvalid: it cannot be read, is too long or is no text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigInvalid(str(path), f"cannot be read ({error.strerror})") from error
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(data[:0])
        return data.decode("utf-8")
    except ValueError as error:
        raise ConfigInvalid(str(path), "is not understood, so it is left alone") from error


def switched_on(text: str, key: str) -> str | None:
    """A JSON object's text with *key* set to true, everything else as it was; None when that cannot be done.

    The text itself is edited, not what it means, so that numbers, order and layout stay as LM Studio wrote them.
    """
    found = _object(text)
    if found is None:
        return None
    if found.get(key) is True:
        return text
    wanted = {**found, key: True}
    here = re.compile(rf'("{re.escape(key)}"\s*:\s*)(?:false|null)\b')
    opening = text.index("{")
    indent = re.match(r"\{(\r?\n[ \t]*)", text[opening:])
    new = f'{indent[1] if indent else ""}"{key}": true' + ("," if found else "")
    candidates = [f"{text[: each.end(1)]}true{text[each.end() :]}" for each in here.finditer(text)]
    candidates.append(text[: opening + 1] + new + text[opening + 1 :])
    return next((each for each in candidates if _object(each) == wanted), None)


def _object(text: str) -> dict[str, object] | None:
    """The object that a JSON text is; None when it is none, or says something twice."""
    try:
        found: object = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _write(change: Change, path: Path) -> Path:
    target = path.resolve()  # a link stays a link
    try:
        if _read(target) != change.before:
            raise ConfigInvalid(str(path), "was changed meanwhile, so it is left alone", hint="Plan again.")
        backup = _backup(target)
        _replace(target, change.after)
    except OSError as error:
        raise _not_written(path, error) from error
    return backup


def _backup(path: Path) -> Path:
    """A copy beside the file, under a name that nothing had."""
    stem = f"{path.name}.before-lmbridge-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in range(1000):
        backup = path.with_name(f"{stem}-{number}" if number else stem)
        try:
            backup.touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            continue
        shutil.copy2(path, backup)
        return backup
    raise FileExistsError(errno.EEXIST, "there are too many backups", str(path))


def _replace(path: Path, text: str) -> None:
    """Put the text in the file's place, whole or not at all, with the file's own permissions."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, name)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _not_written(path: Path, error: OSError) -> BridgeError:
    if error.errno == errno.ENOSPC:
        return NoSpace(str(path))
    return ConfigInvalid(str(path), f"cannot be written ({error.strerror})")
