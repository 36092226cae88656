"""What the user agreed to: which command lines may be started, and which tools may be called without asking.

Remembered in a file of lmbridge's folder that its owner alone can read. An answer belongs to a digest of command,
arguments, folder and names of variables (`Entry.digest`): whatever is changed there is asked for anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from lmbridge.core.errors import ConfigInvalid, ToolServerNotAllowed
from lmbridge.machine.files import write_whole
from lmbridge.machine.mcp.entries import EVERY, Entry, Policy

FILE: Final = "mcp-consent.json"


class Answer(Struct, frozen=True, omit_defaults=True):
    """What was said of one server.

    Attributes:
        name, shown: what it was called, and the command line that was shown; for people who look into the file.
        start: whether it may be started; None: nobody said.
        since: when that was, seconds since 1970.
        tools: policies by tool, `*` for the others.
    """

    name: str
    shown: str
    start: bool | None = None
    since: float = 0.0
    tools: dict[str, Policy] = {}


class _File(Struct, frozen=True):
    answers: dict[str, Answer] = {}
    format: Literal["lmbridge mcp consent 1"] = "lmbridge mcp consent 1"


class Consents:
    """The answers, read anew each time: `lmbridge mcp servers allow` reaches what runs already.

    Args:
        home: lmbridge's folder.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FILE

    def answer(self, entry: Entry) -> Answer:
        """What was said of this server as it is now."""
        return self._read().answers.get(entry.digest) or Answer(entry.name, entry.shown)

    def may_start(self, entry: Entry) -> bool | None:
        """Whether it may be used; None: nobody was asked. A server over HTTP starts nothing, so need not be."""
        answer = self.answer(entry).start
        return True if entry.url and answer is None else answer

    def check(self, entry: Entry) -> None:
        """Make sure that it may be started.

        Raises:
            ToolServerNotAllowed: with the command line, and how one agrees to it.
        """
        allowed = self.may_start(entry)
        if allowed is None:
            raise ToolServerNotAllowed(
                entry.name,
                f"The MCP server {entry.name!r} would run `{entry.shown}`{with_variables(entry)}, "
                "and nobody has agreed to that.",
            )
        if not allowed:
            raise ToolServerNotAllowed(entry.name, f"The MCP server {entry.name!r} is forbidden.")

    def policy_of(self, entry: Entry, *names: str) -> Policy:
        """What becomes of calls of a tool: what the user answered; else what the settings say.

        Args:
            names: of the tool; the first one that anything is said of counts.
        """
        told = self.answer(entry).tools
        answered = next((told[name] for name in (*names, EVERY) if name in told), None)
        return answered or entry.policy_of(*names)

    def allow(self, entry: Entry, *, start: bool = True) -> None:
        """Remember that it may be started, or must not be."""
        self._put(entry, start=start, since=time.time())

    def set_tools(self, entry: Entry, tools: Iterable[str], policy: Policy) -> None:
        """Remember what becomes of calls of these tools; `*` stands for all that are not named.

        Who allows all has no tool in mind that he wants to be asked about; one that he forbade stays forbidden.
        """
        told, names = self.answer(entry).tools, tuple(tools)
        if EVERY in names and policy == "always":
            told = {tool: said for tool, said in told.items() if said != "ask"}
        self._put(entry, tools={**told, **dict.fromkeys(names, policy)})

    def _put(self, entry: Entry, **changes: object) -> None:
        file = self._read()
        changed = msgspec.structs.replace(self.answer(entry), **changes)
        data = msgspec.json.encode(_File({**file.answers, entry.digest: changed}))
        write_whole(self._path, msgspec.json.format(data, indent=2) + b"\n")

    def _read(self) -> _File:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return _File()
        except OSError as error:
            raise ConfigInvalid(str(self._path), f"cannot be read: {error.strerror or error}") from error
        except msgspec.DecodeError as error:
            hint = "Delete it; you are asked again then."
            raise ConfigInvalid(str(self._path), f"cannot be understood: {error}", hint=hint) from error


def with_variables(entry: Entry) -> str:
    """How the names of what is put into its environment are told, "" where there is none."""
    named = f" with {', '.join(entry.variables)} in its environment" if entry.variables else ""
    return named + (f" in {entry.cwd}" if entry.cwd else "")
