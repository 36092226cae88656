"""LM Studio's `mcp.json`: read with care, and mended where it has a form that LM Studio does not read.

The form is `{"mcpServers": {NAME: ENTRY}}`. Instructions went round that write `{"servers": [ENTRY, …]}` with the
name inside; such a file is understood here, and `mended` writes it anew.
"""

from __future__ import annotations

import difflib
import json
import os
import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.files import write_whole
from lmbridge.machine.lmstudio.home import MOST_BYTES, Places, home_folder
from lmbridge.machine.mcp.entries import Entry, read_theirs

MOST_SERVERS: Final = 500


class Servers(Struct, frozen=True):
    """What a file holds.

    Attributes:
        path: the file. entries: its servers by name, unusable ones too.
        problem: why nothing can be read from it; "" if it can, or there is none.
        needs_mending: it has the form that only we understand.
    """

    path: Path
    entries: dict[str, Entry] = {}
    problem: str = ""
    needs_mending: bool = False


class Mended(Struct, frozen=True):
    """A file as it would be.

    Attributes:
        path: the file. before: its text now. after: its text then.
    """

    path: Path
    before: str
    after: str

    @property
    def diff(self) -> str:
        """The change, as programs show one."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), str(self.path), f"{self.path} (mended)", lineterm=""
        )
        return "\n".join(lines)


def mcp_json(places: Places | None = None) -> Path:
    """Where LM Studio keeps its MCP servers, whether the file is there or not."""
    return home_folder(places) / "mcp.json"


def read_servers(path: Path) -> Servers:
    """The servers of a file; a broken file is one without servers and with a problem."""
    try:
        found = _object(path)
    except ConfigInvalid as error:
        return Servers(path, problem=error.reason)
    if found is None:
        return Servers(path)
    if problem := _problem(found):
        return Servers(path, problem=problem)
    listed = found.get("servers")
    tables, mend = _by_name(found), isinstance(listed, list | dict) and bool(listed)
    if len(tables) > MOST_SERVERS:
        return Servers(path, problem=f"it names {len(tables)} servers, and more than {MOST_SERVERS} are not read")
    return Servers(path, {name: read_theirs(name, table, str(path)) for name, table in tables.items()}, "", mend)


def mended(path: Path) -> Mended | None:
    """The file in the form that LM Studio reads; None if it has it already, or is not there.

    What stands under `mcpServers` already wins; fields that nobody here knows stay, and what is no entry goes.

    Raises:
        ConfigInvalid: the file cannot be read.
    """
    found = _object(path)
    if found is not None and (problem := _problem(found)):
        raise ConfigInvalid(str(path), problem, hint='LM Studio reads {"mcpServers": {NAME: {"command": …}}}.')
    if found is None or not read_servers(path).needs_mending:
        return None
    kept = {key: value for key, value in found.items() if key not in ("servers", "mcpServers")}
    tables = {name: table for name, table in _by_name(found).items() if isinstance(table, dict)}
    after = json.dumps({"mcpServers": tables, **kept}, indent=2, ensure_ascii=False) + "\n"
    return Mended(path, path.read_text("utf-8-sig"), after)


def write_mended(change: Mended) -> Path:
    """Write it, the old one put beside it; returns where.

    Raises:
        ConfigInvalid: somebody changed the file meanwhile, or it cannot be written.
    """
    try:
        if change.path.read_text("utf-8-sig") != change.before:
            raise ConfigInvalid(str(change.path), "it was changed meanwhile", hint="Look at it again.")
        aside = change.path.with_name(f"{change.path.name}.before-{time.strftime('%Y%m%d-%H%M%S')}")
        write_whole(aside, change.path.read_bytes())
        mode = change.path.stat().st_mode
        write_whole(change.path, change.after.encode())
        os.chmod(change.path, mode & 0o777)
    except OSError as error:
        raise ConfigInvalid(str(change.path), f"cannot be written: {error.strerror or error}") from error
    return aside


def _object(path: Path) -> dict[str, object] | None:
    """The JSON object in the file; None where there is none, or it is empty.

    Raises:
        ConfigInvalid: it is something else.
    """
    if not os.path.isfile(path):
        return None
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ConfigInvalid(str(path), f"it has more than {MOST_BYTES >> 20} MiB")
        text = data.decode("utf-8-sig")
        found: object = msgspec.json.decode(text) if text.strip() else None
    except OSError as error:
        raise ConfigInvalid(str(path), f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid(str(path), f"byte {error.start} is not UTF-8 text") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigInvalid(str(path), f"is not JSON: {error}") from error
    if found is not None and not isinstance(found, dict):
        raise ConfigInvalid(str(path), "it is JSON, but no object")
    return found


def _problem(found: dict[str, object]) -> str:
    """Why no servers can be read from an object; "" if they can, or it is empty."""
    proper, listed = found.get("mcpServers", {}), found.get("servers", {})
    if not isinstance(proper, dict | None):
        return "its `mcpServers` is no object of servers by their names"
    if not isinstance(listed, dict | list | None):
        return "its `servers` is neither a list nor an object of servers"
    if found and "mcpServers" not in found and "servers" not in found:
        return f"it has no `mcpServers`, but `{min(found)[:40]}`"
    return ""


def _by_name(found: dict[str, object]) -> dict[str, object]:
    """The tables of all servers; what cannot be one has a name all the same, so that it can be told."""
    tables: dict[str, object] = {}
    listed = found.get("servers")
    if isinstance(listed, dict):
        tables |= listed
    elif isinstance(listed, list):
        for number, each in enumerate(listed, 1):
            name = each.get("name") if isinstance(each, dict) else None
            table = {k: v for k, v in each.items() if k != "name"} if isinstance(each, dict) else each
            # One whose name another one has already is not lost.
            wanted = name if isinstance(name, str) else f"server-{number}"
            tables[f"{wanted}-{number}" if wanted in tables else wanted] = table
    proper = found.get("mcpServers")
    if isinstance(proper, dict):
        tables |= proper
    return tables
