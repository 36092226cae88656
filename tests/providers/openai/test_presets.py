from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.openai_server import fake_openai

from lmbridge.core.errors import ConfigInvalid, ProviderUnavailable, UnsupportedParameter
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.core.provider import ProviderContext
from lmbridge.core.requests import ChatRequest, Sampling
from lmbridge.providers.openai import OpenAIProvider
from lmbridge.providers.openai.presets import PRESETS, PRESETS_BY_NAME, fitted

HERE = ProviderContext(Path("/nowhere"), "there")


def made(**settings: object) -> OpenAIProvider:
    return OpenAIProvider.create(settings, HERE)


def test_every_preset_has_a_name_and_a_source() -> None:
    assert set(PRESETS) == set(PRESETS_BY_NAME)
    assert all(preset.source.startswith("https://") for preset in PRESETS.values())


@pytest.mark.parametrize("name", PRESETS_BY_NAME)
def test_a_preset_gives_its_url_which_may_be_another(name: str) -> None:
    assert PRESETS[name].url in repr(made(preset=name))
    assert "http://gpu:1/v1" in repr(made(preset=name, url="http://gpu:1"))


def test_a_preset_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigInvalid, match="preset"):
        made(preset="olama", url="http://h")
    with pytest.raises(ConfigInvalid, match="or a preset: ollama, vllm"):
        made()


async def test_a_cloud_wants_the_key_of_its_usual_variable_which_no_other_server_gets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    without = made(preset="openai")
    with pytest.raises(ProviderUnavailable, match="OPENAI_API_KEY"):
        await without.load(ModelInfo("gpt", "there"), LoadOptions())
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    assert made(preset="openai")._endpoint("m").headers == (("authorization", "Bearer sesame"),)
    assert made(preset="openai", key="own")._endpoint("m").headers == (("authorization", "Bearer own"),)
    async with fake_openai(key="sesame") as server:
        other = made(preset="openai", url=server.url)
        state = await other.probe()
        assert (state.state, state.display_name) == ("needs_key", "OpenAI")
        assert "authorization" not in server.headers
        asked = made(preset="openai", url=server.url, key_env="OPENAI_API_KEY")
        assert (await asked.probe()).state == "ready"
        for each in (without, other, asked):
            await each.aclose()


def test_a_server_is_asked_in_its_own_words() -> None:
    chat = {"messages": [], "max_tokens": 5, "repeat_penalty": 1.1, "max_completion_tokens": 6}
    assert fitted("vllm", chat)["repetition_penalty"] == 1.1
    assert fitted("openai", {"messages": [], "max_tokens": 5}) == {"messages": [], "max_completion_tokens": 5}
    asked = {"messages": [], "max_completion_tokens": 6}
    assert fitted("ollama", asked) == fitted("llama.cpp", asked) == {"messages": [], "max_tokens": 6}
    assert fitted("", chat) is chat
    plain = {"messages": [], "temperature": 0.5}
    assert all(fitted(name, plain) is plain for name in PRESETS)
    text = {"prompt": "x", "max_tokens": 5}
    assert all(fitted(name, text) is text for name in PRESETS)


@pytest.mark.parametrize(
    ("name", "field", "value", "harmless"),
    [
        ("ollama", "n", 2, 1),
        ("ollama", "logit_bias", {"5": 1}, {}),
        ("ollama", "top_k", 20, None),
        ("openai", "min_p", 0.1, None),
        ("openai", "repeat_penalty", 1.2, 1.0),
    ],
)
def test_what_a_server_does_not_know_is_refused_by_name_unless_it_asks_for_nothing(
    name: str, field: str, value: object, harmless: object
) -> None:
    with pytest.raises(UnsupportedParameter, match=f"'{field}'.*{PRESETS[name].display_name}"):
        fitted(name, {"messages": [], field: value})
    assert fitted(name, {"messages": [], field: harmless}) == {"messages": []}


async def test_what_is_streamed_and_what_is_relayed_are_both_in_the_servers_words() -> None:
    async with fake_openai() as server:
        provider = made(preset="openai", url=server.url, key="x")
        instance = await provider.load(ModelInfo("fake-chat", "there"), LoadOptions())
        asked = ChatRequest("", "hi", sampling=Sampling(max_tokens=3))
        async with provider.chat(instance, asked) as events:
            async for _ in events:
                pass
        assert server.requests[-1][1]["max_completion_tokens"] == 3
        assert "max_tokens" not in server.requests[-1][1]
        body = {"model": "fake-chat", "messages": [], "max_tokens": 3}
        assert provider.prepare(instance, body)["max_completion_tokens"] == 3
        with pytest.raises(UnsupportedParameter):
            provider.prepare(instance, {**body, "top_k": 5})
        await provider.aclose()


async def test_several_of_a_kind_are_told_apart_by_their_names() -> None:
    one = OpenAIProvider.create({"preset": "ollama", "fast": "a"}, ProviderContext(Path("/x"), "one"))
    two = OpenAIProvider.create({"preset": "ollama", "url": "http://gpu"}, ProviderContext(Path("/x"), "two"))
    assert (one.id, one.names, two.id, two.names) == ("one", {"fast": "a"}, "two", {})
