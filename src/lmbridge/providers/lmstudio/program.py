"""The program LM Studio on this computer: its state, starting and stopping it, and a client for it.

Nothing is started unless that is asked for, and only what is asked to be stopped is stopped: who started the
server is remembered across processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Final, Literal, TypeAlias

from msgspec.structs import replace

from lmbridge.clients.lmstudio import LMStudioClient, LMStudioSettings
from lmbridge.clients.lmstudio.cache import ModelCache
from lmbridge.core.errors import BridgeError
from lmbridge.machine.home import cache_folder
from lmbridge.machine.lmstudio import headless
from lmbridge.machine.lmstudio.headless import Change
from lmbridge.machine.lmstudio.home import Places, models_folder
from lmbridge.machine.lmstudio.install import find_installation
from lmbridge.machine.lmstudio.lms import Lms, LogSource
from lmbridge.providers.lmstudio import switching
from lmbridge.providers.lmstudio.inquiry import Inquiry
from lmbridge.providers.lmstudio.look import is_here, likely_urls, lms_of
from lmbridge.providers.lmstudio.status import LMStudioStatus, error_of
from lmbridge.wire.lmstudio.models import LMStudioModel

__all__ = ["LMStudioProgram", "LMStudioStatus", "Waiting"]

DEAR: Final = 0.5
"""Seconds; what was found out sooner is looked at again each time."""

Waiting: TypeAlias = Callable[[str, float], None]
"""Told what is waited for, and the seconds since the begin; a few times a second."""


class LMStudioProgram:
    """LM Studio as the settings describe it.

    Args:
        settings: where it is; with no URL, what this computer's files say.
        home: lmbridge's own folder.
        places: where to look on this computer; default this user's.
    """

    def __init__(self, settings: LMStudioSettings, *, home: Path, places: Places | None = None) -> None:
        self.settings, self.home = settings, home
        self._places = places
        self._news: _News | None = None

    def __repr__(self) -> str:
        return f"LMStudioProgram({self.settings!r})"

    @property
    def places(self) -> Places:
        """Where it is looked for."""
        return self._places or Places.here()

    def _inquiry(self) -> Inquiry:
        return Inquiry(self.settings, self.home, self.places)

    async def status(self, *, brief: bool = False) -> LMStudioStatus:
        """What state it is in. Never raises, never wakes it, and takes a few seconds at most.

        Args:
            brief: for who is kept waiting by it: without the version of its command, and bad news that took long
                may be those of a moment ago.
        """
        if brief and (news := self._bad_news()) is not None:
            return news.status
        async with self._inquiry() as inquiry:
            return await inquiry.status(await inquiry.look(), brief=brief)

    async def connect(self) -> LMStudioClient:
        """A client for where its server answers. Close it after use.

        Raises:
            ProviderUnavailable, ForeignServer: it does not; with the state it is in, and what mends it.
        """
        self.raise_bad_news()
        begun, places = monotonic(), self.places
        async with self._inquiry() as inquiry:
            seen = await inquiry.look()
            if not seen.answers:
                status = await inquiry.status(seen, brief=True)
                self._news = _News(status, error_of(seen, status), begun, monotonic())
                raise self._news.error
        here = is_here(seen.url)
        return LMStudioClient(
            replace(self.settings, url=seen.url),
            lms=lms_of(seen.installation, places) if here else None,
            cache=cache_folder(self.home),
            models_folder=await asyncio.to_thread(models_folder, places) if here else None,
        )

    def raise_bad_news(self) -> None:
        """Raise what `connect` raised a moment ago, if that took long: nobody is to wait for it twice."""
        if (news := self._bad_news()) is not None:
            raise news.error

    def _bad_news(self) -> _News | None:
        return self._news if self._news is not None and monotonic() < self._news.until else None

    async def lms(self) -> Lms:
        """Its command on this computer.

        Raises:
            RuntimeMissing: there is none.
        """
        places = self.places
        return switching.needed(await asyncio.to_thread(find_installation, places), places)

    def cached_models(self) -> list[LMStudioModel]:
        """The models it had when it was last asked, each with the age of that list; for when it is down."""
        for url in likely_urls(self.settings, self.places):
            if kept := ModelCache(cache_folder(self.home), url).read():
                return kept
        return []

    async def start(self, *, port: int | None = None, waiting: Waiting | None = None) -> LMStudioStatus:
        """Start its server, LM Studio itself before it if need be, and wait until its routes answer.

        A server that answers already is left as it is. CORS and address are kept as LM Studio's settings have
        them; its own command alone would reset both.

        Args:
            port: default that of the settings, else the last one, else 1234.
            waiting: told what is waited for, and for how long it has been.

        Raises:
            RuntimeMissing: LM Studio or its command is not on this computer.
            ForeignServer: another program has the port.
            InvalidRequest: a server answers already, on another port.
            ProviderUnavailable: it is set to be on another computer, or does not answer in time.
            CommandFailed: its command failed.
        """
        self._news = None
        async with self._inquiry() as inquiry:
            return await switching.start(inquiry, port, _since(waiting))

    async def stop(self, *, waiting: Waiting | None = None) -> LMStudioStatus:
        """Stop its server, whoever started it; LM Studio itself goes on, with its models in memory.

        One that does not run is left at that.

        Raises:
            RuntimeMissing: LM Studio or its command is not on this computer.
            ForeignServer: another program has its address.
            ProviderUnavailable: the server is on another computer.
            CommandFailed: it did not stop.
        """
        async with self._inquiry() as inquiry:
            return await switching.stop(inquiry, _since(waiting))

    async def bootstrap(self, *, waiting: Waiting | None = None) -> LMStudioStatus:
        """Put its command on PATH; where there is no command yet, start LM Studio once, which puts it into place.

        Raises:
            RuntimeMissing: LM Studio is not installed.
            CommandFailed: it cannot be started, or its command does not come or fails.
        """
        async with self._inquiry() as inquiry:
            return await switching.bootstrap(inquiry, _since(waiting))

    async def headless_plan(self, *, daemon: bool | None = None) -> list[Change]:
        """What would have to be changed so that it serves without its window. Writes nothing.

        Args:
            daemon: True plans its daemon, False the app's service, None whichever is installed.

        Raises:
            RuntimeMissing: LM Studio is not installed. ConfigInvalid: a file of it that is not understood.
        """
        places = self.places
        found = await asyncio.to_thread(find_installation, places)
        if not found.installed:
            switching.needed(found, places)
        return await asyncio.to_thread(headless.plan, found, daemon=daemon)

    async def headless_apply(self, changes: Sequence[Change], *, waiting: Waiting | None = None) -> list[Path]:
        """Carry out a plan that a person has agreed to. Returns the backups of the files that were changed.

        Raises:
            ConfigInvalid, NoSpace: a file cannot be changed.
            RuntimeMissing, CommandFailed: its daemon did not start.
        """
        backups = await asyncio.to_thread(headless.apply, changes)
        if any(change.command == headless.DAEMON for change in changes):
            tell = _since(waiting)
            await (await self.lms()).daemon_up(waiting=lambda _: tell("starting LM Studio"))
        return backups

    @asynccontextmanager
    async def log(
        self, source: LogSource = "server", *, only: Literal["", "input", "output"] = "", stats: bool = False
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """What it logs from now on, one JSON object a line. Starts LM Studio; holds whole prompts and answers.

        Args:
            source: of the REST server, the models or the runtimes.
            only: prompts or answers alone; for `model`. stats: add the figures of an answer; for `model`.

        Raises:
            RuntimeMissing: its command is not on this computer. InvalidRequest: a choice that the source has not.
            CommandFailed: while reading.
        """
        async with (await self.lms()).log(source, only=only, stats=stats) as lines:
            yield lines


class _News:
    """That it does not answer, and until when that is believed: the longer the longer it took to find out."""

    def __init__(self, status: LMStudioStatus, error: BridgeError, begun: float, ended: float) -> None:
        self.status, self.error = status, error
        self.until = ended + (5 * (ended - begun) if ended - begun > DEAR else 0.0)


def _since(waiting: Waiting | None) -> Callable[[str], None]:
    """Tells a stage with the seconds it has been since now."""
    begun = monotonic()

    def tell(stage: str) -> None:
        if waiting is not None:
            waiting(stage, monotonic() - begun)

    return tell
