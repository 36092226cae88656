from __future__ import annotations

import pytest
from tests.fakes.byte_server import ByteServer, always, answer

from lmbridge.clients.asker import HTTPAsker, json_of
from lmbridge.clients.http import HTTPClient
from lmbridge.core.errors import BridgeError, InvalidRequest, ProviderRefused
from lmbridge.core.models import Endpoint


class Asker(HTTPAsker):
    def refusal(self, status: int, body: bytes, retry_after: int | None) -> BridgeError:
        return ProviderRefused(self.provider, status, body.decode(), retry_after=retry_after)


async def test_an_answer_is_a_body_or_the_refusal_that_the_language_reads_of_it() -> None:
    async with ByteServer(always(answer(b"here"))) as good, HTTPClient() as http:
        asker = Asker(http, "p")
        assert await asker.get(Endpoint(good.url, (), "m"), "/models") == b"here"
        async with await asker.post(Endpoint(good.url, (), "m"), "/chat", b"{}") as response:
            assert await response.read() == b"here"
    bad = answer(b"slowly", "retry-after: 3", status="429 X")
    async with ByteServer(always(bad)) as server, HTTPClient() as http:
        for asked in (
            Asker(http, "p").get(Endpoint(server.url, (), "m"), "/"),
            _post(Asker(http, "p"), server.url),
        ):
            with pytest.raises(ProviderRefused) as caught:
                await asked
            assert (caught.value.status, caught.value.message, caught.value.retry_after) == (429, "slowly", 3)


async def _post(asker: HTTPAsker, url: str) -> None:
    await asker.post(Endpoint(url, (), "m"), "/chat", b"{}")


def test_what_json_cannot_hold_is_refused() -> None:
    assert json_of({"a": 1}) == b'{"a":1}'
    with pytest.raises(InvalidRequest, match="cannot be written as JSON"):
        json_of({"a": object()})
