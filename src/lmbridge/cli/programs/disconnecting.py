"""Disconnecting a program: show what goes, ask, take it back, forget it."""

from __future__ import annotations

import os

from lmbridge.cli import render
from lmbridge.cli.programs import showing
from lmbridge.cli.programs.connecting import revoked
from lmbridge.cli.programs.listing import BLANK
from lmbridge.config import load_config
from lmbridge.core.errors import ConfigInvalid, InvalidRequest
from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs import plan as planning
from lmbridge.machine.programs.catalogue import program as named
from lmbridge.machine.programs.plan import FilePlan
from lmbridge.machine.programs.program import Program
from lmbridge.machine.programs.records import Connection, Connections


def disconnect(name: str, file: str, *, force: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Take back what connecting a program wrote.

    Raises:
        InvalidRequest: there is no such program, or it is not connected. ConfigInvalid: a file is broken, cannot
        be written, or has settings of ours that somebody has changed.
    """
    program, home = named(name), load_config().home
    connections = Connections(home)
    mine = _of(connections, program, file)
    plans = _planned(mine, force=force)
    if not as_json:
        showing.diffs(plans, hide=planning.keys_in(plans, program.parts(Places.here(), BLANK)))
    if not dry_run:
        if not yes and not render.confirmed(f"Take this out of {program.name}'s settings?"):
            render.note("Nothing was written.", "dim")
            return
        with connections.turn():
            if _planned(_of(connections, program, file), force=force) != plans:
                raise ConfigInvalid(str(plans[0].path), "was changed while you were asked", hint="Try again.")
            _take_back(connections, mine, plans)
    _tell(program, mine, plans, done=not dry_run, as_json=as_json)


def _of(connections: Connections, program: Program, file: str) -> tuple[Connection, ...]:
    """The connections of a program; that with a certain file alone, if one is named."""
    where = os.path.abspath(os.path.expanduser(file)) if file else ""
    mine = connections.of(program.id)
    if where:
        mine = tuple(each for each in mine if any(one.path == where for one in each.files))
    if not mine:
        raise InvalidRequest(
            f"{program.name} was not connected by lmbridge{f' in {where}' if where else ''}.",
            hint="`lmbridge connect` lists which programs are.",
            param="program",
        )
    return mine


def _planned(mine: tuple[Connection, ...], *, force: bool) -> tuple[FilePlan, ...]:
    """What would become of the files, if nothing of ours was changed, or that does not matter."""
    plans = planning.disconnecting([file for each in mine for file in each.files], force=force)
    for plan in plans:
        if plan.differs and not force:
            changed = showing.listed([".".join(path) for path in plan.differs])
            raise ConfigInvalid(
                str(plan.path),
                f"somebody has changed {changed} since lmbridge wrote it, so nothing was taken back",
                hint="--force takes it away all the same.",
            )
    return plans


def _take_back(connections: Connections, mine: tuple[Connection, ...], plans: tuple[FilePlan, ...]) -> None:
    planning.carry_out(plans)
    for each in mine:
        connections.remove(each)
        planning.remove_folders(each.files)
        if each.key:
            revoked(connections.path.parent, each.key)


def _tell(
    program: Program, mine: tuple[Connection, ...], plans: tuple[FilePlan, ...], *, done: bool, as_json: bool
) -> None:
    keys = [each.key for each in mine if each.key]
    if as_json:
        files = [
            {"path": str(plan.path), "changed": plan.changes, "removed": plan.after is None} for plan in plans
        ]
        render.json({"program": program.id, "connected": not done, "files": files, "revoked_keys": keys})
        return
    if not done:
        render.note("Nothing was written.", "dim")
        return
    for plan in plans:
        if plan.before is None:
            render.sentence(f"{plan.path} is not there any more.")
        else:
            gone = "is removed" if plan.after is None else "has nothing of lmbridge any more"
            render.sentence(f"{plan.path} {gone}.")
    for key in keys:
        render.sentence(f"The key {key!r} is revoked.")
    render.sentence(f"{program.name} is disconnected.")
