"""Connections to providers: a client for each patience that their settings ask for."""

from __future__ import annotations

from lmbridge.clients.http import HTTPClient
from lmbridge.core.models import Patience


class Clients:
    """As many as there are different settings."""

    def __init__(self) -> None:
        self._made: dict[Patience, HTTPClient] = {}

    def of(self, patience: Patience) -> HTTPClient:
        """The client that is as patient."""
        client = self._made.get(patience)
        if client is None:
            client = self._made[patience] = HTTPClient(
                connect_timeout=patience.connect,
                first_byte_timeout=patience.first_byte,
                idle_timeout=patience.idle,
            )
        return client

    async def aclose(self) -> None:
        """Close every connection."""
        for client in self._made.values():
            await client.aclose()
