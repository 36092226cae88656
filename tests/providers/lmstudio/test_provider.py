from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from tests.doors.gateway.asking import until
from tests.fakes.lmstudio import GOOD_TOKEN, FakeLMStudio, fake_lmstudio
from tests.fakes.lmstudio.home import configure
from tests.providers.lmstudio.conftest import MakeInstall, places_of, web_page

from lmbridge.clients.lmstudio import LMStudioSettings
from lmbridge.core.errors import (
    ConfigInvalid,
    ForeignServer,
    ModelGone,
    ModelNotFound,
    ProviderUnavailable,
    UnsupportedParameter,
    WrongModel,
)
from lmbridge.core.events import TextDelta
from lmbridge.core.models import Download, LoadOptions, ModelInfo
from lmbridge.core.provider import Downloader, Keeper, Namer, ProviderContext
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.hub.hub import Hub
from lmbridge.machine.lmstudio.home import Places
from lmbridge.providers.lmstudio import provider as provider_module
from lmbridge.providers.lmstudio.provider import LMStudioProvider

CHAT, EMBED = "qwen/qwen3-4b-2507", "text-embedding-nomic-embed-text-v1.5"


def nowhere(folder: Path) -> Places:
    """A computer without LM Studio."""
    return Places({"PATH": str(folder)}, folder, "linux", folder)


@asynccontextmanager
async def served(folder: Path, *, command: bool = False, **settings: object) -> AsyncIterator[Served]:
    async with fake_lmstudio(folder / "user") as fake:
        assert fake.install is not None
        places = places_of(fake.install) if command else nowhere(folder)
        told = LMStudioSettings.read({"url": fake.url, **settings})
        provider = LMStudioProvider(told, ProviderContext(folder / "home", "lmstudio"), places=places)
        try:
            yield Served(fake, provider)
        finally:
            await provider.aclose()


class Served(msgspec.Struct):
    fake: FakeLMStudio
    provider: LMStudioProvider

    async def model(self, name: str = CHAT) -> ModelInfo:
        return next(model for model in await self.provider.models() if model.id == name)

    @property
    def in_memory(self) -> set[str]:
        return {instance.id for instance in self.fake.runtime.instances}


async def test_it_offers_all_that_the_hub_may_use(tmp_path: Path) -> None:
    async with served(tmp_path) as up:
        assert isinstance(up.provider, Keeper)
        assert isinstance(up.provider, Namer)
        assert isinstance(up.provider, Downloader)


async def test_what_is_known_of_a_model_is_told(tmp_path: Path) -> None:
    async with served(tmp_path) as up:
        model, vectors = await up.model(), await up.model(EMBED)
    assert (model.kind, model.tools, model.vision, model.context_length) == ("chat", True, False, 262144)
    assert (model.quantization, model.size_bytes, model.stale_s) == ("Q4_K_M", 45_000_000, 0)
    assert vectors.kind == "embedding"


async def test_a_model_that_somebody_loaded_is_taken_over_and_left_loaded(tmp_path: Path) -> None:
    async with served(tmp_path) as up:
        up.fake.hold(CHAT, 4096)
        async with Hub([up.provider], options=LoadOptions(ttl=1)) as hub:
            assert (await hub.answer(ChatRequest("", "hello"))).model == CHAT
            (state,) = await hub.instances()
        assert (state.context_length, state.ttl) == (4096, 0)
        assert up.in_memory == {CHAT}
        assert "POST /api/v1/models/load" not in up.fake.routes


async def test_a_model_that_we_loaded_for_a_time_is_not_left_behind(tmp_path: Path) -> None:
    async with served(tmp_path) as up:
        async with Hub([up.provider]) as hub:
            await hub.answer(ChatRequest(CHAT, "hello"))
            assert up.in_memory == {CHAT}
        assert up.in_memory == set()


async def test_a_model_that_we_loaded_for_ever_stays(tmp_path: Path) -> None:
    async with served(tmp_path) as up:
        async with Hub([up.provider]) as hub:
            await hub.load(CHAT, LoadOptions(ttl=0, context_length=2048))
        (instance,) = up.fake.runtime.instances
        assert (instance.id, instance.context_length) == (CHAT, 2048)


async def test_with_its_command_lm_studio_itself_minds_how_long_a_model_stays(tmp_path: Path) -> None:
    told: list[float] = []
    async with served(tmp_path, command=True) as up:
        async with Hub([up.provider]) as hub:
            await hub.load(CHAT, LoadOptions(ttl=300), told.append)
        (instance,) = up.fake.runtime.instances
        assert instance.ttl == 300
    assert told[-1] == 1.0


async def test_a_model_that_is_idle_too_long_is_unloaded_from_lm_studio(tmp_path: Path) -> None:
    async with served(tmp_path) as up, Hub([up.provider], options=LoadOptions(ttl=0.05)) as hub:
        await hub.load(CHAT)
        await until(lambda: not up.in_memory)


async def test_options_that_lm_studio_keeps_to_itself_are_refused_by_name(tmp_path: Path) -> None:
    async with served(tmp_path) as up:
        for options in (LoadOptions(threads=4), LoadOptions(gpu_layers=0), LoadOptions(kv_type="q8_0")):
            with pytest.raises(UnsupportedParameter, match="LM Studio takes it from its own settings"):
                await up.provider.load(await up.model(), options)


async def test_simultaneous_first_requests_load_once(tmp_path: Path) -> None:
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        await asyncio.gather(*(hub.answer(ChatRequest(CHAT, f"hello {n}")) for n in range(6)))
        assert up.fake.routes.count("POST /api/v1/models/load") == 1


async def test_a_model_that_somebody_unloaded_is_noticed_and_loaded_again(tmp_path: Path) -> None:
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        up.fake.runtime.jit = False
        await hub.answer(ChatRequest(CHAT, "hello"))
        up.fake.runtime.unload(CHAT)
        with pytest.raises(ModelGone, match="by somebody else"):
            await hub.answer(ChatRequest(CHAT, "hello"))
        assert (await hub.answer(ChatRequest(CHAT, "hello"))).text


async def test_one_that_somebody_unloaded_a_while_ago_is_loaded_again_before_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "SURE_FOR", 0.0)
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        await hub.load(CHAT, LoadOptions(context_length=2048))
        up.fake.runtime.unload(CHAT)
        assert (await hub.answer(ChatRequest(CHAT, "hello"))).text
        (instance,) = up.fake.runtime.instances
        assert instance.context_length == 2048, "LM Studio itself would have loaded it with its own"


async def test_all_who_ask_a_model_that_was_unloaded_are_told_the_same(tmp_path: Path) -> None:
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        up.fake.runtime.jit = False
        await hub.answer(ChatRequest(CHAT, "hello"))
        up.fake.runtime.unload(CHAT)
        ask = (hub.answer(ChatRequest(CHAT, f"hello {n}")) for n in range(4))
        met = await asyncio.gather(*ask, return_exceptions=True)
    assert [type(each) for each in met] == [ModelGone] * 4


async def test_a_server_that_moved_with_its_models_is_asked_where_it_is(tmp_path: Path) -> None:
    async with fake_lmstudio(tmp_path / "user") as fake:
        assert fake.install is not None
        context = ProviderContext(tmp_path / "home", "lmstudio")
        provider = LMStudioProvider(LMStudioSettings(), context, places=places_of(fake.install))
        async with Hub([provider]) as hub:
            await hub.answer(ChatRequest(CHAT, "hello"))
            await fake.stop()
            await fake.start()
            configure(fake.home, port=fake.port)
            with pytest.raises(ModelGone):
                await hub.answer(ChatRequest(CHAT, "hello"))
            assert (await hub.answer(ChatRequest(CHAT, "hello"))).text


async def test_an_answer_that_ends_with_lm_studio_itself_says_so(tmp_path: Path) -> None:
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        up.fake.pace = 0.05

        async def quit_in_the_middle() -> None:
            async with hub.chat(ChatRequest(CHAT, "one two three four five six")) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        up.fake.fault = "refuse"

        with pytest.raises(ProviderUnavailable, match="LM Studio is not installed"):
            await quit_in_the_middle()
        up.fake.fault = ""
        assert (await hub.answer(ChatRequest(CHAT, "hello"))).text


async def test_that_its_time_is_over_while_lm_studio_is_down_is_no_fault(tmp_path: Path) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with served(tmp_path) as up, Hub([up.provider], options=LoadOptions(ttl=0.05)) as hub:
        await hub.answer(ChatRequest(CHAT, "hello"))
        up.fake.fault = "refuse"
        await until(lambda: not hub._leases.names())
        await hub.instances()
    assert not faults


async def test_another_model_never_answers_for_one_that_somebody_unloaded(tmp_path: Path) -> None:
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        await hub.answer(ChatRequest(CHAT, "hello"))
        up.fake.inject("wrong-model", "POST /v1/chat/completions")
        with pytest.raises(WrongModel):
            await hub.answer(ChatRequest(CHAT, "hello"))


async def test_a_server_that_went_away_and_came_back_is_found_again(tmp_path: Path) -> None:
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        await hub.answer(ChatRequest(CHAT, "hello"))
        up.fake.fault = "refuse"
        with pytest.raises(ProviderUnavailable):
            await hub.answer(ChatRequest(CHAT, "hello"))
        up.fake.fault = ""
        assert (await hub.answer(ChatRequest(CHAT, "hello"))).text


async def test_while_it_is_down_its_models_are_remembered_with_their_age(tmp_path: Path) -> None:
    async with served(tmp_path) as up:
        fresh = await up.provider.models()
        places, home = nowhere(tmp_path), ProviderContext(tmp_path / "home", "lmstudio")
        url = up.fake.url
    later = LMStudioProvider(LMStudioSettings(url=url), home, places=places)
    models = await later.models()
    assert [model.id for model in models] == [model.id for model in fresh]
    assert all(model.stale_s > 0 for model in models)
    assert await later.loaded() == ()
    with pytest.raises(ProviderUnavailable, match="lmstudio"):
        await later.load(models[0], LoadOptions())
    await later.aclose()


async def test_its_models_are_remembered_while_another_program_has_its_address(tmp_path: Path) -> None:
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        known = len(await hub.models())
        await up.fake.stop()
        async with web_page(up.fake.port):
            again = LMStudioProvider(
                LMStudioSettings(url=up.fake.url),
                ProviderContext(tmp_path / "home", "lmstudio"),
                places=nowhere(tmp_path),
            )
            async with Hub([again]) as other:
                assert len(await other.models()) == known
                with pytest.raises(ForeignServer, match="greeting with status 404"):
                    await other.answer(ChatRequest(CHAT, "hello"))


async def test_where_there_is_none_it_is_unavailable_and_says_how_to_get_it(tmp_path: Path) -> None:
    provider = LMStudioProvider(
        LMStudioSettings(url="http://127.0.0.1:9"), ProviderContext(tmp_path, "lmstudio"), places=nowhere(tmp_path)
    )
    state = await provider.probe()
    assert (state.state, bool(state.detail), bool(state.hint)) == ("unavailable", True, True)
    assert await provider.models() == ()
    await provider.aclose()


async def test_a_missing_token_is_no_server_that_is_down(tmp_path: Path) -> None:
    async with fake_lmstudio(tmp_path / "user", token=GOOD_TOKEN) as fake:
        provider = LMStudioProvider(
            LMStudioSettings(url=fake.url), ProviderContext(tmp_path, "lmstudio"), places=nowhere(tmp_path)
        )
        assert (await provider.probe()).state == "needs_key"
        assert await provider.models() == ()
        await provider.aclose()


async def test_it_is_started_when_it_is_needed_and_the_settings_allow_it(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    for autostart in (False, True):
        install = make_install()
        provider = LMStudioProvider(
            LMStudioSettings(autostart=autostart), ProviderContext(tmp_path, "lmstudio"), places=places_of(install)
        )
        model = ModelInfo(CHAT, "lmstudio")
        try:
            assert await provider.models() == ()
            if autostart:
                assert (await provider.load(model, LoadOptions())).endpoint.model == CHAT
            else:
                with pytest.raises(ProviderUnavailable, match="lmbridge lmstudio start"):
                    await provider.load(model, LoadOptions())
        finally:
            await provider.aclose()


async def test_the_settings_name_models(tmp_path: Path) -> None:
    names = {"fast": "Qwen3-1.7B", "model": "fast", "embedding_model": EMBED}
    async with served(tmp_path, **names) as up, Hub([up.provider]) as hub:
        for name in ("fast", "lmstudio:fast", "", "lmstudio:"):
            assert (await hub.resolve(name)).id == "qwen/qwen3-1.7b"
    async with served(tmp_path / "other", model=CHAT, embedding_model=EMBED) as up, Hub([up.provider]) as hub:
        assert (await hub.resolve("")).id == CHAT
        assert (await hub.embed(EmbedRequest("", ("a", "b")))).model == EMBED


async def test_a_model_is_downloaded_with_its_progress_and_then_answers(tmp_path: Path) -> None:
    told: list[Download] = []
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        model = await hub.download("openai/gpt-oss-20b", progress=told.append)
        assert model.id == "openai/gpt-oss-20b"
        assert (await hub.answer(ChatRequest(model.id, "hello"))).model == model.id
        with pytest.raises(ModelNotFound):
            await hub.download("nobody/has-this")
    assert told[-1].state == "completed"


async def test_a_missing_model_is_downloaded_for_who_asks_it_when_the_settings_allow_it(tmp_path: Path) -> None:
    async with served(tmp_path, auto_download=True) as up, Hub([up.provider]) as hub:
        assert (await hub.answer(ChatRequest("openai/gpt-oss-20b", "hello"))).text


async def test_all_that_is_in_its_memory_is_shown_and_can_be_unloaded(tmp_path: Path) -> None:
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        up.fake.hold(CHAT)
        up.fake.hold(CHAT, identifier=f"{CHAT}:2")
        up.fake.hold(EMBED)
        assert {state.name or state.model for state in await hub.instances()} == {CHAT, f"{CHAT}:2", EMBED}
        await hub.unload(f"{CHAT}:2")
        assert up.in_memory == {CHAT, EMBED}
        up.fake.hold(CHAT, identifier="mine")
        await hub.unload("lmstudio:mine")
        assert up.in_memory == {CHAT, EMBED}
        await hub.unload(EMBED)
        await hub.unload(CHAT)
        assert (up.in_memory, list(await hub.instances())) == (set(), [])


async def test_unloading_what_somebody_unloaded_already_is_no_error(tmp_path: Path) -> None:
    async with served(tmp_path) as up:
        instance = await up.provider.load(await up.model(), LoadOptions())
        up.fake.runtime.unload(CHAT)
        await up.provider.unload(instance)
        with pytest.raises(ModelGone):
            async with up.provider.chat(instance, ChatRequest("", "x")):
                pass


def test_a_bad_setting_is_named() -> None:
    context = ProviderContext(Path("/nowhere"), "lmstudio")
    for table in ({"url": "ftp://x"}, {"urll": "x"}, {"autostart": "perhaps"}):
        with pytest.raises(ConfigInvalid, match="lmstudio"):
            LMStudioProvider.create(table, context)


async def test_another_quantization_is_asked_for_by_its_own_name(tmp_path: Path) -> None:
    async with served(tmp_path) as up, Hub([up.provider]) as hub:
        other = await up.model("google/gemma-3-4b@q8_0")
        assert (other.quantization, other.vision) == ("Q8_0", True)
        assert (await hub.resolve("gemma-3-4b")).id == "google/gemma-3-4b"
        assert (await hub.answer(ChatRequest("gemma-3-4b@q8_0", "hello"))).text
        (state,) = await hub.instances()
        assert (state.model, state.kept) == ("google/gemma-3-4b@q8_0", False)
        await hub.unload("gemma-3-4b@q8_0")
        assert up.in_memory == set()
