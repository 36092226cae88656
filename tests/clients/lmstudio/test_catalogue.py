from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.clients.lmstudio.conftest import GEMMA, NOMIC, QUICK, QWEN, SHORT, THINKER, client_of
from tests.fakes.byte_server import ByteServer, answer, read_request
from tests.fakes.lmstudio import FakeLMStudio, fake_lmstudio

from lmbridge.clients.lmstudio import LMStudioClient
from lmbridge.clients.lmstudio.catalogue import Catalogue
from lmbridge.clients.lmstudio.link import Link
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ModelNotFound,
    ProviderNeedsKey,
    ProviderRefused,
    RouteNotFound,
)
from lmbridge.wire.lmstudio.models import Generation

UNKNOWN = b'{"error":"Unexpected endpoint or method. (GET /x)"}'


async def test_the_newest_api_is_found_and_asked_from_then_on(client: LMStudioClient, fake: FakeLMStudio) -> None:
    models = await client.fetch_models()
    assert [model.key for model in models] == [QWEN, THINKER, GEMMA, NOMIC]
    assert [model.kind for model in models] == ["chat", "chat", "chat", "embedding"]
    assert client.generation == "v1"
    await client.fetch_models()
    assert fake.routes == ["GET /lmstudio-greeting", "GET /api/v1/models", "GET /api/v1/models"]


async def test_an_older_one_is_asked_as_it_can(old: FakeLMStudio) -> None:
    async with client_of(old) as client:
        assert [model.key for model in await client.fetch_models()] == [QWEN, THINKER, GEMMA, NOMIC]
        assert client.generation == "v0"
        await client.fetch_models()
    assert old.routes[1:] == ["GET /api/v1/models", "GET /api/v0/models", "GET /api/v0/models"]


@pytest.mark.parametrize(("native", "generation"), [(True, "v1"), (False, "openai"), (None, "v1")])
async def test_the_setting_decides_which_api_is_asked(
    fake: FakeLMStudio, native: bool | None, generation: Generation
) -> None:
    async with client_of(fake, native_api=native) as client:
        models = await client.fetch_models()
        assert client.generation == generation
        assert {model.kind for model in models} == {"chat", "embedding"}
        assert all(model.knows_loaded == (generation == "v1") for model in models)


async def test_an_exchanged_server_is_found_out_again(fake: FakeLMStudio) -> None:
    async with client_of(fake) as client:
        await client.fetch_models()
        fake.version = (0, 3, 30)
        await client.fetch_models()
        assert client.generation == "v0"
        client.forget()
        assert client.generation is None


async def served(listing: dict[str, bytes], **settings: object) -> Catalogue | BridgeError:
    """The catalogue after a list of a server with these routes, or what it raised."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            path = head.split(b" ")[1].decode()
            if path.endswith("greeting"):
                writer.write(answer(b'{"lmstudio":true}'))
            else:
                writer.write(listing.get(path, answer(UNKNOWN)))

    async with ByteServer(handle) as server:
        link = Link(replace(SHORT, **{"url": server.url, **settings}), "lmstudio", None, QUICK)
        catalogue = Catalogue(link)
        try:
            await catalogue.fetch()
        except BridgeError as error:
            return error
        finally:
            await link.aclose()
        return catalogue


async def test_only_an_unknown_route_leads_to_an_older_api() -> None:
    names = answer(b'{"data": [{"id": "m"}]}')
    for missing in (answer(b"", status="404 Not Found"), answer(b"", status="405 No"), answer(UNKNOWN)):
        found = await served({"/api/v1/models": missing, "/api/v0/models": missing, "/v1/models": names})
        assert isinstance(found, Catalogue)
        assert found.generation == "openai"
    token = answer(b'{"error": {"code": "invalid_api_key", "message": "x"}}', status="401 No")
    assert isinstance(await served({"/api/v1/models": token, "/v1/models": names}), ProviderNeedsKey)
    refused = answer(b"{}", status="400 Bad")
    assert isinstance(await served({"/api/v1/models": refused, "/v1/models": names}), ProviderRefused)
    assert isinstance(await served({"/api/v1/models": answer(b"{}"), "/v1/models": names}), BrokenAnswer)


async def test_where_no_list_is_that_is_said() -> None:
    error = await served({})
    assert isinstance(error, RouteNotFound)
    assert "no list of models" in str(error)
    names = answer(b'{"data": [{"id": "m"}]}')
    error = await served({"/v1/models": names}, native_api=True)
    assert isinstance(error, RouteNotFound)
    assert "`native_api`" in error.hint


async def test_a_burst_of_questions_asks_once(client: LMStudioClient, fake: FakeLMStudio) -> None:
    async with asyncio.TaskGroup() as group:
        for name in (QWEN, THINKER, GEMMA):
            group.create_task(client.resolve(name))
    assert fake.routes.count("GET /api/v1/models") == 1


async def test_a_name_that_is_not_listed_is_looked_up_once_more(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    await client.resolve(QWEN)
    fake.models.append(fake.runtime.catalogue["openai/gpt-oss-20b"])
    assert (await client.resolve("gpt-oss-20b")).key == "openai/gpt-oss-20b"
    with pytest.raises(ModelNotFound):
        await client.resolve("zzz")
    client.forget()
    fake.requests.clear()
    with pytest.raises(ModelNotFound):
        await client.resolve("zzz")
    assert fake.routes.count("GET /api/v1/models") == 1


async def test_who_names_no_model_gets_the_one_of_the_settings(fake: FakeLMStudio) -> None:
    async with client_of(fake, model="fast", fast="qwen3-1.7b", embedding_model=NOMIC) as client:
        assert (await client.resolve("")).key == THINKER
        assert (await client.resolve("fast")).key == THINKER
        assert (await client.resolve("", "embedding")).key == NOMIC
        with pytest.raises(ModelNotFound):
            await client.resolve("premium")


async def test_who_names_no_model_and_set_none_gets_the_only_one_in_memory(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.hold(GEMMA)
    fake.hold(NOMIC)
    assert (await client.resolve("")).key == GEMMA


async def test_a_list_is_kept_for_when_it_is_down(tmp_path: Path) -> None:
    async with fake_lmstudio(tmp_path) as fake, client_of(fake, cache=tmp_path / "kept") as client:
        assert client.cached_models() == []
        listed = await client.fetch_models()
    kept = client.cached_models()
    assert [model.key for model in kept] == [model.key for model in listed]
    assert all(model.stale_s > 0 for model in kept)
    assert client_of(fake).cached_models() == []


async def test_where_the_list_cannot_be_had_a_name_is_taken_as_it_is(fake: FakeLMStudio) -> None:
    link = Link(replace(SHORT, url=fake.url), "lmstudio", None, QUICK)
    catalogue = Catalogue(link)
    await link.make_sure()
    fake.inject("not-json", "GET /api")
    found = await catalogue.find_or_trust("anything", "chat")
    assert (found.asked, found.answers) == ("anything", {"anything"})
    with pytest.raises(BrokenAnswer):
        await catalogue.find_or_trust("", "chat")
    await link.aclose()
