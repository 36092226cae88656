"""LM Studio for code without `async`."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.fakes.lmstudio import FakeInstall, install_fake
from tests.fakes.lmstudio.install import free_port

import lmbridge
from lmbridge import ChatMessage, InferenceSettings, LMStudioManager, LMStudioSettings, MessageRole
from lmbridge.core.errors import BridgeError, ConfigInvalid, InvalidRequest, ModelNotFound, RuntimeMissing
from lmbridge.core.models import Download
from lmbridge.core.requests import Sampling
from lmbridge.machine.lmstudio.home import Places
from lmbridge.providers.lmstudio import look as look_module

HELLO = [ChatMessage(role=MessageRole.USER, content="Hello")]


@pytest.fixture(autouse=True)
def _nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "DEFAULT_PORT", free_port())


@pytest.fixture
def install(tmp_path: Path) -> Iterator[FakeInstall]:
    with install_fake(tmp_path / "Ada Ünal's home") as install:
        yield install


def manager_of(install: FakeInstall, settings: LMStudioSettings = LMStudioSettings()) -> LMStudioManager:
    places = Places(install.environ, install.user_home, "linux", install.user_home)
    return LMStudioManager(settings, home=install.user_home / ".lmbridge", places=places)


@pytest.fixture
def manager(install: FakeInstall) -> Iterator[LMStudioManager]:
    with manager_of(install) as manager:
        yield manager


@pytest.fixture
def chat_model(manager: LMStudioManager) -> str:
    """The key of a chat model that is in memory."""
    key = next(model.key for model in manager.fetch_models() if model.kind == "chat")
    manager.load_model(key)
    return key


def test_a_person_walks_through_the_manager(manager: LMStudioManager) -> None:
    status = manager.get_status()
    assert (status.installed, status.bootstrapped, status.server_running) == (True, True, False)
    assert status["current_model"] is None
    assert manager.ensure_server_running()["server_running"]
    key = next(model.key for model in manager.fetch_models() if model.kind == "chat")
    manager.load_model(key, context_length=4096)
    assert dict(manager.get_status())["current_model"] == key
    told: list[tuple[str, float | None, int]] = []
    answer = manager.proxy_chat_completion(
        HELLO, InferenceSettings(temperature=0.2), lambda token, rate, count: told.append((token, rate, count))
    )
    assert answer == "".join(token for token, _, _ in told) != ""
    assert [count for _, _, count in told] == list(range(1, len(told) + 1))
    assert told[0][1] is None
    assert all(rate is not None and rate > 0 for _, rate, _ in told[1:])
    assert manager.unload_model(key)
    assert not manager.stop_server().server_running
    assert not manager.stop_server().server_running


def test_a_server_that_is_down_is_started_for_a_question(manager: LMStudioManager, install: FakeInstall) -> None:
    assert install.pid is None
    key = next(model.key for model in manager.fetch_models() if model.kind == "chat")
    assert manager.proxy_chat_completion(HELLO, model=key)
    manager.stop_server()
    assert manager.proxy_chat_completion(HELLO, model=key)
    assert manager.get_status().started_by_us


def test_the_callback_is_called_in_the_callers_own_thread(manager: LMStudioManager, chat_model: str) -> None:
    seen: set[int] = set()
    manager.proxy_chat_completion(HELLO, stream_callback=lambda *_: seen.add(threading.get_ident()))
    assert seen == {threading.get_ident()}


def test_a_callback_that_fails_ends_the_answer(manager: LMStudioManager, chat_model: str) -> None:
    def fail(token: str, rate: float | None, count: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        manager.proxy_chat_completion(HELLO, stream_callback=fail)
    assert manager.proxy_chat_completion(HELLO)


def test_a_broken_answer_is_no_short_one(manager: LMStudioManager, install: FakeInstall, chat_model: str) -> None:
    for fault in ("cut", "reset-mid", "error-event", "no-finish"):
        install.inject_server(fault, "POST /v1/chat/completions", times=1)
        with pytest.raises(BridgeError):
            manager.proxy_chat_completion(HELLO)
        install.wish(faults=[])


def test_a_model_that_is_not_there_is_not_swapped(manager: LMStudioManager, chat_model: str) -> None:
    with pytest.raises(ModelNotFound):
        manager.proxy_chat_completion(HELLO, model="nobody/has-this")


def test_no_messages_are_no_question(manager: LMStudioManager) -> None:
    with pytest.raises(InvalidRequest, match="at least one message"):
        manager.proxy_chat_completion([])


def test_what_is_no_message_is_refused_with_the_form_of_one(manager: LMStudioManager) -> None:
    with pytest.raises(InvalidRequest, match="not a dict") as raised:
        manager.proxy_chat_completion([{"role": "user", "content": "Hello"}])  # type: ignore[list-item]
    assert "ChatMessage(" in raised.value.hint


def test_a_missing_model_is_downloaded_then_loaded(manager: LMStudioManager) -> None:
    told: list[Download] = []
    with pytest.raises(ModelNotFound):
        manager.ensure_ready("openai/gpt-oss-20b")
    instance = manager.ensure_ready("openai/gpt-oss-20b", download=True, on_progress=told.append)
    assert instance.model == "openai/gpt-oss-20b"
    assert told[-1].state == "completed"
    assert manager.download_model("openai/gpt-oss-20b").state == "already_downloaded"


def test_several_threads_share_a_manager(manager: LMStudioManager, chat_model: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: manager.proxy_chat_completion(HELLO), range(8)))
    assert len(answers) == 8
    assert all(answers)


def test_a_manager_leaves_no_thread_behind(install: FakeInstall) -> None:
    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "lmbridge"]

    before = ours()
    manager = manager_of(install)
    assert ours() == before
    manager.get_status()
    manager.close()
    assert ours() == before
    assert manager.get_status().installed  # used again, it starts anew
    (thread,) = [thread for thread in ours() if thread not in before]
    del manager
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


def test_without_lm_studio_it_says_what_is_missing(tmp_path: Path) -> None:
    nothing = install_fake(tmp_path / "home", app=False, bootstrapped=False)
    with manager_of(nothing) as manager:
        assert manager.get_status().state == "not_installed"
        for ask in (manager.ensure_server_running, manager.fetch_models, manager.bootstrap):
            with pytest.raises(RuntimeMissing, match="installs its daemon"):
                ask()


def test_an_app_that_was_never_started_is_put_into_place(tmp_path: Path) -> None:
    with install_fake(tmp_path / "home", bootstrapped=False) as install, manager_of(install) as manager:
        stages: list[str] = []
        assert manager.get_status().state == "not_bootstrapped"
        assert manager.bootstrap(lambda stage, _: stages.append(stage)).bootstrapped
        assert stages[-1] == "putting its command on PATH"


def test_the_settings_are_those_of_lmbridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMBRIDGE_HOME", str(tmp_path))
    for name in ("LMSTUDIO_BASE_URL", "CODEX_OSS_BASE_URL", "CODEX_OSS_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LM_API_TOKEN", "sk-lm-hush")
    (tmp_path / "lmbridge.toml").write_text("[lmstudio]\nurl = 'http://localhost:4321/v1'\n")
    manager = LMStudioManager()
    assert "http://localhost:4321" in repr(manager)
    assert "hush" not in repr(manager)
    (tmp_path / "lmbridge.toml").write_text("[lmstudio]\nurll = 'x'\n")
    with pytest.raises(ConfigInvalid, match="urll"):
        LMStudioManager()


def test_all_inference_settings_are_sent() -> None:
    assert InferenceSettings().sampling == Sampling(
        temperature=0.7, top_k=40, top_p=0.9, max_tokens=512, repeat_penalty=1.0
    )
    greedy = InferenceSettings(temperature=1.5, do_sample=False)
    assert greedy.sampling.temperature == 0.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 2.1),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_p", 1.1),
        ("top_k", -1),
        ("top_k", 1.5),
        ("top_k", True),
        ("max_new_tokens", 0),
        ("repetition_penalty", 0.9),
        ("repetition_penalty", "1"),
    ],
)
def test_a_value_out_of_its_range_is_told_by_its_name(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=f"`{name}`") as caught:
        InferenceSettings(**{name: value})  # type: ignore[arg-type]
    assert caught.value.param == name


def test_the_words_of_the_manager_are_public() -> None:
    wanted = {"ChatMessage", "InferenceSettings", "LMStudioClient", "LMStudioManager", "LMStudioSettings"}
    assert wanted | {"LMStudioStatus", "MessageRole"} <= set(lmbridge.__all__)
