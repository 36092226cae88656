from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from tests.fakes.openai_server import FakeOpenAI, fake_openai

import lmbridge
from lmbridge.config import load_config
from lmbridge.core.handle import ProviderHandle
from lmbridge.core.messages import Tool
from lmbridge.sync.provider import BlockingProvider


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(fake_openai()) as fake:
        yield fake


def methods(of: type) -> dict[str, inspect.Signature]:
    found = inspect.getmembers(of, inspect.isfunction)
    return {n: inspect.signature(f).replace(return_annotation="") for n, f in found if not n.startswith("_")}


def test_the_blocking_twin_has_the_same_methods() -> None:
    assert methods(BlockingProvider) == methods(ProviderHandle)


def test_every_method_does_what_the_other_does(tmp_path: Path, server: FakeOpenAI) -> None:
    settings = f'disabled = ["lmstudio"]\ndefault_provider = "fake"\n[openai.fake]\nurl = "{server.url}"\n'
    (tmp_path / "lmbridge.toml").write_text(settings)
    config = load_config(environ={"LMBRIDGE_HOME": str(tmp_path)})
    with lmbridge.sync.connect(config, gateway=False) as hub:
        assert hub.default_provider() == "fake"
        assert [m.id for m in hub.refresh("fake") if m.provider == "fake"] == ["fake-chat", "fake-embed"]
        fake = hub.provider("fake")
        assert fake.id == "fake"
        assert fake.is_configured()
        assert fake.state().state == "ready"
        fake.reset_client()
        assert [m.id for m in fake.models()] == [m.id for m in fake.refresh_models()] == ["fake-chat"]
        assert fake.capabilities().models == ("fake-chat",)
        assert fake.complete("Hello").text
        assert hub.provider().chat("Hello").provider == "fake"
        with fake.stream("Hello") as events:
            assert [type(event).__name__ for event in events][-1] == "Finished"
        tool = Tool("look_up", "Looks it up.")
        assert fake.complete_with_tools("Hello", [tool], tool_choice="required").stop_reason == "tool_use"
