"""Getting models that are not here yet: who gets them, and only once however many ask."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lmbridge.core.errors import DownloadFailed, InvalidRequest, ProviderUnavailable, ShuttingDown
from lmbridge.core.models import Download
from lmbridge.core.provider import Downloader, DownloadProgress, Provider
from lmbridge.hub.background import Background
from lmbridge.hub.roster import Roster

_FETCHABLE = re.compile(r"\w[\w.-]{0,99}/\w[\w.-]{0,99}(@\w[\w.-]{0,39})?", re.ASCII)
"""Names that a request may cause to be downloaded: those of a catalogue, never an address."""
MOST_UNASKED: Final = 2
"""Models that requests may cause to be downloaded at the same time: whoever may ask could fill the disk."""


class _Flight:
    """One download, and everybody who waits for it."""

    def __init__(self) -> None:
        self.result: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.listeners: list[DownloadProgress] = []
        self.waiters = 0
        self.latest: Download | None = None

    def tell(self, download: Download) -> None:
        self.latest = download
        for listener in self.listeners:
            listener(download)


class Downloads:
    """Downloads through the providers that can.

    Args:
        roster: the providers; earlier ones are asked first.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._flights: dict[tuple[str, str], _Flight] = {}
        self._unasked: Counter[str] = Counter()
        self._background = Background()

    @property
    def _able(self) -> list[tuple[Provider, Downloader]]:
        return [(p, p) for p in self._roster.all if isinstance(p, Downloader)]

    async def choose(self, owner: str) -> Downloader:
        """Who gets a model: the provider named, else the first that is there.

        Raises:
            InvalidRequest: none that can.
        """
        for provider, downloader in self._able:
            if owner == provider.id or (not owner and await _ready(provider)):
                return downloader
        if owner:
            names = ", ".join(provider.id for provider, _ in self._able) or "none"
            raise InvalidRequest(f"The provider {owner!r} cannot download models.", hint=f"These can: {names}.")
        raise InvalidRequest(
            "No provider here can download models.", hint="`lmbridge status` shows what is missing."
        )

    async def fetcher(self, name: str) -> Downloader | None:
        """Who gets a missing model without further asking, as the settings allow; None when nobody may."""
        owner, _, rest = name.rpartition(":")
        if _FETCHABLE.fullmatch(rest):
            for provider, downloader in self._able:
                if downloader.fetches and owner in ("", provider.id) and await _ready(provider):
                    return downloader
        return None

    @contextmanager
    def unasked(self, name: str) -> Iterator[None]:
        """Around the download of a model that merely was asked a question.

        Raises:
            DownloadFailed: there are enough of them already.
        """
        if name not in self._unasked and len(self._unasked) >= MOST_UNASKED:
            raise DownloadFailed(
                name,
                f"{MOST_UNASKED} other models are being downloaded for who asked them",
                hint=f"Ask again when they are here, or run `lmbridge get {name}`.",
            )
        self._unasked[name] += 1
        try:
            yield
        finally:
            self._unasked[name] -= 1
            self._unasked += Counter()  # without those at 0

    async def get(self, provider: Downloader, name: str, progress: DownloadProgress | None) -> str:
        """Download *name*; returns the id of the model. Who comes while it is under way joins.

        Raises:
            as `Downloader.download`.
        """
        key = (provider.id, name)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            task = self._background.start(self._fly(key, provider, name, flight))
            flight.result.add_done_callback(lambda _: task.cancel())  # it ended, or nobody waits for it
        if progress is not None:
            flight.listeners.append(progress)
            if flight.latest is not None:
                progress(flight.latest)
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.result)
        finally:
            flight.waiters -= 1
            if progress is not None:
                flight.listeners.remove(progress)
            if not flight.waiters and not flight.result.done():
                self._flights.pop(key, None)
                flight.result.cancel()  # nobody waits any more

    async def _fly(self, key: tuple[str, str], provider: Downloader, name: str, flight: _Flight) -> None:
        try:
            model = await provider.download(name, flight.tell)
            if not flight.result.done():
                flight.result.set_result(model)
        except asyncio.CancelledError:
            flight.result.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever a provider raises is for those who wait
            if not flight.result.done():
                flight.result.set_exception(error)
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def stop(self, owner: str) -> None:
        """Stop those of a provider, which is unregistered; who waits for one is told."""
        for (provider, _), flight in self._flights.items():
            if provider == owner and not flight.result.done():
                flight.result.set_exception(ProviderUnavailable(owner, "it is not registered any more"))

    async def aclose(self) -> None:
        """Stop what is under way; who waits for it is told."""
        for flight in self._flights.values():
            flight.result.set_exception(ShuttingDown())
        await self._background.aclose()


async def _ready(provider: Provider) -> bool:
    return (await provider.probe()).state == "ready"
