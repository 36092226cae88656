"""The native chat with servers of tools: a real MCP server, a model that does what the test says, real bytes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.doors.gateway.asking import SESSION, Running, running, until
from tests.doors.gateway.lmstudio.streams import frames, words
from tests.fakes.provider import ScriptedProvider
from tests.tools.mcp.conftest import ARGUMENTS, ROOT

from lmbridge.core.events import Event, Finished, PromptProgress, Started, TextDelta, ToolCallDelta, Usage
from lmbridge.core.models import Instance, ModelInfo
from lmbridge.core.requests import ChatRequest
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.machine.processes import exists
from lmbridge.tools.mcp.lending import Lending
from lmbridge.tools.mcp.servers import MCPServers

PATH = "/api/v1/chat"
KEY = {"authorization": f"Bearer {SESSION}"}
OPEN = GatewaySettings(port=0, require_key=True, mcp=True, ephemeral_mcp=True, ephemeral_mcp_local=True)
FAKE = {"command": sys.executable, "args": list(ARGUMENTS), "cwd": str(ROOT), "policy": "always"}


class Acting(ScriptedProvider):
    """Says, round by round, what it was told; then that it is done.

    Attributes:
        rounds: the events of each round. asked: the requests that came.
    """

    def __init__(self) -> None:
        super().__init__([ModelInfo("actor", "scripted", tools=True)])
        self.rounds: list[list[Event]] = []
        self.asked: list[ChatRequest] = []

    def calls(self, name: str, arguments: object) -> None:
        """One round more, in which it calls a tool."""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call = ToolCallDelta(0, f"call_{len(self.rounds)}", name, text)
        self.rounds.append([call, Finished("tool_calls", Usage(10, 5))])

    async def _events(self, instance: Instance, request: ChatRequest) -> AsyncIterator[Event]:
        self.asked.append(request)
        yield Started(self.id, instance.model.id)
        yield PromptProgress(1, 2)
        if self.failure is not None:
            raise self.failure
        for event in self.rounds.pop(0) if self.rounds else [TextDelta("Done."), Finished("stop", Usage(20, 3))]:
            yield event


@pytest.fixture
def actor() -> Acting:
    return Acting()


@pytest.fixture
def servers(tmp_path: Path) -> MCPServers:
    """One of the user's, agreed to."""
    found = MCPServers(tmp_path, {"fake": FAKE}, theirs=tmp_path / "none")
    found.consents.allow(found.entry("fake"))
    return found


@pytest.fixture
async def up(actor: Acting, servers: MCPServers, tmp_path: Path) -> AsyncIterator[Running]:
    async with running([actor], tmp_path, OPEN, servers=Lending(servers)) as one:
        yield one


def asking(*integrations: object, **fields: object) -> dict[str, object]:
    return {"model": "actor", "input": "What is 2 + 3?", "integrations": list(integrations), **fields}


def kinds(found: Sequence[dict[str, Any]]) -> list[str]:
    return [each["type"] for each in found]


async def test_a_server_of_the_user_is_used_and_every_call_is_told(up: Running, actor: Acting) -> None:
    actor.calls("add", {"a": 2, "b": 3})
    got = await up.post(PATH, asking("mcp/fake", stream=True), KEY)
    assert got.status == 200
    told = frames(got.body)
    plugin = {"type": "plugin", "plugin_id": "mcp/fake"}
    about = {"tool": "add", "arguments": {"a": 2, "b": 3}, "provider_info": plugin}
    assert [event for event in told if event["type"].startswith("tool_call.")] == [
        {"type": "tool_call.start", "tool": "add", "provider_info": plugin},
        {"type": "tool_call.arguments", **about},
        {"type": "tool_call.success", **about, "output": '[{"type":"text","text":"5"}]'},
    ]
    assert words(told) == "Done."
    result = told[-1]["result"]
    assert kinds(result["output"]) == ["tool_call", "message"]
    assert (result["stats"]["input_tokens"], result["stats"]["total_output_tokens"]) == (30, 8)
    again = actor.asked[1].turns
    assert [turn.role for turn in again] == ["user", "assistant", "tool"]
    assert again[2].text == "5"


async def test_without_a_stream_the_answer_says_the_same_and_the_conversation_goes_on_with_the_calls(
    up: Running, actor: Acting
) -> None:
    actor.calls("add", {"a": 2, "b": 3})
    first = (await up.post(PATH, asking({"type": "plugin", "id": "mcp/fake"}), KEY)).json
    assert kinds(first["output"]) == ["tool_call", "message"]  # type: ignore[arg-type]
    follow = asking(input="And now?", previous_response_id=first["response_id"])
    assert (await up.post(PATH, follow, KEY)).status == 200
    roles = [turn.role for turn in actor.asked[-1].turns]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


async def test_allowed_tools_narrow_what_the_model_is_told_of(up: Running, actor: Acting) -> None:
    wanted = {"type": "plugin", "id": "mcp/fake", "allowed_tools": ["add", "dotted.name/with letters"]}
    actor.calls("fail", {"reason": "x"})
    got = await up.post(PATH, asking(wanted, stream=True), KEY)
    assert [tool.name for tool in actor.asked[0].tools] == ["add", "dotted_name_with_letters"]
    failure = next(event for event in frames(got.body) if event["type"] == "tool_call.failure")
    assert failure["metadata"] == {"type": "invalid_name", "tool_name": "fail", "arguments": {"reason": "x"}}
    assert kinds(frames(got.body)[-1]["result"]["output"]) == ["invalid_tool_call", "message"]


async def test_wrong_arguments_are_a_failure_and_the_model_may_do_better(up: Running, actor: Acting) -> None:
    actor.calls("add", {"a": "two"})
    actor.calls("add", {"a": 1, "b": 1})
    got = (await up.post(PATH, asking("mcp/fake"), KEY)).json
    output: Any = got["output"]
    assert kinds(output) == ["invalid_tool_call", "tool_call", "message"]
    assert output[0]["metadata"]["type"] == "invalid_arguments"
    assert output[0]["metadata"]["provider_info"] == {"type": "plugin", "plugin_id": "mcp/fake"}


async def test_a_model_that_goes_round_and_round_is_an_error_with_what_there_is(
    up: Running, actor: Acting
) -> None:
    for _ in range(4):
        actor.calls("add", {"a": 1, "b": 1})
    told = frames((await up.post(PATH, asking("mcp/fake", stream=True), KEY)).body)
    assert kinds(told)[-2:] == ["error", "chat.end"]
    assert kinds(told[-1]["result"]["output"]) == ["tool_call", "tool_call"]
    for _ in range(4):
        actor.calls("add", {"a": 1, "b": 1})
    assert (await up.post(PATH, asking("mcp/fake"), KEY)).status == 502


async def test_a_server_that_crashes_in_a_call_is_told_to_the_model_and_used_again(
    up: Running, actor: Acting
) -> None:
    actor.calls("crash", {})
    actor.calls("add", {"a": 1, "b": 1})
    output: Any = (await up.post(PATH, asking("mcp/fake"), KEY)).json["output"]
    assert kinds(output) == ["tool_call", "tool_call", "message"]
    assert "ended with status 3" in output[0]["output"]
    assert output[1]["output"] == '[{"type":"text","text":"2"}]'


async def test_a_server_that_no_request_uses_any_more_is_ended_and_the_next_one_starts_it_anew(
    actor: Acting, servers: MCPServers, tmp_path: Path
) -> None:
    pids = set[int]()
    async with running([actor], tmp_path, OPEN, servers=Lending(servers, 0.01)) as up:
        for _ in range(2):
            actor.calls("pid", {})
            got = (await up.post(PATH, asking("mcp/fake"), KEY)).json
            output: Any = got["output"]
            pid = int(json.loads(output[0]["output"])[0]["text"])
            await until(lambda pid=pid: not exists(pid))  # type: ignore[misc]
            pids.add(pid)
    assert len(pids) == 2


async def test_who_leaves_in_the_middle_of_a_call_ends_it(up: Running, actor: Acting, tmp_path: Path) -> None:
    note = tmp_path / "note"
    actor.calls("slow", {"note": str(note)})
    body = json.dumps(asking("mcp/fake", stream=True)).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{up.port}\r\nauthorization: Bearer {SESSION}\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    await reader.readuntil(b"tool_call.arguments")
    async with asyncio.timeout(30):
        while not os.path.exists(f"{note}.begun"):  # noqa: ASYNC110, ASYNC240 - another process, which tells nobody
            await asyncio.sleep(0.01)
        writer.close()
        while not note.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_server_of_the_request_is_used_over_http(up: Running, actor: Acting, http_server: str) -> None:
    remote = {"type": "ephemeral_mcp", "server_label": "far", "server_url": http_server, "allowed_tools": ["add"]}
    actor.calls("add", {"a": 2, "b": 3})
    output: Any = (await up.post(PATH, asking(remote), KEY)).json["output"]
    assert output[0]["provider_info"] == {"type": "ephemeral_mcp", "server_label": "far"}
    assert [tool.name for tool in actor.asked[0].tools] == ["add"]


async def test_an_address_on_this_machine_or_without_encryption_needs_a_setting(
    actor: Acting, servers: MCPServers, tmp_path: Path, http_server: str
) -> None:
    settings = GatewaySettings(port=0, require_key=True, ephemeral_mcp=True)
    async with running([actor], tmp_path, settings, servers=Lending(servers)) as up:
        for url in (http_server, "http://10.0.0.1/mcp", "https://169.254.169.254/latest", "file:///etc/passwd"):
            remote = {"type": "ephemeral_mcp", "server_label": "far", "server_url": url}
            got = await up.post(PATH, asking(remote), KEY)
            assert got.status == 502, got.body
            assert (got.error["type"], got.error["param"]) == ("mcp_connection_error", "integrations")
    assert actor.asked == []


async def test_a_server_that_cannot_be_had_is_told_before_the_stream_begins(actor: Acting, tmp_path: Path) -> None:
    table = {
        "dies": {**FAKE, "env": {"FAKE_MCP": "dies"}},
        "asks": {**FAKE, "policy": "ask"},
        "new": FAKE | {"args": []},
    }
    found = MCPServers(tmp_path, table, theirs=tmp_path / "none")
    for name in ("dies", "asks"):
        found.consents.allow(found.entry(name))
    async with running([actor], tmp_path, OPEN, servers=Lending(found)) as up:
        got = await up.post(PATH, asking("mcp/dies", stream=True), KEY)
        assert (got.status, got.error["type"], got.error["param"]) == (502, "mcp_connection_error", "integrations")
        assert "no licence found" in str(got.error["message"])
        unknown = await up.post(PATH, asking("mcp/other"), KEY)
        assert (unknown.status, unknown.error["type"]) == (404, "plugin_connection_error")
        refused = await up.post(PATH, asking("mcp/new"), KEY)
        assert (refused.status, refused.error["param"]) == (403, "integrations")
        assert "lmbridge mcp servers allow new" in str(refused.error["message"])
        assert (await up.post(PATH, asking("lmstudio/rag"), KEY)).status == 400
        # Nobody can be asked here: what needs a question is not offered.
        asks = await up.post(PATH, asking("mcp/asks"), KEY)
        assert (asks.status, "lmbridge mcp servers allow asks TOOL" in str(asks.error["message"])) == (403, True)
        found.consents.set_tools(found.entry("asks"), ["add"], "always")
        assert (await up.post(PATH, asking("mcp/asks"), KEY)).status == 200
        assert [tool.name for tool in actor.asked[-1].tools] == ["add"]


async def test_both_kinds_are_off_by_default_and_for_callers_with_a_key_alone(
    actor: Acting, servers: MCPServers, tmp_path: Path
) -> None:
    remote = {"type": "ephemeral_mcp", "server_label": "far", "server_url": "https://h.example/mcp"}
    closed = GatewaySettings(port=0, require_key=True)
    keyless = GatewaySettings(port=0, mcp=True, ephemeral_mcp=True)
    for number, settings in enumerate((closed, keyless)):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with running([actor], folder, settings, servers=Lending(servers)) as up:
            for wanted in ("mcp/fake", remote):
                got = await up.post(PATH, asking(wanted), KEY)
                assert got.status == 403
                assert (got.error["type"], got.error["code"], got.error["param"]) == (
                    "invalid_request",
                    None,
                    "integrations",
                )
                assert "Permission denied to use plugin" in str(got.error["message"])
    assert actor.asked == []


async def test_a_changed_entry_is_started_anew_and_a_forbidden_one_is_not_used_any_more(
    actor: Acting, tmp_path: Path
) -> None:
    table: dict[str, object] = {"fake": {**FAKE, "env": {"FAKE_SECRET": "one"}}}
    found = MCPServers(tmp_path, table, theirs=tmp_path / "none")
    found.consents.allow(found.entry("fake"))
    async with running([actor], tmp_path, OPEN, servers=Lending(found)) as up:
        for value in ("one", "two"):
            table["fake"] = {**FAKE, "env": {"FAKE_SECRET": value}}
            actor.calls("environment", {"name": "FAKE_SECRET"})
            output: Any = (await up.post(PATH, asking("mcp/fake"), KEY)).json["output"]
            assert output[0]["output"] == f'[{{"type":"text","text":"{value}"}}]'
        found.consents.allow(found.entry("fake"), start=False)
        assert (await up.post(PATH, asking("mcp/fake"), KEY)).status == 403
