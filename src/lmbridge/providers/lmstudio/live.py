"""A client of the LM Studio that answers now: found again when it moved, started when that is wished."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from lmbridge.clients.lmstudio import LMStudioClient
from lmbridge.core.errors import ForeignServer, ProviderUnavailable
from lmbridge.providers.lmstudio.program import LMStudioProgram


class LiveClient:
    """Owns the clients of one LM Studio: of where it answers now, and of where answers may still be running."""

    def __init__(self, program: LMStudioProgram) -> None:
        self._program = program
        self._client: LMStudioClient | None = None
        self._former: list[LMStudioClient] = []
        self._looking, self._starting = asyncio.Lock(), asyncio.Lock()

    async def get(self, *, start: bool = False) -> LMStudioClient:
        """A client whose server answers.

        Args:
            start: start the server if it is down. Who does not wish that does not wait for it either.

        Raises:
            ProviderUnavailable, ForeignServer: it does not answer; with the state it is in, and what mends it.
            ProviderTimeout, ProviderNeedsKey; and as `LMStudioProgram.start`.
        """
        if start:
            async with self._starting:
                with suppress(ProviderUnavailable):
                    return await self._checked()
                await self._program.start()
        return await self._checked()

    async def _checked(self) -> LMStudioClient:
        async with self._looking:
            self._program.raise_bad_news()
            if self._client is not None:
                with suppress(ProviderUnavailable, ForeignServer):
                    await self._client.check()
                    return self._client
                self._client.forget()  # it may come back elsewhere, or as another version
            client = await self._program.connect()
            try:
                await client.check()
            except BaseException:
                await client.aclose()
                raise
            if self._client is not None:
                self._former.append(self._client)
            self._client = client
            return client

    def forget(self) -> None:
        """Look before the next use whether it still answers."""
        if self._client is not None:
            self._client.forget()

    async def aclose(self) -> None:
        """Close every connection. Idempotent; used again, it begins anew."""
        clients, self._client, self._former = [*self._former, self._client], None, []
        for client in clients:
            if client is not None:
                await client.aclose()
