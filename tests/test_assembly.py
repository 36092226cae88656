from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.fakes.extensions import Echo

import lmbridge
from lmbridge.assembly import build_providers, mcp_servers, tool_servers
from lmbridge.config import Config, load_config
from lmbridge.core.errors import (
    ConfigInvalid,
    ModelNotFound,
    ModelNotLoaded,
    NotRunning,
    ToolServerNotAllowed,
    ToolServerUnavailable,
)
from lmbridge.core.provider import ProviderContext
from lmbridge.machine.model_folders import BUILTIN


def config(tmp_path: Path, toml: str = "") -> Config:
    (tmp_path / "lmbridge.toml").write_text(toml)
    return load_config(environ={"LMBRIDGE_HOME": str(tmp_path)})


def test_lm_studio_and_the_engine_are_always_there_and_servers_only_where_they_are_named(tmp_path: Path) -> None:
    assert [p.id for p in build_providers(config(tmp_path))] == ["lmstudio", "embedded"]
    toml = '[openai]\nurl = "http://127.0.0.1:1"\n[openai.other]\nurl = "http://127.0.0.1:2"\n'
    assert [p.id for p in build_providers(config(tmp_path, toml))] == ["lmstudio", "embedded", "openai", "other"]


def test_a_table_that_no_provider_answers_to_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="Did you mean 'embedded'"):
        list(build_providers(config(tmp_path, "[embeded]\n")))
    with pytest.raises(ConfigInvalid, match="Did you mean 'gateway'"):
        list(build_providers(config(tmp_path, "[gatway]\n")))


def test_a_stray_variable_is_named_and_not_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMBRIDGE_LOG_LEVEL", "debug")
    monkeypatch.setenv("LMBRIDGE_HOME", str(tmp_path))
    (tmp_path / "lmbridge.toml").write_text('model = "a"\n')
    with pytest.raises(ConfigInvalid, match="LMBRIDGE_LOG_LEVEL: there is no table 'log'"):
        list(build_providers(load_config()))


def test_two_providers_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="there is a provider 'embedded' already"):
        list(build_providers(config(tmp_path, '[openai.embedded]\nurl = "http://127.0.0.1:1"\n')))


def test_an_empty_table_of_a_server_is_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="it has no `url`"):
        list(build_providers(config(tmp_path, "[openai]\n")))


def test_a_setting_that_a_provider_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="nonsense"):
        list(build_providers(config(tmp_path, "[embedded]\nnonsense = 1\n")))


async def test_a_gateway_that_must_be_there_and_is_not_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="lmbridge gateway start"):
        async with lmbridge.connect(config(tmp_path), gateway=True):
            pass


async def test_connect_answers_with_the_built_in_model(tmp_path: Path) -> None:
    async with lmbridge.connect(config(tmp_path), gateway=False) as hub:
        answer = await hub.answer(lmbridge.ChatRequest("lmbridge-tiny", "Hello"))
        vectors = await hub.embed(lmbridge.EmbedRequest("", ("one", "two")))
    assert answer.text
    assert (answer.provider, answer.finish.reason) == ("embedded", "stop")
    assert len(vectors.vectors) == 2


def test_the_blocking_twin_streams_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = _children()
    with lmbridge.sync.connect(config(tmp_path), gateway=False) as hub:
        with hub.chat(lmbridge.ChatRequest("lmbridge-tiny", "Hello")) as events:
            kinds = [type(event).__name__ for event in events]
        assert [s.model for s in hub.instances()] == ["lmbridge-tiny"]
        assert hub.resolve("lmbridge-tiny").provider == "embedded"
        assert [s.provider for s in hub.probe()] == ["lmstudio", "embedded"]
        assert [(row.name, row.calls) for row in hub.usage("task", since=1.0).rows] == [("python chat", 1)]
    assert (kinds[0], kinds[-1]) == ("Started", "Finished")
    assert _children() == before


def test_the_blocking_twin_takes_a_provider_and_lets_it_go(tmp_path: Path) -> None:
    with lmbridge.sync.connect(config(tmp_path), gateway=False) as hub:
        hub.register(Echo({"before": "> "}, ProviderContext(tmp_path, "echo")), before="lmstudio")
        assert [s.provider for s in hub.probe()] == ["echo", "lmstudio", "embedded"]
        assert hub.answer(lmbridge.ChatRequest("echo-model", "hi")).text == "> hi"
        hub.unregister("echo")
        with pytest.raises(ModelNotFound):
            hub.answer(lmbridge.ChatRequest("echo-model", "hi"))


def _children() -> list[str]:
    """Child processes of this one; [] where the system does not tell."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return path.read_text().split() if path.exists() else []


async def test_a_model_file_anywhere_is_named_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "some-model-q8_0.gguf"
    file.parent.mkdir()
    shutil.copy(BUILTIN / "lmbridge-tiny.gguf", file)
    async with lmbridge.connect(config(tmp_path), gateway=False, files=[file]) as hub:
        assert (await hub.resolve(str(file))).path == str(file)
        assert (await hub.answer(lmbridge.ChatRequest(str(file), "Hello"))).model == "some-model"


def test_a_disabled_provider_is_not_built_and_one_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    toml = 'disabled = ["embedded", "other"]\n[openai.other]\nurl = "http://127.0.0.1:2"\n'
    assert not {"embedded", "other"} & {p.id for p in build_providers(config(tmp_path, toml))}
    with pytest.raises(ConfigInvalid, match="'embeded', and there is no such provider"):
        list(build_providers(config(tmp_path, 'disabled = ["embeded"]\n')))


async def test_what_the_settings_say_of_models_in_memory_reaches_the_hub(tmp_path: Path) -> None:
    async with lmbridge.connect(config(tmp_path, "jit = false\ntruncate = true\n"), gateway=False) as hub:
        with pytest.raises(ModelNotLoaded, match="lmbridge load lmbridge-tiny"):
            await hub.answer(lmbridge.ChatRequest("lmbridge-tiny", "Hello"))
        await hub.load("lmbridge-tiny", lmbridge.LoadOptions(context_length=256))
        long = tuple(lmbridge.Message("user", "Hello! " * 30) for _ in range(20))
        assert (await hub.answer(lmbridge.ChatRequest("lmbridge-tiny", long))).finish.usage


WEATHER = Path(__file__).parents[1] / "docs" / "examples" / "mcp" / "weather_server.py"


async def test_an_mcp_server_is_a_box_of_tools_by_its_command_or_as_the_user_agreed(tmp_path: Path) -> None:
    settings = config(tmp_path, f'[mcp.mine]\ncommand = "{sys.executable}"\nargs = ["{WEATHER}"]\n')
    typed = lmbridge.mcp_server("w", command=f"{sys.executable} {WEATHER}", env={"A": "1"}, config=settings)
    async with typed as box:
        assert box.name == "w"
        assert (await box.call("get_weather", {"city": "Oslo"})).text == "18 degrees and sunny in Oslo"
    with pytest.raises(ToolServerNotAllowed):
        lmbridge.mcp_server("mine", config=settings)
    servers = mcp_servers(settings)
    servers.consents.allow(servers.entry("mine"))
    async with lmbridge.mcp_server("mine", config=settings) as box:
        assert [tool.name for tool in await box.tools()] == ["get_weather"]
    lent = tool_servers(settings)
    assert await (await lent.of_user("mine", None)).tools() == []  # nobody can be asked about them
    await lent.aclose()


def test_an_mcp_server_that_cannot_be_is_refused_at_once(tmp_path: Path) -> None:
    settings = config(tmp_path)
    for given in ({"url": "nothing"}, {"command": "a", "url": "https://b.example"}, {"command": "a 'b"}):
        with pytest.raises(ToolServerUnavailable):
            lmbridge.mcp_server(**given, config=settings)  # type: ignore[arg-type]
    far = lmbridge.mcp_server(url="https://a.example/mcp", headers={"Authorization": "x"}, config=settings)
    assert far.name == "a.example"
