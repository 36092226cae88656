from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from tests.clients.lmstudio.conftest import QUICK, SHORT
from tests.fakes.byte_server import ByteServer, Handle, answer, read_request
from tests.fakes.lmstudio import FakeLMStudio

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.lmstudio.link import Link, stumbled, within
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ContextExceeded,
    ForeignServer,
    ModelNotFound,
    ProviderNeedsKey,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from lmbridge.core.models import Patience

LIST = "/api/v1/models"


@pytest.fixture
async def link(fake: FakeLMStudio) -> AsyncIterator[Link]:
    link = Link(replace(SHORT, url=fake.url, token="sesame"), "lmstudio", None, QUICK)
    yield link
    await link.aclose()


def greeting_then(*answers: bytes) -> Handle:
    """A server that greets as LM Studio and then gives these answers, the last one again and again."""
    left = list(answers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            if b"greeting" in head:
                writer.write(answer(b'{"lmstudio":true}'))
                continue
            given = left.pop(0) if len(left) > 1 else left[0]
            if not given:
                return
            writer.write(given)

    return handle


async def asked(handle: Handle) -> bytes | BridgeError:
    """What a question gives, or what it raises."""
    async with ByteServer(handle) as server:
        link = Link(replace(SHORT, url=server.url), "lmstudio", None, QUICK)
        try:
            return await link.ask(LIST)
        except BridgeError as error:
            return error
        finally:
            await link.aclose()


async def test_the_token_goes_along_only_after_the_greeting(fake: FakeLMStudio, link: Link) -> None:
    await link.ask(LIST)
    greeting, listing = fake.requests
    assert greeting.path == "/lmstudio-greeting"
    assert "authorization" not in greeting.headers
    assert listing.headers["authorization"] == "Bearer sesame"


async def test_another_program_is_told_neither_token_nor_prompt() -> None:
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            heads.append(head)
            writer.write(answer(b'{"models": []}'))

    async with ByteServer(handle) as server:
        link = Link(replace(SHORT, url=server.url, token="sesame"), "lmstudio", None, QUICK)
        for _ in range(2):
            with pytest.raises(ForeignServer):
                await link.send("POST", "/v1/chat/completions", {"messages": "secret"}, limit=1)
        await link.aclose()
    assert all(head.startswith(b"GET /lmstudio-greeting") for head in heads)
    assert not any(b"sesame" in head for head in heads)


async def test_good_news_are_believed_for_a_while_and_can_be_dropped(fake: FakeLMStudio, link: Link) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(link.make_sure())
    assert fake.routes == ["GET /lmstudio-greeting"]
    link.forget()
    await link.make_sure()
    assert len(fake.routes) == 2
    fake.fault = "refuse"
    await link.make_sure()
    link.forget()
    with pytest.raises(ProviderUnavailable, match="lmbridge lmstudio start"):
        await link.make_sure()


async def test_after_a_failure_it_is_asked_again_who_answers(fake: FakeLMStudio, link: Link) -> None:
    await link.make_sure()
    fake.inject("hang", "GET /api")
    with pytest.raises(ProviderTimeout):
        await link.send("GET", LIST, limit=0.05)
    fake.clear()
    await link.ask(LIST)
    assert fake.routes.count("GET /lmstudio-greeting") == 2


async def test_a_question_has_a_limit_of_its_own(fake: FakeLMStudio, link: Link) -> None:
    await link.make_sure()
    fake.fault = "hang"
    with pytest.raises(ProviderTimeout, match=r"silent for 0.05 s \(answer\).*`ask_timeout`"):
        await link.send("GET", LIST, limit=0.05)
    fake.fault = ""
    await link.make_sure()
    fake.fault = "hang"
    with pytest.raises(ProviderTimeout, match=r"\(load\).*`load_timeout`"):
        await link.send("GET", LIST, limit=0.05, phase="load")


async def test_a_stumbling_server_is_asked_again_a_few_times() -> None:
    busy = answer(b"", status="503 Busy")
    assert await asked(greeting_then(busy, busy, answer(b"{}"))) == b"{}"
    assert isinstance(await asked(greeting_then(busy, busy, busy, answer(b"{}"))), ProviderRefused)


async def test_a_connection_that_breaks_is_tried_again() -> None:
    assert await asked(greeting_then(b"", b"", answer(b"{}"))) == b"{}"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer(b'{"error": {"code": "invalid_api_key", "message": "x"}}', status="401 No"), ProviderNeedsKey),
        (answer(b"", status="404 Not Found"), ProviderRefused),
        (answer(b'{"error": {"type": "model_not_found", "message": "x"}}', status="500 No"), ModelNotFound),
        (answer(b'{"error": "Context size has been exceeded."}', status="500 No"), ContextExceeded),
    ],
)
async def test_what_will_not_be_otherwise_is_not_asked_again(given: bytes, kind: type[BridgeError]) -> None:
    assert isinstance(await asked(greeting_then(given, answer(b"{}"))), kind)


def test_only_a_stumble_is_one() -> None:
    assert stumbled(ProviderRefused("p", 500, "x"))
    assert stumbled(BrokenAnswer("p", "the connection was closed before its end"))
    for error in (
        ProviderRefused("p", 400, "x"),
        ProviderRefused("p", None, "x"),
        BrokenAnswer("p", "not JSON"),
        ProviderTimeout("p", "idle", 1),
        ProviderUnavailable("p", "down"),
    ):
        assert not stumbled(error)


async def test_a_mark_before_the_json_is_no_part_of_it() -> None:
    assert await asked(greeting_then(answer(b"\xef\xbb\xbf{}"))) == b"{}"


async def test_what_changes_something_is_sent_once_and_over_a_connection_of_its_own(fake: FakeLMStudio) -> None:
    link = Link(replace(SHORT, url=fake.url), "lmstudio", None, QUICK)
    await link.make_sure()
    fake.inject("hangup", "POST /api")
    with pytest.raises(BrokenAnswer):
        await link.send("POST", "/api/v1/models/load", {"model": "m"}, limit=1)
    assert fake.routes.count("POST /api/v1/models/load") == 1
    await link.aclose()


async def test_a_client_that_was_given_is_not_closed(fake: FakeLMStudio) -> None:
    async with HTTPClient() as http:
        link = Link(replace(SHORT, url=fake.url), "lmstudio", http, QUICK)
        await link.ask(LIST)
        await link.aclose()
        await link.ask(LIST)


async def test_an_endpoint_says_how_patient_to_be() -> None:
    link = Link(replace(SHORT, url="http://h", token="sesame", idle_timeout=None), "lmstudio", None, QUICK)
    endpoint = link.endpoint("m", ("n",))
    assert (endpoint.url, endpoint.also) == ("http://h/v1", ("n",))
    assert endpoint.patience == Patience(2.0, 2.0, None)
    assert "sesame" not in repr(endpoint)


async def late(limit: float | None) -> None:
    async with within(limit, "p", "load"):
        raise TimeoutError


@pytest.mark.parametrize("limit", [None, 5.0])
async def test_what_others_raise_within_a_limit_stays_theirs(limit: float | None) -> None:
    with pytest.raises(TimeoutError):
        await late(limit)
