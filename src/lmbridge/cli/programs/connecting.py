"""Connecting a program, step by step: ask the gateway, show the change, ask the person, try it out, write it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.cli import render
from lmbridge.cli.programs import asked, printing, showing
from lmbridge.cli.programs.listing import is_there
from lmbridge.config import Config, load_config
from lmbridge.core.errors import ConfigInvalid, InvalidRequest, MissingExtra, Unauthorized
from lmbridge.hub.keys import KeyRing
from lmbridge.machine.home import keys_file
from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs import plan as planning
from lmbridge.machine.programs.catalogue import program as named
from lmbridge.machine.programs.handshake import greet
from lmbridge.machine.programs.plan import FilePlan
from lmbridge.machine.programs.program import Link, Part, Program, Use, checked_text
from lmbridge.machine.programs.records import Connection, Connections

NEW_KEY: Final = "a-key-to-be-made"
"""Stands for a key until it is made, which it is only once the change was agreed to."""


class Wishes(Struct, frozen=True):
    """What was asked for on the command line; see the options of `lmbridge connect`."""

    url: str = ""
    model: str = ""
    key: str = ""
    only: Use | None = None
    file: str = ""
    write: bool = False
    yes: bool = False
    dry_run: bool = False
    check: bool = True
    as_json: bool = False


class _Work(Struct):
    """One connection in the making.

    Attributes:
        previous: the connection that there is already. checked: what trying it out showed.
        made: the name of the key that was made.
    """

    program: Program
    wishes: Wishes
    places: Places
    config: Config
    link: Link
    uses: tuple[Use, ...]
    previous: Connection | None = None
    checked: dict[str, object] = {}
    made: str = ""

    def parts(self) -> tuple[Part, ...]:
        """What is written, for the uses that are wanted and into the file that was named."""
        parts = tuple(each for each in self.program.parts(self.places, self.link) if each.use in self.uses)
        if not self.wishes.file:
            return parts
        if len({part.file for part in parts}) > 1:
            raise InvalidRequest(
                f"{self.program.name} has a file for models and one for tools.",
                hint="Name with --only which of them --file is.",
                param="file",
            )
        file = Path(os.path.abspath(os.path.expanduser(self.wishes.file)))
        return tuple(msgspec.structs.replace(part, file=file) for part in parts)

    def plans(self) -> tuple[FilePlan, ...]:
        """What would become of each file, of those that are to be left again, too."""
        parts, records = self.parts(), self.previous.files if self.previous is not None else ()
        left = [each for each in records if not any(each.path == str(part.file) for part in parts)]
        return (*planning.connecting(parts, records), *planning.disconnecting(left))

    def keys(self, plans: tuple[FilePlan, ...]) -> tuple[str, ...]:
        """The keys in what is shown, which nobody is to see: the new one, and one that stands in its place."""
        return (*((self.link.key,) if self.link.key else ()), *planning.keys_in(plans, self.parts()))

    def look_up(self) -> None:
        """Find the connection of this program that there is, with the file that was named or its usual ones."""
        usual = self.program.parts(self.places, self.link)
        files = [str(part.file) for part in (self.parts() if self.wishes.file else usual)]
        mine = Connections(self.config.home).of(self.program.id)
        self.previous = next((c for c in mine if any(each.path in files for each in c.files)), None)


def connect(name: str, wishes: Wishes) -> None:
    """Connect a program.

    Raises:
        InvalidRequest, ConfigInvalid, NotRunning, Unauthorized, ModelNotFound, MissingExtra, CommandFailed; then
        nothing is written.
    """
    program, config = named(name), load_config()
    uses = _uses(program, wishes)
    _refuse_what_has_no_use(program, uses, wishes)
    needs_key, link = asyncio.run(_link(program, uses, config, wishes))
    if printing.can_be_printed(program) and not wishes.write and not wishes.file:
        work = _Work(program, wishes, Places.here(), config, link, uses)
        _with_key(work, needs_key)
        printing.show(program, work.link, work.places, as_json=wishes.as_json)
        return
    work = _Work(program, wishes, Places.here(), config, link, uses)
    work.look_up()
    if not (wishes.file or is_there(program, work.places)):
        render.note(f"{program.name} is not found on this computer; this is for when it comes.", "dim")
    if needs_key and not link.key:
        work.link = msgspec.structs.replace(link, key=_key_there(work))
    plans = work.plans()
    if wishes.dry_run or not any(plan.changes for plan in plans):
        _tell(work, plans, (), done=False)
        return
    if not _agreed(work, plans):
        render.note("Nothing was written.", "dim")
        return
    with Connections(config.home).turn():
        _write(work, plans, needs_key)


def _uses(program: Program, wishes: Wishes) -> tuple[Use, ...]:
    if wishes.only is None:
        uses = program.uses
    elif wishes.only in program.uses:
        uses = (wishes.only,)
    else:
        raise InvalidRequest(
            f"{program.name} can be given {showing.listed(program.uses)} alone.", hint="Leave out --only."
        )
    if "tools" in uses and importlib.util.find_spec("mcp_types") is None:
        raise MissingExtra("mcp", f"The MCP server for {program.name}")
    return uses


def _refuse_what_has_no_use(program: Program, uses: tuple[Use, ...], wishes: Wishes) -> None:
    """Make sure that nothing that was asked for would be forgotten in silence.

    Raises:
        InvalidRequest: an option says nothing to this program.
    """
    useless = {} if program.id == "shell" else {"write": "has no profile"}
    if "models" not in uses:
        useless |= dict.fromkeys(
            ("url", "model", "key"), "is given tools alone, which find the gateway themselves"
        )
    elif not program.wants_model:
        useless["model"] = "is told of no model"
    for option, reason in useless.items():
        if getattr(wishes, option):
            message = f"{program.name} {reason}: --{option} has no use."
            raise InvalidRequest(message, hint=f"Leave out --{option}.", param=option)


async def _link(program: Program, uses: tuple[Use, ...], config: Config, wishes: Wishes) -> tuple[bool, Link]:
    """Whether a key is needed, and what the program is told."""
    key = _given_key(wishes)
    command, environ = mcp_command()
    if "models" not in uses:
        return False, Link(command=command, environ=environ)
    there = await asked.gateway(config, wishes.url, check=wishes.check)
    if key and wishes.check and there.models is None:
        there = msgspec.structs.replace(there, models=await asked.listed(f"{there.url}/v1/models", key))
    model = await asked.model(there, wishes.model, check=wishes.check) if program.wants_model else ""
    needs_key = there.needs_key and program.takes_key
    if needs_key and not key and wishes.key and not there.own_key:
        raise InvalidRequest(
            f"The keys of the gateway at {there.url} are made where it runs.",
            hint="Make one there with `lmbridge keys create`, and give it with --key - on standard input.",
            param="key",
        )
    return needs_key, Link(there.url, key, model, command, environ)


def _given_key(wishes: Wishes) -> str:
    return checked_text(sys.stdin.readline().strip(), "key") if wishes.key == "-" else ""


def mcp_command() -> tuple[tuple[str, ...], dict[str, str]]:
    """How this lmbridge's MCP server is run by a program that knows neither our PATH nor our variables."""
    home = os.environ.get("LMBRIDGE_HOME")
    environ = {"LMBRIDGE_HOME": os.path.abspath(os.path.expanduser(home))} if home else {}
    beside = shutil.which("lmbridge", path=str(Path(sys.executable).parent)) or shutil.which("lmbridge")
    if beside is not None:
        return (os.path.abspath(beside), "mcp"), environ
    return (sys.executable, "-m", "lmbridge", "mcp"), environ


def _key_there(work: _Work) -> str:
    """The key to show in the change: the one that is in the file already if it is taken, else one to be made."""
    for part in work.parts():
        there = planning.value_in(_as_it_is(work), part, part.key_at, before=True)
        if isinstance(there, str) and there and asyncio.run(_taken(f"{work.link.url}/v1/models", there)):
            work.made = work.previous.key if work.previous is not None else ""
            return there
    if not work.wishes.key:
        raise Unauthorized(
            f"The gateway at {work.link.url} wants an API key.",
            hint=f"`lmbridge connect {work.program.id} --key {work.program.id}` makes one for it.",
        )
    return NEW_KEY


def _as_it_is(work: _Work) -> tuple[FilePlan, ...]:
    return work.plans() if work.previous is not None else ()


async def _taken(url: str, key: str) -> bool:
    try:
        await asked.listed(url, key)
    except Unauthorized:
        return False
    return True


def _agreed(work: _Work, plans: tuple[FilePlan, ...]) -> bool:
    """Show the change, and ask whether it is wanted."""
    if not work.wishes.as_json:
        showing.diffs(plans, hide=work.keys(plans))
    if "tools" in work.uses and not work.wishes.as_json:
        render.note(f"{work.program.name} will run: {' '.join(work.link.command)}", "dim")
    return work.wishes.yes or render.confirmed(f"Write this into {work.program.name}'s settings?")


def _write(work: _Work, shown: tuple[FilePlan, ...], needs_key: bool) -> None:
    """Write what was agreed to, if it is still the same; a key that was made in vain is revoked."""
    work.look_up()
    plans = work.plans()
    if plans != shown and not work.wishes.yes:
        raise ConfigInvalid(str(shown[0].path), "was changed while you were asked", hint="Look at it once more.")
    _with_key(work, needs_key)
    try:
        plans = work.plans() if work.made else plans
        if work.wishes.check:
            asyncio.run(_check(work, plans))
        copies = _carried_out(work, plans)
    except BaseException:
        if work.made and (work.previous is None or work.made != work.previous.key):
            revoked(work.config.home, work.made)
        raise
    _tell(work, plans, copies, done=True)


def _with_key(work: _Work, needs_key: bool) -> None:
    """Put a new key in the place of the one that stands for it."""
    if not needs_key or work.link.key not in ("", NEW_KEY):
        return
    if not work.wishes.key:
        raise Unauthorized(f"The gateway at {work.link.url} wants an API key.", hint="--key NAME makes one.")
    if work.wishes.dry_run:
        work.link = msgspec.structs.replace(work.link, key=NEW_KEY)
        return
    if work.previous is not None and work.previous.key == work.wishes.key:
        revoked(work.config.home, work.previous.key)  # it was for this program, and is not taken any more
    key = KeyRing(keys_file(work.config.home)).create(work.wishes.key, scopes=("infer",))
    work.link, work.made = msgspec.structs.replace(work.link, key=key), work.wishes.key


async def _check(work: _Work, plans: tuple[FilePlan, ...]) -> None:
    """Try out what is about to be written: the very URL, key and command."""
    for part in work.parts():
        if part.use == "models":
            url = planning.value_in(plans, part, part.url_at)
            key = planning.value_in(plans, part, part.key_at)
            ask = asked.listed_soon if work.made else asked.listed
            try:
                names = await ask(f"{url}{part.lists}", key if isinstance(key, str) else "")
            except Unauthorized:
                if work.program.takes_key:
                    raise
                continue  # a person gives it the key
            work.checked["models"] = len(names)
        else:
            work.checked["server"] = await greet(work.link.command, work.link.environ)


def _carried_out(work: _Work, plans: tuple[FilePlan, ...]) -> tuple[Path | None, ...]:
    """Write the files, and remember what was done."""
    before = {each.path: each for each in work.previous.files} if work.previous is not None else {}
    copies = tuple(planning.keep_copy(plan) for plan in plans)
    records = (
        planning.remembered(*both, before.get(str(both[0].path))) for both in zip(plans, copies, strict=True)
    )
    files = tuple(record for record in records if record is not None)
    link, made = work.link, work.made
    now = Connection(work.program.id, link.url, link.model, time.time(), files, made, work.uses)
    connections = Connections(work.config.home)
    # Remembered first: what was remembered and not written does no harm, and the other way round it would stay.
    connections.put(now, work.previous)
    try:
        planning.carry_out(plans)
    except BaseException:
        connections.remove(now)
        if work.previous is not None:
            connections.put(work.previous)
        raise
    planning.remove_folders(before[str(plan.path)] for plan in plans if plan.change is None)
    if work.previous is not None and work.previous.key not in ("", made):
        revoked(work.config.home, work.previous.key)
    return copies


def revoked(home: Path, key: str) -> None:
    """Make a key that was made for a program useless; somebody may have done so before."""
    with suppress(InvalidRequest):
        KeyRing(keys_file(home)).revoke(key)


def _tell(work: _Work, plans: tuple[FilePlan, ...], copies: tuple[Path | None, ...], *, done: bool) -> None:
    """Tell what came of it."""
    changes = any(plan.changes for plan in plans)
    if work.wishes.as_json:
        _tell_as_json(work, plans, copies, done=done)
        return
    if not done and changes:
        showing.diffs(plans, hide=work.keys(plans))
        render.note("Nothing was written.", "dim")
        return
    if not changes:
        render.sentence(f"{work.program.name} is set up like this already; nothing was written.")
        return
    for plan, copy in zip(plans, copies, strict=True):
        kept = f"; what it was: {copy.name}, beside it" if copy is not None else ""
        render.sentence(f"{plan.path} is written{kept}.")
    said = []
    if "models" in work.checked:
        number = f"{work.checked['models']} model{'' if work.checked['models'] == 1 else 's'}"
        said.append(f"the gateway at {work.link.url} lists {number} with what was written")
    if "server" in work.checked:
        said.append(f"the MCP server answers as {work.checked['server']}")
    if said:
        render.sentence(f"Tried out: {', and '.join(said)}.")
    for plan in plans:
        if _seen_by_others(work.link.key, plan):
            render.note(f"Others on this computer can read {plan.path}, and the key in it.", "yellow")
    if work.wishes.key not in ("", "-") and not work.made and "models" in work.uses:
        render.note("No key was made: " + _why_no_key(work), "dim")
    if work.program.after:
        render.note(work.program.after, "dim")


def _seen_by_others(key: str, plan: FilePlan) -> bool:
    """Whether a file that has the key can be read by others on this computer: its mode is its owner's choice."""
    if os.name != "posix" or not key or key not in (plan.after or "") or not plan.path.exists():
        return False
    return bool(plan.path.stat().st_mode & 0o044)


def _why_no_key(work: _Work) -> str:
    if not work.program.takes_key:
        return f"{work.program.name} keeps its keys itself."
    return "the gateway asks for none." if not work.link.key else "there was one already."


def _tell_as_json(
    work: _Work, plans: tuple[FilePlan, ...], copies: tuple[Path | None, ...], *, done: bool
) -> None:
    kept = [str(copy) if copy is not None else None for copy in copies] or [None] * len(plans)
    files = [
        {
            "path": str(plan.path),
            "changed": plan.changes,
            "new": plan.before is None,
            "backup": copy,
            "others_see_key": _seen_by_others(work.link.key, plan),
        }
        for plan, copy in zip(plans, kept, strict=True)
    ]
    render.json(
        {
            "program": work.program.id,
            "connected": done or not any(plan.changes for plan in plans),
            "url": work.link.url or None,
            "model": work.link.model or None,
            "key": work.made or None,
            "uses": list(work.uses),
            "files": files,
            "checked": work.checked,
            **({"diff": showing.text_of(plans, hide=work.keys(plans))} if work.wishes.dry_run else {}),
        }
    )
