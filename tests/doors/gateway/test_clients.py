from __future__ import annotations

import pytest
from tests.fakes.byte_server import ByteServer, always, answer

from lmbridge.core.errors import ProviderUnavailable
from lmbridge.core.models import Patience
from lmbridge.doors.gateway.clients import Clients


async def test_there_is_one_client_for_each_patience_until_all_are_closed() -> None:
    clients = Clients()
    one = clients.of(Patience(idle=3.0))
    assert clients.of(Patience(idle=3.0)) is one
    assert clients.of(Patience()) is not one
    assert (one.connect_timeout, one.first_byte_timeout, one.idle_timeout) == (5.0, None, 3.0)
    async with ByteServer(always(answer(b"x"))) as server:
        assert await (await one.request("GET", server.url)).read() == b"x"
        await clients.aclose()
        with pytest.raises(ProviderUnavailable):
            await one.request("GET", server.url)
