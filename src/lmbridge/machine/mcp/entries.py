"""What is known of an MCP server: how it is started or reached, and which of its tools may be used. No I/O.

Entries come from LM Studio's `mcp.json` (Cursor's notation, see `read_theirs`), from tables `[mcp.NAME]` of
lmbridge.toml (`read_ours`), or from the command line. One that cannot be used says why and stays in the list.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from hashlib import sha256
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from lmbridge.machine.environment import decides_code

Policy: TypeAlias = Literal["always", "ask", "never"]
"""Whether a tool is called: without asking, only if the user agrees each time, or not at all."""
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86_400)]

NAME: Final = re.compile(r"[A-Za-z0-9][\w .@-]{0,63}", re.ASCII)
"""What a server may be called. The name stands in plugin ids (`mcp/NAME`), and before tools of the same name."""
IGNORED: Final = frozenset(("autoApprove", "alwaysAllow", "description", "disabledTools", "icon", "timeout"))
"""Fields of other programs' entries that say nothing of how the server is started."""
EVERY: Final = "*"
"""In a table of policies: every tool that it does not name."""


class Entry(Struct, frozen=True, kw_only=True):
    """One server.

    Attributes:
        name: what the user calls it. source: the file it is from, or `the command line`.
        command, args, env, cwd: a program that is started and speaks over its standard input and output.
        url, headers: or a server that is asked over streamable HTTP.
        allowed_tools: the only tools of it that exist here; None allows all.
        policy: one for all its tools, or by their names (`*` for the others), or by the address of a resource.
        start_timeout_s: seconds until it must be ready. call_timeout_s: seconds that a call may take.
        problem: why it cannot be used; "" if it can. ignored: fields that mean nothing here.
    """

    name: str
    source: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    allowed_tools: tuple[str, ...] | None = None
    policy: Policy | dict[str, Policy] = "ask"
    start_timeout_s: Seconds = 30.0
    call_timeout_s: Seconds = 300.0
    problem: str = ""
    ignored: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Entry({self.name!r}, {self.source!r})"  # environment and headers hold secrets

    @property
    def shown(self) -> str:
        """The exact command line, or the address without what may be secret in it."""
        if self.command:
            return shlex.join([self.command, *self.args])
        return shown_url(self.url) if self.url else ""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of what is put into its environment, or of the headers that are sent; never their values."""
        return tuple(sorted(self.env if self.command else self.headers))

    @property
    def digest(self) -> str:
        """Stands for what was agreed to: another command, argument, folder or variable gives another one.

        So does another value of a variable that decides what is run.
        """
        if self.command:
            deciding = {name: self.env[name] for name in self.variables if decides_code(name)}
            what: object = [self.command, self.args, self.cwd, self.variables, *([deciding] if deciding else [])]
        else:
            what = [self.url, [name.lower() for name in self.variables]]
        return sha256(json.dumps(what).encode()).hexdigest()

    def policy_of(self, *names: str) -> Policy:
        """What the settings say of a tool: by the first of its names that they have."""
        if isinstance(self.policy, str):
            return self.policy
        return next((self.policy[name] for name in (*names, EVERY) if name in self.policy), "ask")


def shown_url(url: str) -> str:
    """An address for people: without a password, and without what follows its path."""
    try:
        parts = urlsplit(url)
        where = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{where}{parts.path}" + ("?…" if parts.query else "")


class _Local(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of ours."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    allowed_tools: tuple[str, ...] | None = None
    policy: Policy | dict[str, Policy] = "ask"
    start_timeout_s: Seconds = 30.0
    call_timeout_s: Seconds = 300.0


class _Theirs(Struct, frozen=True):
    """What we understand of an entry of other programs."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = {}


def read_ours(name: str, table: object, source: str) -> Entry:
    """A table `[mcp.NAME]` of lmbridge.toml. A setting that does not exist is a problem."""
    if not isinstance(table, dict):
        return _unusable(name, source, "it is no table")
    known = _Local.__struct_fields__
    if stray := sorted(table.keys() - set(known)):
        near = get_close_matches(stray[0], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        return _unusable(name, source, f"there is no setting {stray[0]!r}; {hint}")
    try:
        given = msgspec.convert(table, _Local)
    except msgspec.ValidationError as error:
        return _unusable(name, source, _said(error))
    return checked(Entry(name=name, source=source, **msgspec.structs.asdict(given)))


def read_theirs(name: str, table: object, source: str) -> Entry:
    """An entry under `mcpServers`: `command`, `args`, `env`, or `url`, `headers`.

    Fields of other programs are named in `ignored`; those that would change what is done make it unusable.
    """
    if not isinstance(table, dict):
        return _unusable(name, source, "it is no object")
    try:
        given = msgspec.convert(table, _Theirs)
    except msgspec.ValidationError as error:
        return _unusable(name, source, _said(error))
    others = sorted(str(key)[:64] for key in table.keys() - set(_Theirs.__struct_fields__))
    entry = Entry(name=name, source=source, ignored=tuple(others), **msgspec.structs.asdict(given))
    if table.get("disabled") is True or table.get("enabled") is False:
        which = "disabled" if table.get("disabled") is True else "enabled"
        return replace(entry, problem=f"it is switched off there (`{which}`)")
    if "auth" in table:
        return replace(entry, problem="it wants OAuth (`auth`), which lmbridge does not do; give it a header")
    if table.get("type") == "sse" or table.get("transport") == "sse":
        return replace(entry, problem="it speaks the old transport SSE; streamable HTTP is understood")
    return checked(entry)


def checked(entry: Entry) -> Entry:
    """The entry, with the problem that it cannot be started or reached as it is."""
    if not NAME.fullmatch(entry.name):
        return replace(entry, problem="its name has characters that a name may not have, or too many")
    if bool(entry.command) == bool(entry.url):
        both = "has both a command and a URL" if entry.url else "has neither a command nor a URL"
        return replace(entry, problem=f"it {both}")
    texts = (entry.command, *entry.args, entry.cwd, *entry.env, *entry.env.values())
    if any("\0" in text for text in texts) or any("=" in name or not name for name in entry.env):
        return replace(entry, problem="its command or environment has characters that cannot be passed on")
    return replace(entry, problem=_problem_of_url(entry)) if entry.url else entry


def _problem_of_url(entry: Entry) -> str:
    try:
        parts = urlsplit(entry.url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine or any(c <= " " or c > "~" for c in entry.url):
        return "its URL must begin with http:// or https:// and name a host"
    if "@" in parts.netloc:
        return "its URL must not hold a user name or a password; give it a header"
    if any(not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) for name in entry.headers):
        return "one of its headers has no proper name"
    if any(not value.isascii() or not value.isprintable() for value in entry.headers.values()):
        return "the value of one of its headers has a character that is not allowed"
    return ""


def _unusable(name: str, source: str, problem: str) -> Entry:
    return Entry(name=name, source=source, problem=problem)


def _said(error: msgspec.ValidationError) -> str:
    """What is wrong, without the value that is."""
    said, _, at = str(error).partition(" - at `$")
    return f"{at.strip('.`') or 'it'}: {said[:1].lower()}{said[1:]}" if at else f"{said[:1].lower()}{said[1:]}"


def of_command(line: str, name: str = "") -> Entry:
    """A server that was typed as a command line. Whoever typed it agrees to it."""
    source = "the command line"
    try:
        words = shlex.split(line)
    except ValueError as error:
        return _unusable(name or "command", source, f"its quotes are not closed ({error})")
    if not words:
        return _unusable(name or "command", source, "its command is empty")
    return checked(Entry(name=name or _named(words), source=source, command=words[0], args=tuple(words[1:])))


def of_url(url: str, name: str = "") -> Entry:
    """A server that was typed as an address."""
    found = re.sub(r"[^A-Za-z0-9.-]", "", (urlsplit(url).hostname or "") if "://" in url else "") or "server"
    return checked(Entry(name=name or found[:64], source="the command line", url=url))


def _named(words: list[str]) -> str:
    """A name for a command line: its last word that is no option and looks like a name, such as a package."""
    if "-m" in words[:-1]:
        words = [words[words.index("-m") + 1].rpartition(".")[2]]
    for word in reversed(words):
        name = re.sub(r"\.(py|js|mjs|ts|exe)$", "", re.split(r"[\\/]", word)[-1])
        if not word.startswith("-") and NAME.fullmatch(name):
            return name
    return "command"


def entries_of(tables: Mapping[str, object], source: str) -> dict[str, Entry]:
    """Entries of all tables `[mcp.NAME]`."""
    return {name: read_ours(name, table, source) for name, table in tables.items()}
