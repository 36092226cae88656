"""The embedded provider gets models of the Hugging Face hub, and answers with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes import gguf_files
from tests.fakes.model_hub import FakeHub, model_hub
from tests.providers.embedded.conftest import Build

from lmbridge.core.errors import ConfigInvalid, DownloadFailed, ModelNotFound
from lmbridge.core.events import AnswerBuilder
from lmbridge.core.models import Download, LoadOptions
from lmbridge.core.provider import Downloader
from lmbridge.core.requests import ChatRequest, Sampling
from lmbridge.hub.hub import Hub

NAME = "someone/random-GGUF"


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[FakeHub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-login"))
    monkeypatch.setenv("NO_PROXY", "*")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    async with model_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add(NAME, [gguf_files.chat_model(tmp_path / "random-Q4_K_M.gguf")])
        yield hub


async def test_it_is_a_downloader(build: Build) -> None:
    provider = build()
    assert isinstance(provider, Downloader)
    assert not provider.fetches
    assert build(auto_download=True).fetches


async def test_a_downloaded_model_is_listed_and_answers(hub: FakeHub, build: Build) -> None:
    provider = build()
    news: list[Download] = []
    assert await provider.download(NAME, news.append) == "random"
    assert news[-1].state == "completed"
    model = next(model for model in await provider.models() if model.id == "random")
    instance = await provider.load(model, LoadOptions(context_length=256, parallel=1))
    builder = AnswerBuilder()
    async with provider.chat(instance, ChatRequest("", "hi", sampling=Sampling(max_tokens=5))) as events:
        async for event in events:
            builder.feed(event)
    assert len(builder.close().text) == 5


async def test_what_is_here_is_named_as_it_is_listed(hub: FakeHub, build: Build) -> None:
    provider = build()
    await provider.download(NAME)
    news: list[Download] = []
    assert await provider.download(f"https://huggingface.co/{NAME}", news.append) == "random"
    assert [each.state for each in news] == ["already_downloaded"]


async def test_downloads_go_to_lmbridges_own_folder(hub: FakeHub, build: Build, tmp_path: Path) -> None:
    await build().download(NAME)
    assert [path.name for path in (tmp_path / "home/models" / NAME).iterdir()] == ["random-Q4_K_M.gguf"]


async def test_downloads_go_where_the_settings_say(hub: FakeHub, build: Build, tmp_path: Path) -> None:
    provider = build(download_folder=str(tmp_path / "elsewhere"))
    assert await provider.download(NAME) == "random"
    assert (tmp_path / "elsewhere" / NAME / "random-Q4_K_M.gguf").is_file()
    assert not (tmp_path / "home").exists()


async def test_a_model_in_a_folder_of_the_settings_is_not_downloaded_again(
    hub: FakeHub, build: Build, tmp_path: Path
) -> None:
    await build(download_folder=str(tmp_path / "theirs")).download(NAME)
    hub.requests.clear()
    assert await build(folders=[str(tmp_path / "theirs")]).download(f"{NAME}@q4_k_m") == "random"
    assert len(hub.requests) == 1


async def test_nothing_is_chosen_that_fits_no_memory_unless_it_may_be(
    hub: FakeHub, build: Build, tmp_path: Path
) -> None:
    hub.add("someone/huge-GGUF", {"huge-Q4_K_M.gguf": b"GGUF"}, sizes={"huge-Q4_K_M.gguf": 10**15})
    with pytest.raises(DownloadFailed, match="of memory"):
        await build().download("someone/huge-GGUF")
    with pytest.raises(Exception, match="on a disk that has"):
        await build(check_memory=False).download("someone/huge-GGUF")


async def test_a_hub_that_is_no_address_is_named(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "mirror")
    with pytest.raises(ConfigInvalid, match="HF_ENDPOINT"):
        await build().download(NAME)


async def test_through_the_hub_of_this_program_a_model_is_got_by_its_provider(hub: FakeHub, build: Build) -> None:
    meeting = Hub([build()])
    assert (await meeting.download(NAME)).qualified == "embedded:random"
    with pytest.raises(ModelNotFound, match="at 127"):
        await meeting.download("someone/other", provider="embedded")
    await meeting.aclose()


async def test_a_missing_model_is_got_when_the_settings_allow_it(hub: FakeHub, build: Build) -> None:
    meeting = Hub([build(auto_download=True)])
    answer = await meeting.answer(ChatRequest(NAME, "hi", sampling=Sampling(max_tokens=3)))
    assert len(answer.text) == 3
    await meeting.aclose()
