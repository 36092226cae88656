"""From what is seen of LM Studio to the state it is in: its models asked for, the holder of its port found out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from msgspec.structs import replace

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.lmstudio import LMStudioClient, LMStudioSettings
from lmbridge.core.errors import BridgeError, ProviderTimeout
from lmbridge.machine.home import cache_folder
from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.lmstudio.lms import Limits
from lmbridge.machine.ports import holder, holder_pid
from lmbridge.providers.lmstudio import kept
from lmbridge.providers.lmstudio.look import QUESTION, Look, lms_of, look, port_of
from lmbridge.providers.lmstudio.status import PROVIDER, LMStudioStatus, judge
from lmbridge.wire.lmstudio.models import LMStudioModel

LIST: Final = 3.0
"""Seconds for the list of models of a server that has greeted."""


class Inquiry:
    """Looks as often as is needed over connections of its own: `async with Inquiry(...) as inquiry: ...`.

    Args:
        settings: where LM Studio is; with no URL, what this computer's files say.
        home: lmbridge's own folder. places: where to look on this computer.
    """

    def __init__(self, settings: LMStudioSettings, home: Path, places: Places) -> None:
        self.settings, self.home, self.places = settings, home, places
        self._http = HTTPClient(connect_timeout=QUESTION, first_byte_timeout=LIST, idle_timeout=LIST)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def look(self, port: int | None = None) -> Look:
        """Who is there now.

        Args:
            port: where its server must be on this computer, whatever else is known.
        """
        return await look(self.settings, self.places, self._http, port)

    async def status(self, seen: Look, *, brief: bool = False) -> LMStudioStatus:
        """The state that was seen, in full; *brief* leaves out what takes a command of LM Studio's to be known."""
        listed = await self.listed(seen) if seen.answers else None
        version = "" if brief or seen.version or seen.answers else await self._command_version(seen)
        who, is_it = await self.holder(seen) if seen.identity.kind in ("foreign", "silent") else ("", False)
        started = await asyncio.to_thread(self._started_by_us, seen)
        return judge(
            seen,
            listed,
            default_model=self.settings.model,
            token=bool(self.settings.token),
            named=bool(self.settings.url),
            holder=who,
            holder_is_lmstudio=is_it,
            started_by_us=started,
            version=version,
        )

    async def listed(self, seen: Look) -> Sequence[LMStudioModel] | BridgeError:
        """The models of an LM Studio that answers, or why they cannot be had."""
        settings = replace(self.settings, url=seen.url)
        client = LMStudioClient(settings, http=self._http, cache=cache_folder(self.home))
        try:
            async with asyncio.timeout(LIST):
                return await client.fetch_models()
        except TimeoutError:
            return ProviderTimeout(PROVIDER, "first byte", LIST)
        except BridgeError as error:
            return error

    async def holder(self, seen: Look) -> tuple[str, bool]:
        """Who listens at an address of this computer as far as the system tells, and whether that is LM Studio."""
        if not seen.local:
            return "", False
        port, sdk = port_of(seen.url), seen.installation.sdk
        pid = await asyncio.to_thread(holder_pid, port)
        return await asyncio.to_thread(holder, port), bool(pid and sdk and sdk.alive and pid == sdk.pid)

    async def _command_version(self, seen: Look) -> str:
        lms = lms_of(seen.installation, self.places, Limits(look=QUESTION))
        if lms is None or not seen.installation.pointed:
            return ""
        try:
            commit = await lms.version()
        except BridgeError:
            return ""
        return f"lms {commit}" if commit else ""

    def _started_by_us(self, seen: Look) -> bool:
        remembered = kept.remembered_start(self.home)
        if remembered is None or not seen.local or remembered.port != port_of(seen.url):
            return False
        if seen.answers and remembered.alive:
            return True
        # Whoever starts it next is somebody else.
        kept.forget_start(self.home)
        return False
