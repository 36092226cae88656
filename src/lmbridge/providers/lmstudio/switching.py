"""Starting and stopping LM Studio's server, and putting its command into place.

Its own command is believed in neither direction: it says that the server runs although another program has the
port, and that it failed although the server runs. What counts is who answers afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from time import monotonic
from typing import Final, TypeAlias

from msgspec.structs import replace

from lmbridge.core.errors import (
    BridgeError,
    CommandFailed,
    ForeignServer,
    InvalidRequest,
    ProviderNeedsKey,
    ProviderUnavailable,
    RuntimeMissing,
)
from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.lmstudio.install import Installation, find_installation
from lmbridge.machine.lmstudio.launch import AS_SERVICE, launch
from lmbridge.machine.lmstudio.lms import Limits, Lms
from lmbridge.machine.locks import turn
from lmbridge.machine.ports import holder_pid
from lmbridge.providers.lmstudio import kept
from lmbridge.providers.lmstudio.inquiry import Inquiry
from lmbridge.providers.lmstudio.kept import Started
from lmbridge.providers.lmstudio.look import Look, lms_of, port_of
from lmbridge.providers.lmstudio.status import PROVIDER, START, LMStudioStatus, no_command, other_port

Tell: TypeAlias = Callable[[str], None]
"""Told what is waited for, now and then."""

LOCK: Final = "lmstudio.lock"
LEAST_WAIT: Final = 5.0
"""Seconds that a server which was started gets to answer in any case."""
STOPPED_WITHIN: Final = 10.0
LOOK_AGAIN: Final = 0.25


async def start(inquiry: Inquiry, port: int | None, tell: Tell) -> LMStudioStatus:
    """Start the server and wait until its routes answer; see `LMStudioProgram.start`."""
    begun = monotonic()
    async with _alone(inquiry, tell):
        seen = await inquiry.look()
        if seen.answers:
            _refuse_other_port(seen, port)
            return await inquiry.status(seen)
        wanted = _port(inquiry, seen, port)
        lms = needed(seen.installation, inquiry.places, inquiry.settings.start_timeout)
        await _refuse_foreign(inquiry, await inquiry.look(wanted) if wanted is not None else seen)
        await _run_start(inquiry, lms, seen.installation, wanted, tell)
        answering = await _wait_until_it_answers(inquiry, wanted, begun, tell)
        await _remember(inquiry, answering)
        return _at_odds(inquiry, await inquiry.status(answering))


async def stop(inquiry: Inquiry, tell: Tell) -> LMStudioStatus:
    """Stop the server and wait until it answers no more; see `LMStudioProgram.stop`."""
    async with _alone(inquiry, tell):
        seen = await inquiry.look()
        if not seen.answers:
            await _refuse_foreign(inquiry, seen)
            if seen.local:
                needed(seen.installation, inquiry.places)
            return await inquiry.status(seen)
        if not seen.local:
            hint = "Stop it there with `lms server stop`."
            raise ProviderUnavailable(PROVIDER, f"its server is on another computer ({seen.url})", hint=hint)
        lms = needed(seen.installation, inquiry.places, inquiry.settings.start_timeout)
        failed = await _run_stop(lms)
        if not await _stopped(inquiry, port_of(seen.url), tell, 0.0 if failed else STOPPED_WITHIN):
            raise failed or CommandFailed(
                "lms server stop",
                f"it said that it stopped the server, and LM Studio still answers at {seen.url}",
                hint="Another LM Studio may run there, or another user's: quit it in its window.",
            )
        await asyncio.to_thread(kept.forget_start, inquiry.home)
        return await inquiry.status(await inquiry.look())


async def bootstrap(inquiry: Inquiry, tell: Tell) -> LMStudioStatus:
    """Put the command into place and on PATH; see `LMStudioProgram.bootstrap`."""
    places, patience = inquiry.places, inquiry.settings.start_timeout
    found = await asyncio.to_thread(find_installation, places)
    if found.lms is None and found.program is not None:
        await launch(found.program, *([] if found.llmster else [AS_SERVICE]), environ=places.environ)
        found = await _wait_for_command(places, found.program.name, patience, tell)
    lms = needed(found, places, patience)
    tell("putting its command on PATH")
    await lms.bootstrap()
    return await inquiry.status(await inquiry.look())


def needed(found: Installation, places: Places, patience: float | None = None) -> Lms:
    """Its command.

    Args:
        patience: seconds for what may have to start LM Studio.

    Raises:
        RuntimeMissing: there is none.
    """
    lms = lms_of(found, places, Limits() if patience is None else Limits(wake=patience))
    if lms is None:
        reason, hint = no_command(found)
        raise RuntimeMissing("LM Studio", reason, hint=hint)
    return lms


def _port(inquiry: Inquiry, seen: Look, port: int | None) -> int | None:
    """The port to start it on; None leaves it to LM Studio."""
    if not seen.local:
        raise ProviderUnavailable(
            PROVIDER,
            f"it is set to be on another computer ({seen.url}), and does not answer there",
            hint="Start it there with `lms server start`, or correct `url` of [lmstudio] in lmbridge.toml.",
        )
    return port_of(inquiry.settings.url) if port is None and inquiry.settings.url else port


def _refuse_other_port(seen: Look, port: int | None) -> None:
    if port is None or port == port_of(seen.url) or not seen.local:
        return
    raise InvalidRequest(
        f"LM Studio's server answers at {seen.url} already, and not on port {port}.",
        hint=f"`lmbridge lmstudio stop && {START} --port {port}` changes that.",
        param="port",
    )


async def _refuse_foreign(inquiry: Inquiry, seen: Look) -> None:
    """Another program on the port would have it all end in a riddle."""
    if seen.identity.kind not in ("foreign", "silent"):
        return
    who, is_it = await inquiry.holder(seen)
    if is_it:
        return
    reason = f"{seen.identity.reason}; it is {who}" if who else seen.identity.reason
    hint = f"Stop that program, or `{START} --port {other_port(seen)}`."
    raise ForeignServer(PROVIDER, seen.url, reason, hint=hint)


async def _run_start(inquiry: Inquiry, lms: Lms, found: Installation, port: int | None, tell: Tell) -> None:
    running = found.sdk is not None and bool(found.sdk.alive)
    stage = "starting its server" if running else "starting LM Studio"
    # The command forgets what LM Studio's own window has set, unless it is told.
    told = bool(inquiry.places.environ.get("LMS_SERVER_HOST")) or found.host in ("", "127.0.0.1")
    try:
        await lms.server_start(
            port=port, bind="" if told else found.host, cors=found.cors, waiting=lambda _: tell(stage)
        )
    except CommandFailed as error:
        seen = await inquiry.look(port)
        await _refuse_foreign(inquiry, seen)
        if not seen.answers:
            hint = _why_not(seen.installation)
            raise CommandFailed(error.command, error.reason, status=error.status, hint=hint) from error


async def _wait_until_it_answers(inquiry: Inquiry, port: int | None, begun: float, tell: Tell) -> Look:
    """Until its routes answer as they should: the port opens before they do."""
    ends = max(begun + inquiry.settings.start_timeout, monotonic() + LEAST_WAIT)
    while True:
        tell("waiting for its API")
        # Its port is known by now; at 1234 another LM Studio may answer.
        port = port or (await asyncio.to_thread(find_installation, inquiry.places)).port
        seen = await inquiry.look(port)
        if seen.identity.kind == "foreign":
            await _refuse_foreign(inquiry, seen)
        reason = seen.identity.reason
        if seen.answers:
            listed = await inquiry.listed(seen)
            if isinstance(listed, ProviderNeedsKey) or not isinstance(listed, BridgeError):
                return seen
            reason = listed.message.rstrip(".")
        if monotonic() >= ends:
            break
        await asyncio.sleep(LOOK_AGAIN)
    said = (
        f"its server was started, and did not answer at {seen.url} within {monotonic() - begun:.0f} s ({reason})"
    )
    raise ProviderUnavailable(PROVIDER, said, hint=_why_not(seen.installation))


async def _remember(inquiry: Inquiry, seen: Look) -> None:
    port, sdk = port_of(seen.url), seen.installation.sdk
    pid = await asyncio.to_thread(holder_pid, port)
    started = Started.now(port, pid or (sdk.pid if sdk and sdk.alive else None))
    await asyncio.to_thread(kept.remember_start, inquiry.home, started)


def _at_odds(inquiry: Inquiry, status: LMStudioStatus) -> LMStudioStatus:
    """The same, with a word about settings that look elsewhere."""
    named = inquiry.settings.url
    if not named or port_of(named) == port_of(status.api_endpoint):
        return status
    said = f"lmbridge is set to look for it at {named}: correct `url` of [lmstudio]."
    return replace(status, detail=f"{status.detail} {said}")


def _why_not(found: Installation) -> str:
    logs = found.home / "server-logs"
    if logs.is_dir():
        return f"{logs} may tell why; `lmbridge lmstudio status` shows the state."
    return "`lmbridge lmstudio status` shows the state; LM Studio's window may tell more."


async def _run_stop(lms: Lms) -> CommandFailed | None:
    try:
        await lms.server_stop()
    except CommandFailed as error:
        return error
    return None


async def _stopped(inquiry: Inquiry, port: int, tell: Tell, patience: float) -> bool:
    ends = monotonic() + patience
    while (await inquiry.look(port)).answers:
        if monotonic() >= ends:
            return False
        tell("waiting for its server to stop")
        await asyncio.sleep(LOOK_AGAIN)
    return True


async def _wait_for_command(places: Places, program: str, patience: float, tell: Tell) -> Installation:
    ends = monotonic() + patience
    while monotonic() < ends:
        found = await asyncio.to_thread(find_installation, places)
        if found.lms is not None:
            return found
        tell("waiting for LM Studio to put its command into place")
        await asyncio.sleep(LOOK_AGAIN)
    raise CommandFailed(
        program,
        f"it was started, and its command did not come within {patience:g} s",
        hint="Start LM Studio by hand once: it may have something to say, or need a screen.",
    )


def _alone(inquiry: Inquiry, tell: Tell) -> AbstractAsyncContextManager[bool]:
    """Be the one who starts or stops it: two at once would reset each other's server.

    Somebody who never finishes is waited for as long as a start may take, no longer.
    """
    return turn(
        inquiry.home / LOCK,
        inquiry.settings.start_timeout,
        lambda: tell("waiting for another start or stop to end"),
    )
