from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.clients.lmstudio.conftest import GEMMA, QUICK, QWEN, SHORT, client_of, lms_of
from tests.fakes.lmstudio import FakeLMStudio, fake_lmstudio

from lmbridge.clients.lmstudio import LMStudioClient
from lmbridge.clients.lmstudio.downloading import Wanted, named, understand
from lmbridge.core.errors import (
    CommandFailed,
    DownloadFailed,
    InvalidRequest,
    ModelNotFound,
    NoSpace,
    ProviderUnavailable,
    RuntimeMissing,
)
from lmbridge.core.models import Download
from lmbridge.wire.lmstudio.models import LMStudioModel

GPT = "openai/gpt-oss-20b"
REPOSITORY = "lmstudio-community/Qwen3-0.6B-GGUF"
LINK = f"https://huggingface.co/{REPOSITORY}"
POST = "POST /api/v1/models/download"
STATUS = "GET /api/v1/models/download/status"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("openai/gpt-oss-20b", Wanted("openai/gpt-oss-20b")),
        (" phi ", Wanted("phi")),
        ("a/b@Q4_K_M", Wanted("a/b", "Q4_K_M")),
        ("https://huggingface.co/a/b", Wanted("a/b", "", link=True)),
        ("https://huggingface.co/a/b/tree/main", Wanted("a/b", "", link=True)),
        ("huggingface.co/a/b@q4", Wanted("a/b", "q4", link=True)),
        ("https://www.huggingface.co/a/b/", Wanted("a/b", "", link=True)),
        ("https://lmstudio.ai/models/a/b", Wanted("a/b")),
        ("lmstudio.ai/a/b", Wanted("a/b")),
    ],
)
def test_a_name_is_understood_as_people_give_it(name: str, wanted: Wanted) -> None:
    assert understand(name) == wanted


def test_a_quantization_beside_the_name_wins() -> None:
    assert understand("a/b@q4", "q8").label == "a/b@q8"


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a b", "a\nb", "../..", "-x/y", "a/b/c", "a/b?c=d", "a%2fb", "a\\b", "lmstudio:", "x" * 101),
        *(
            "https://example.com/a/b",
            "https://huggingface.co/a",
            "https://huggingface.co/../b",
            "file:///etc/passwd",
        ),
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"name of a model|are downloaded from"):
        understand(name)


@pytest.mark.parametrize("rest", ["blob/main/x-Q8_0.gguf", "x-Q8_0.gguf", "tree/other"])
def test_a_file_or_a_branch_is_not_taken_for_the_repository_it_is_in(rest: str) -> None:
    with pytest.raises(InvalidRequest, match=r"no file by its name.*a/b@q4_k_m"):
        understand(f"https://huggingface.co/a/b/{rest}")


def test_what_arrived_is_known_by_its_name_or_for_being_new() -> None:
    here, new = LMStudioModel("a/b"), LMStudioModel("c/d", variants=("c/d@q4",))
    assert named(Wanted("c/d", "q4"), [here, new], {"a/b"}) is new
    assert named(Wanted("c/d", "q8"), [here, new], {"a/b", "c/d"}) is new
    assert named(Wanted("else/where"), [here, new], {"a/b"}) is new
    assert named(Wanted("else/where"), [here, new], {"a/b", "c/d"}) is None
    assert named(Wanted("x/D-GGUF"), [here, new], {"a/b", "c/d"}) is new
    assert named(Wanted("x/y"), [here, new], set()) is None
    assert named(Wanted("x/D-gguf"), [here, new], set()) is new


async def test_a_download_tells_how_far_it_is_until_it_is_there(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    heard: list[Download] = []
    final = await client.download_model(GPT, on_progress=heard.append)
    assert final == Download("completed", 45_000_000, 45_000_000)
    assert [each.state for each in heard[:-1]] == ["downloading"] * (len(heard) - 1)
    done = [each.done_bytes for each in heard if each.done_bytes is not None]
    assert done == sorted(done)
    assert heard[-1] == final
    assert heard[2].bytes_per_s == 25_000_000
    assert (await client.resolve(GPT)).key == GPT


async def test_what_is_here_already_is_a_success(client: LMStudioClient, fake: FakeLMStudio) -> None:
    heard: list[Download] = []
    assert (await client.download_model(QWEN, on_progress=heard.append)).state == "already_downloaded"
    assert [each.fraction for each in heard] == [1.0]
    assert STATUS not in " ".join(fake.routes)


async def test_a_repository_is_asked_for_by_its_address(client: LMStudioClient, fake: FakeLMStudio) -> None:
    model = await client.get_model(f"{LINK}@q4_k_m")
    assert model.key == "qwen3-0.6b"
    [post] = [request for request in fake.requests if request.route == POST]
    assert post.body == {"model": LINK, "quantization": "q4_k_m"}
    assert (await client.get_model(LINK)).key == "qwen3-0.6b"


async def test_what_the_catalogue_does_not_know_may_be_a_repository(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    del fake.runtime.catalogue[REPOSITORY.lower()]
    assert (await client.get_model(REPOSITORY)).key == "qwen3-0.6b"
    assert fake.routes.count(POST) == 2
    for name in ("nobody/has-this", "zzz"):
        with pytest.raises(ModelNotFound, match=r"finds no model .* to download.*lmstudio.ai/models"):
            await client.download_model(name)


async def test_a_download_without_sizes_is_followed_all_the_same(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.runtime.sized = False
    heard: list[Download] = []
    assert (await client.download_model(GPT, on_progress=heard.append)).state == "completed"
    assert {each.total_bytes for each in heard} == {None}


@pytest.mark.parametrize(("outcome", "words"), [("failed", "gave it up"), ("paused", "paused in LM Studio")])
async def test_a_download_that_does_not_end_well_says_so(
    client: LMStudioClient, fake: FakeLMStudio, outcome: str, words: str
) -> None:
    fake.runtime.outcome = outcome
    with pytest.raises(DownloadFailed, match=f"{words}.*Downloads in LM Studio's window"):
        await client.download_model(GPT)


async def test_a_download_that_stands_still_ends_the_waiting(fake: FakeLMStudio) -> None:
    fake.runtime.outcome = "stuck"
    async with LMStudioClient(replace(SHORT, url=fake.url), habits=replace(QUICK, stall=0.05)) as client:
        with pytest.raises(DownloadFailed, match=r"no byte came for 0\.05 s\. LM Studio itself goes on"):
            await client.download_model(GPT)


async def test_a_job_that_is_forgotten_is_a_failure(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.fault = "job-lost"
    with pytest.raises(DownloadFailed, match="knows nothing of it any more"):
        await client.download_model(GPT)


async def test_a_server_that_stumbles_while_it_downloads_is_asked_again(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.inject("503", STATUS, times=2)
    assert (await client.download_model(GPT)).state == "completed"
    fake.inject("503", STATUS, times=3)
    with pytest.raises(Exception, match="503"):
        await client.download_model("lmstudio-community/qwen3-0.6b-gguf")


async def test_a_server_that_goes_down_while_it_downloads_is_waited_for_no_longer_than_that(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.runtime.outcome = "stuck"
    waiting = asyncio.ensure_future(client.download_model(GPT))
    await fake.until(lambda: any(route.startswith(STATUS) for route in fake.routes))
    fake.fault = "refuse"
    with pytest.raises(ProviderUnavailable):
        await waiting


async def test_who_stops_waiting_stops_asking(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.runtime.outcome = "stuck"
    waiting = asyncio.ensure_future(client.download_model(GPT))
    await fake.until(lambda: any(route.startswith(STATUS) for route in fake.routes))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_one_that_says_it_is_there_and_is_not_is_a_failure(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.inject("vanishes", "GET /api/v1/models")
    with pytest.raises(DownloadFailed, match="lists no such model"):
        await client.download_model(QWEN)


@pytest.fixture
async def cramped(fake: FakeLMStudio, tmp_path: Path) -> AsyncIterator[LMStudioClient]:
    """A client that knows where the models go, and a disk on which the next one does not fit."""
    free = shutil.disk_usage(tmp_path).free
    catalogue = fake.runtime.catalogue
    catalogue[GPT] = replace(catalogue[GPT], size_bytes=free + 2**40)
    folder = tmp_path / "not there yet" / "models"
    async with LMStudioClient(replace(SHORT, url=fake.url), habits=QUICK, models_folder=folder) as client:
        yield client


async def test_what_does_not_fit_on_the_disk_is_said_at_once(cramped: LMStudioClient, fake: FakeLMStudio) -> None:
    heard: list[Download] = []
    with pytest.raises(NoSpace, match=r"models needs .*LM Studio itself goes on") as raised:
        await cramped.download_model(GPT, on_progress=heard.append)
    assert raised.value.needed is not None
    assert raised.value.available is not None
    assert raised.value.needed > raised.value.available
    assert heard == []
    assert (await cramped.download_model(REPOSITORY)).state == "completed"


async def test_an_older_one_downloads_by_its_command(old: FakeLMStudio) -> None:
    async with client_of(old, lms=lms_of(old)) as client:
        heard: list[Download] = []
        assert (await client.download_model(GPT, on_progress=heard.append)).state == "completed"
        assert heard[-1].state == "completed"
        assert (await client.get_model(GPT)).key == GPT
        assert old.install is not None
        old.install.fault = "fails"
        with pytest.raises(CommandFailed):
            await client.download_model(LINK)
    async with client_of(old) as client:
        with pytest.raises(RuntimeMissing, match="can download only by its command"):
            await client.download_model(GPT)


async def test_what_does_not_fit_ends_the_command(old: FakeLMStudio, tmp_path: Path) -> None:
    catalogue = old.runtime.catalogue
    catalogue[GPT] = replace(catalogue[GPT], size_bytes=shutil.disk_usage(tmp_path).free + 2**40)
    settings = replace(SHORT, url=old.url)
    async with LMStudioClient(settings, lms=lms_of(old), habits=QUICK, models_folder=tmp_path) as client:
        with pytest.raises(NoSpace):
            await client.download_model(GPT)
    assert old.runtime.on_disk(GPT) is None


async def test_where_only_what_is_in_memory_is_listed_the_command_tells_what_is_there(tmp_path: Path) -> None:
    async with (
        fake_lmstudio(tmp_path, version="0.3", jit=False) as fake,
        client_of(fake, lms=lms_of(fake)) as client,
    ):
        assert (await client.get_model(GPT)).key == GPT


async def test_a_quantization_of_the_catalogue_takes_the_command(fake: FakeLMStudio) -> None:
    async with client_of(fake, lms=lms_of(fake)) as client:
        assert (await client.get_model(f"{GEMMA}@q8_0")).key == GEMMA
    assert POST not in fake.routes
