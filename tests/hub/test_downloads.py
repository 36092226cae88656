from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from tests.doors.gateway.asking import until
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.errors import DownloadFailed, InvalidRequest, ModelNotFound, ProviderUnavailable, ShuttingDown
from lmbridge.core.models import Download, ModelInfo
from lmbridge.core.provider import DownloadProgress
from lmbridge.core.requests import ChatRequest
from lmbridge.hub.hub import Hub

HERE = ModelInfo("here", "runtime")


async def test_a_downloaded_model_is_there_at_once() -> None:
    async with Hub([ScriptedRuntime([HERE])]) as hub:
        await hub.models()
        assert await hub.download("org/new") == ModelInfo("org/new", "runtime")
        assert await hub.resolve("org/new") == ModelInfo("org/new", "runtime")


async def test_progress_is_told_to_everybody_who_waits_for_one_download() -> None:
    runtime, told, joined = ScriptedRuntime([HERE]), list[tuple[int, Download]](), asyncio.Event()
    runtime.gate.clear()
    async with Hub([runtime]) as hub, asyncio.TaskGroup() as group:
        first = group.create_task(hub.download("org/new", progress=lambda d: told.append((1, d))))
        await runtime.downloading.wait()

        def tell(download: Download) -> None:
            told.append((2, download))
            joined.set()

        second = group.create_task(hub.download("org/new", progress=tell))
        await joined.wait()
        runtime.gate.set()
        assert await first == await second
    assert runtime.downloads == ["org/new"]
    assert told == [(1, Download("downloading", 1, 2)), (2, Download("downloading", 1, 2))]


async def test_the_last_one_to_leave_stops_a_download() -> None:
    runtime = ScriptedRuntime([HERE])
    runtime.gate.clear()
    async with Hub([runtime]) as hub:
        waiting = [asyncio.ensure_future(hub.download("org/new")) for _ in range(2)]
        await runtime.downloading.wait()
        waiting[0].cancel()
        with suppress(asyncio.CancelledError):
            await waiting[0]
        assert not runtime.stopping.is_set()
        waiting[1].cancel()
        with suppress(asyncio.CancelledError):
            await waiting[1]
        await runtime.stopping.wait()
        runtime.gate.set()
        assert (await hub.download("org/new")).id == "org/new"  # and may be begun again


async def test_closing_the_hub_stops_a_download_and_tells_who_waits() -> None:
    runtime = ScriptedRuntime([HERE])
    runtime.gate.clear()
    async with Hub([runtime]) as hub:
        waiting = asyncio.ensure_future(hub.download("org/new"))
        await runtime.downloading.wait()
    assert runtime.stopping.is_set()
    with pytest.raises(ShuttingDown):
        await waiting


async def test_a_failed_download_tells_why_and_can_be_tried_again() -> None:
    runtime = ScriptedRuntime([HERE])
    runtime.failure = DownloadFailed("org/new", "the line is cut")
    async with Hub([runtime]) as hub:
        with pytest.raises(DownloadFailed, match="the line is cut"):
            await hub.download("org/new")
        runtime.failure = None
        assert (await hub.download("org/new")).id == "org/new"


async def test_the_first_provider_that_is_there_downloads() -> None:
    down, up = ScriptedRuntime([], state="unavailable"), ScriptedRuntime([])
    up.id = "other"
    async with Hub([down, up, ScriptedProvider([])]) as hub:
        with suppress(ModelNotFound):  # the fake files what it gets under its first name
            await hub.download("org/new")
    assert (down.downloads, up.downloads) == ([], ["org/new"])


@pytest.mark.parametrize("ask", [{"name": "org/new", "provider": "runtime"}, {"name": "runtime:org/new"}])
async def test_a_provider_that_is_named_downloads(ask: dict[str, str]) -> None:
    runtime = ScriptedRuntime([])
    async with Hub([ScriptedProvider([]), runtime]) as hub:
        await hub.download(**ask)
    assert runtime.downloads == ["org/new"]


async def test_a_provider_that_cannot_download_is_told_with_those_that_can() -> None:
    async with Hub([ScriptedProvider([]), ScriptedRuntime([])]) as hub:
        with pytest.raises(InvalidRequest, match=r"'scripted' cannot download models. These can: runtime"):
            await hub.download("org/new", provider="scripted")
    async with Hub([ScriptedProvider([])]) as hub:
        with pytest.raises(InvalidRequest, match="No provider here can download"):
            await hub.download("org/new")


@pytest.mark.parametrize("name", ["org/new", "runtime:org/new"])
async def test_a_missing_model_is_downloaded_when_the_settings_allow_it(name: str) -> None:
    runtime = ScriptedRuntime([HERE], fetches=True)
    async with Hub([runtime]) as hub:
        assert (await hub.answer(ChatRequest(name, "hello"))).model == "org/new"
        await hub.load(name)
    assert runtime.downloads == ["org/new"]


async def test_loading_a_missing_model_downloads_it_when_the_settings_allow_it() -> None:
    runtime = ScriptedRuntime([HERE], fetches=True)
    async with Hub([runtime]) as hub:
        assert (await hub.load("org/new@q4_k_m")).model == "org/new@q4_k_m"


@pytest.mark.parametrize(
    "name",
    [
        "nonsense",
        "https://example.org/x",
        "../../x",
        "../..",
        "-x/y",
        ".a/b",
        "a/" + "b" * 200,
        "other:org/new",
        "a b/c",
    ],
)
async def test_no_other_name_makes_anything_be_downloaded(name: str) -> None:
    runtime = ScriptedRuntime([HERE], fetches=True)
    async with Hub([runtime]) as hub:
        with pytest.raises(ModelNotFound):
            await hub.answer(ChatRequest(name, "hello"))
    assert runtime.downloads == []


async def test_a_missing_model_is_an_error_when_the_settings_do_not_allow_it() -> None:
    runtime = ScriptedRuntime([HERE])
    async with Hub([runtime]) as hub:
        with pytest.raises(ModelNotFound):
            await hub.load("org/new")
        runtime.fetches, runtime.state = True, "unavailable"
        with pytest.raises(ModelNotFound):
            await hub.answer(ChatRequest("org/new", "x"))
    assert runtime.downloads == []


async def test_requests_cannot_cause_any_number_of_downloads_at_the_same_time() -> None:
    runtime = ScriptedRuntime([HERE], fetches=True)
    runtime.gate.clear()
    async with Hub([runtime]) as hub, asyncio.TaskGroup() as group:
        asked = [group.create_task(hub.load(name)) for name in ("org/a", "org/b", "org/a")]
        await until(lambda: len(runtime.downloads) == 2)
        with pytest.raises(DownloadFailed, match="lmbridge get org/c"):
            await hub.answer(ChatRequest("org/c", "hello"))
        person = group.create_task(hub.download("org/d"))
        runtime.gate.set()
        assert [(await task).model for task in asked] == ["org/a", "org/b", "org/a"]
        assert (await person).id == "org/d"
        assert (await hub.load("org/c")).model == "org/c"


async def test_a_download_without_a_name_is_refused_by_whoever_would_get_it() -> None:
    runtime = ScriptedRuntime([])
    runtime.failure = InvalidRequest("That is no name.")
    async with Hub([runtime]) as hub:
        with pytest.raises(InvalidRequest, match="no name"):
            await hub.download("runtime:")
    assert runtime.downloads == [""]


class Stubborn(ScriptedRuntime):
    """Goes on although its download is stopped, and then returns or raises."""

    async def download(self, name: str, progress: DownloadProgress | None = None) -> str:
        try:
            return await super().download(name, progress)
        except asyncio.CancelledError:
            if self.failure is not None:
                raise self.failure from None
            return name


@pytest.mark.parametrize("failure", [None, DownloadFailed("org/new", "the line is cut")])
async def test_what_a_stopped_download_comes_to_is_nobodys_concern(failure: Exception | None) -> None:
    runtime = Stubborn([HERE])
    runtime.gate.clear()
    async with Hub([runtime]) as hub:
        waiting = asyncio.ensure_future(hub.download("org/new"))
        await runtime.downloading.wait()
        runtime.failure = failure
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await runtime.stopping.wait()
        runtime.gate.set()
        runtime.failure = None
        assert (await hub.download("org/new")).id == "org/new"


async def test_a_provider_that_is_unregistered_stops_its_own_downloads_and_no_others() -> None:
    one, other = ScriptedRuntime([HERE]), ScriptedRuntime([])
    other.id = "other"
    one.gate.clear()
    other.gate.clear()
    async with Hub([one, other]) as hub:
        mine = asyncio.ensure_future(hub.download("org/new"))
        others = asyncio.ensure_future(hub.download("other:org/new"))
        await one.downloading.wait()
        await other.downloading.wait()
        await hub.unregister("other")
        with pytest.raises(ProviderUnavailable, match="not registered any more"):
            await others
        one.gate.set()
        assert (await mine).id == "org/new"


async def test_a_download_that_ends_in_the_moment_it_is_stopped_is_stopped() -> None:
    runtime = ScriptedRuntime([HERE])
    runtime.gate.clear()
    async with Hub([runtime]) as hub:
        getting = asyncio.ensure_future(hub.download("org/new"))
        await runtime.downloading.wait()
        runtime.gate.set()
        await hub.unregister("runtime")
        with pytest.raises(ProviderUnavailable):
            await getting
