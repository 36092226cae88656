"""A run of a model with tools as the gateway has it: signs of life, pictures, several boxes, what is counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.doors.gateway.asking import SESSION, Running, running
from tests.doors.gateway.lmstudio.streams import frames
from tests.doors.gateway.lmstudio.test_integrations import Acting, asking, kinds

from lmbridge.core.errors import EngineCrashed, ToolServerUnavailable
from lmbridge.core.events import Finished, TextDelta, Usage
from lmbridge.core.messages import ImagePart, TextPart, Tool
from lmbridge.core.tools import Toolbox, ToolProgress, ToolResult
from lmbridge.doors.gateway import GatewaySettings

PATH = "/api/v1/chat"
KEY = {"authorization": f"Bearer {SESSION}"}
QUICK = GatewaySettings(port=0, require_key=True, mcp=True, heartbeat_s=0.02)


class Box:
    """One tool, `look`, that does what the test says."""

    def __init__(self, name: str, result: ToolResult | Exception | asyncio.Event) -> None:
        self.name, self.result, self.calls = name, result, 0

    async def tools(self) -> Sequence[Tool]:
        return [Tool("look", "Look.", {"type": "object", "properties": {}})]

    async def call(
        self, name: str, arguments: Mapping[str, object], progress: ToolProgress | None = None
    ) -> ToolResult:
        self.calls += 1
        if isinstance(self.result, Exception):
            raise self.result
        if isinstance(self.result, asyncio.Event):
            await self.result.wait()
            return ToolResult("at last")
        return self.result

    async def aclose(self) -> None:
        """Nothing was opened."""


class Boxes:
    """Satisfies `ToolServers`."""

    def __init__(self) -> None:
        self.by_name: dict[str, Box] = {}

    async def of_user(self, name: str, only: Sequence[str] | None) -> Toolbox:
        return self.by_name[name]

    async def at(
        self, label: str, url: str, headers: Mapping[str, str], only: Sequence[str] | None, *, local: bool
    ) -> Toolbox:
        return self.by_name[label]

    async def aclose(self) -> None:
        """Nothing was opened."""


@pytest.fixture
def boxes() -> Boxes:
    return Boxes()


@pytest.fixture
def actor() -> Acting:
    return Acting()


@pytest.fixture
async def up(actor: Acting, boxes: Boxes, tmp_path: Path) -> AsyncIterator[Running]:
    async with running([actor], tmp_path, QUICK, servers=boxes) as one:
        yield one


async def test_while_a_tool_works_the_stream_shows_signs_of_life(up: Running, actor: Acting, boxes: Boxes) -> None:
    done = asyncio.Event()
    boxes.by_name["slow"] = Box("slow", done)
    actor.calls("look", {})
    body = json.dumps(asking("mcp/slow", stream=True)).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{up.port}\r\nauthorization: Bearer {SESSION}\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(20):
        await reader.readuntil(b"tool_call.arguments")
        for _ in range(2):
            await reader.readuntil(b": still waiting")
        done.set()
        await reader.readuntil(b"at last")
        await reader.readuntil(b"chat.end")
    writer.close()


async def test_a_picture_of_a_tool_is_told_and_shown_to_the_model(
    up: Running, actor: Acting, boxes: Boxes
) -> None:
    picture = (TextPart("there"), ImagePart("data:image/png;base64,aGk="))
    boxes.by_name["eye"] = Box("eye", ToolResult(picture))
    actor.calls("look", {})
    output: Any = (await up.post(PATH, asking("mcp/eye"), KEY)).json["output"]
    assert [part["type"] for part in json.loads(output[0]["output"])] == ["text", "image"]
    assert picture[1] in actor.asked[1].turns[-1].content  # type: ignore[operator]


async def test_tools_of_the_same_name_are_told_by_whose_they_are(up: Running, actor: Acting, boxes: Boxes) -> None:
    boxes.by_name = {"left": Box("left", ToolResult("l")), "right": Box("right", ToolResult("r"))}
    actor.calls("right_look", {})
    actor.calls("left_look", {"more": 1})
    actor.calls("look", {})
    output: Any = (await up.post(PATH, asking("mcp/left", "mcp/right"), KEY)).json["output"]
    assert [item.get("provider_info") for item in output[:2]] == [
        {"type": "plugin", "plugin_id": "mcp/right"},
        {"type": "plugin", "plugin_id": "mcp/left"},
    ]
    assert output[2]["metadata"]["type"] == "invalid_name"
    assert (boxes.by_name["left"].calls, boxes.by_name["right"].calls) == (1, 1)


async def test_a_box_that_breaks_is_told_to_the_model(up: Running, actor: Acting, boxes: Boxes) -> None:
    boxes.by_name["broken"] = Box("broken", ToolServerUnavailable("broken", "it is gone"))
    actor.calls("look", {})
    output: Any = (await up.post(PATH, asking("mcp/broken"), KEY)).json["output"]
    assert kinds(output) == ["tool_call", "message"]
    assert "it is gone" in output[0]["output"]


async def test_an_engine_that_crashes_after_a_call_ends_in_an_error_with_what_there_is(
    up: Running, actor: Acting, boxes: Boxes
) -> None:
    boxes.by_name["eye"] = Box("eye", ToolResult("seen"))

    async def crash(*_: object) -> ToolResult:
        actor.failure = EngineCrashed("actor", "killed by the test")
        return ToolResult("seen")

    boxes.by_name["eye"].call = crash  # type: ignore[method-assign]
    actor.calls("look", {})
    told = frames((await up.post(PATH, asking("mcp/eye", stream=True), KEY)).body)
    assert kinds(told)[-2:] == ["error", "chat.end"]
    assert kinds(told[-1]["result"]["output"]) == ["tool_call"]


async def test_words_between_calls_keep_their_place_and_all_rounds_are_counted(
    up: Running, actor: Acting, boxes: Boxes
) -> None:
    boxes.by_name["eye"] = Box("eye", ToolResult("seen"))
    actor.calls("look", {})
    actor.rounds[0].insert(0, TextDelta("Let me look."))
    actor.rounds.append([TextDelta("I cannot go on"), Finished("length", Usage(30, 7))])
    result: Any = (await up.post(PATH, asking("mcp/eye"), KEY)).json
    assert [item.get("content", item["type"]) for item in result["output"]] == [
        "Let me look.",
        "tool_call",
        "I cannot go on",
    ]
    assert (result["stats"]["input_tokens"], result["stats"]["total_output_tokens"]) == (40, 12)
