"""`python -m openai_mcp_server` as hosts start it, before the fake OpenAI server and before a gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from tests.doors.gateway.asking import SESSION, running
from tests.doors.mcp.asking import MODES, error_of, text_of
from tests.fakes.openai_server import FakeOpenAI, fake_openai
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.models import ModelInfo
from lmbridge.machine.gateway_file import GatewayFile
from lmbridge.version import __version__

modes = pytest.mark.parametrize("mode", MODES)


def environment(home: Path, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LMBRIDGE_", "OPENAI_"))}
    return {**own, "LMBRIDGE_HOME": str(home), **more}


@asynccontextmanager
async def connected(env: dict[str, str], *arguments: str, mode: str = "legacy") -> AsyncIterator[Client]:
    program = ["-m", "openai_mcp_server", *arguments]
    parameters = StdioServerParameters(command=sys.executable, args=program, env=env)
    async with Client(stdio_client(parameters), mode=mode) as client:
        yield client


def run(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openai_mcp_server", *arguments],
        env=environment(home, **env),
        input="",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
async def upstream() -> AsyncIterator[FakeOpenAI]:
    async with fake_openai(key="sk-test") as server:
        yield server


@modes
async def test_the_models_of_a_server_are_served_with_its_key(
    upstream: FakeOpenAI, tmp_path: Path, mode: str
) -> None:
    env = environment(tmp_path, OPENAI_BASE_URL=upstream.url, OPENAI_API_KEY="sk-test")
    async with connected(env, mode=mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        listed = await client.call_tool("list_models", {})
        answer = await client.call_tool("chat", {"prompt": "hello"})
        vectors = await client.call_tool("embed", {"texts": ["a"]})
    assert names == {"chat", "complete", "embed", "list_models", "status"}
    assert [one["name"] for one in listed.structured_content["models"]] == ["fake-chat", "fake-embed"]
    assert text_of(answer) == "You said: hello "
    assert vectors.structured_content["dimensions"] == 3
    assert upstream.headers["authorization"] == "Bearer sk-test"


async def test_a_model_can_be_chosen_for_calls_that_name_none(upstream: FakeOpenAI, tmp_path: Path) -> None:
    upstream.models = [{"id": "first"}, {"id": "second"}]
    env = environment(tmp_path, OPENAI_BASE_URL=upstream.url, OPENAI_API_KEY="sk-test")
    async with connected(env, "--model", "second") as client:
        answer = await client.call_tool("chat", {"prompt": "hello"})
    assert answer.structured_content["model"] == "second"


async def test_a_key_that_is_refused_is_a_result_that_says_so(upstream: FakeOpenAI, tmp_path: Path) -> None:
    env = environment(tmp_path, OPENAI_BASE_URL=upstream.url, OPENAI_API_KEY="sk-wrong")
    async with connected(env) as client:
        result = await client.call_tool("chat", {"prompt": "hello", "model": "fake-chat"})
    assert error_of(result)["code"] == "no_models"
    assert "refuses" in text_of(result)
    assert "API key" in text_of(result)
    assert "sk-wrong" not in text_of(result)


async def test_a_server_that_is_down_is_a_result_that_says_so(tmp_path: Path) -> None:
    env = environment(tmp_path, OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    async with connected(env) as client:
        result = await client.call_tool("chat", {"prompt": "hello", "model": "x"})
        status = await client.call_tool("status", {})
    assert error_of(result)["code"] == "no_models"
    assert "nothing answers at 127.0.0.1:9" in text_of(result)
    assert status.structured_content["providers"][0]["state"] == "unavailable"


async def test_without_an_address_the_running_gateway_is_asked(tmp_path: Path) -> None:
    scripted = ScriptedProvider([ModelInfo("there", "scripted")])
    async with running([scripted], tmp_path) as gateway:
        GatewayFile.of_this_process(gateway.url, SESSION, __version__).write(tmp_path)
        async with connected(environment(tmp_path)) as client:
            listed = await client.call_tool("list_models", {})
            status = await client.call_tool("status", {})
    assert [one["name"] for one in listed.structured_content["models"]] == ["there"]
    assert status.structured_content["where"] == gateway.url


def test_the_help_tells_which_variables_are_read(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert "OPENAI_BASE_URL" in done.stdout
    assert "OPENAI_API_KEY" in done.stdout


def test_an_address_that_is_none_is_told_and_not_a_fault(tmp_path: Path) -> None:
    done = run(tmp_path, OPENAI_BASE_URL="ftp://example.org")
    assert done.returncode == 12
    assert done.stdout == ""
    assert "OPENAI_BASE_URL" in done.stderr
    assert "http://" in done.stderr


def test_the_manifest_is_an_entry_without_the_key(tmp_path: Path) -> None:
    done = run(tmp_path, "--manifest", OPENAI_API_KEY="sk-secret", OPENAI_BASE_URL="http://127.0.0.1:8000/v1")
    (entry,) = json.loads(done.stdout)["mcpServers"].values()
    assert entry["args"] == ["-m", "openai_mcp_server"]
    assert entry["env"]["OPENAI_BASE_URL"] == "http://127.0.0.1:8000/v1"
    assert "sk-secret" not in done.stdout


def test_a_host_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are made otherwise there")
def test_a_person_who_types_it_is_told_what_it_waits_for(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "openai_mcp_server"]
    with subprocess.Popen(
        command, env=environment(tmp_path), stdin=theirs, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        assert "`python -m openai_mcp_server --manifest` prints the entry" in server.stderr.readline()
        server.terminate()
    os.close(ours)
    os.close(theirs)


def test_a_folder_that_is_called_like_the_package_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "mcp").mkdir()
    hidden = (
        "import sys; sys.modules['mcp_types'] = None; import openai_mcp_server.__main__ as it; sys.exit(it.main())"
    )
    env = environment(tmp_path, PYTHONPATH=str(tmp_path))
    command = [sys.executable, "-c", hidden]
    done = subprocess.run(command, input="", capture_output=True, text=True, env=env, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert "pip install 'lmbridge[mcp]'" in done.stderr
