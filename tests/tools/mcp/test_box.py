"""A real MCP server as a toolbox: what it gives back, and what becomes of everything it does wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.tools.mcp.conftest import box_of, entry

from lmbridge.core.depth import deeper
from lmbridge.core.errors import InvalidRequest, MissingExtra, ToolServerNotAllowed, ToolServerUnavailable
from lmbridge.core.messages import ImagePart, TextPart
from lmbridge.core.tools import Toolbox
from lmbridge.machine.mcp.entries import Entry
from lmbridge.machine.processes import exists
from lmbridge.tools.mcp import box as module
from lmbridge.tools.mcp import extra, lists
from lmbridge.tools.mcp.box import MCPBox
from lmbridge.tools.mcp.rules import Rules


async def until(true: Callable[[], Awaitable[bool]] | Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


async def test_tools_are_listed_with_names_that_models_accept_and_called() -> None:
    async with box_of(entry()) as box:
        assert isinstance(box, Toolbox)
        tools = {tool.name: tool for tool in await box.tools()}
        assert tools["add"].description == "Add two numbers."
        assert tools["add"].parameters["required"] == ["a", "b"]
        assert {"dotted_name_with_letters", "list_resources", "read_resource"} <= set(tools)
        assert (await box.call("add", {"a": 2, "b": 3})).text == "5"
        assert (await box.call("dotted_name_with_letters", {})).text == "dotted"
        assert (await box.call("nothing", {})).is_error
        failed = await box.call("fail", {"reason": "x"})
        assert failed.is_error
        assert "fail" in failed.text
        wrong = await box.call("add", {"a": "two"})
        assert wrong.is_error


async def test_a_picture_comes_as_a_picture_and_too_much_text_is_cut_off_and_says_so() -> None:
    async with box_of(entry()) as box:
        result = await box.call("picture", {})
        words, shown = result.content
        assert words == TextPart("a pixel")
        assert isinstance(shown, ImagePart)
        assert shown.url.startswith("data:image/png;base64,")
        cut = await box.call("huge", {"letters": 300_000})
        assert cut.text.endswith("[100000 more characters are cut off]")
        # More than one message may be: the server is given up, and started anew for the next call.
        lost = await box.call("huge", {"letters": 40 * 2**20})
        assert lost.is_error
        assert "more than 32 MiB" in lost.text
        assert (await box.call("add", {"a": 1, "b": 1})).text == "2"


async def test_progress_is_told() -> None:
    told: list[tuple[float | None, str]] = []
    async with box_of(entry()) as box:
        result = await box.call("steps", {"count": 2}, lambda share, word: told.append((share, word)))
        assert result.text == "done"
        await until(lambda: len(told) == 2)
    assert told == [(0.5, "step 1"), (1.0, "step 2")]


async def test_cancelling_a_call_cancels_it_at_the_server_and_the_next_call_is_answered(tmp_path: Path) -> None:
    note = tmp_path / "note"
    async with box_of(entry()) as box:
        await box.tools()
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(box.call("slow", {"note": str(note)}))
            await until((tmp_path / "note.begun").exists)
            call.cancel()
        await until(note.exists)
        assert (await box.call("add", {"a": 1, "b": 2})).text == "3"


async def test_a_call_that_takes_too_long_is_given_up_and_cancelled(tmp_path: Path) -> None:
    note = tmp_path / "note"
    async with box_of(entry(call_timeout_s=0.5)) as box:
        result = await box.call("slow", {"note": str(note)})
        assert result.is_error
        assert "within 0.5 s" in result.text
        await until(note.exists)


async def test_a_server_that_crashes_in_a_call_says_how_and_is_started_anew_for_the_next() -> None:
    async with box_of(entry()) as box:
        result = await box.call("crash", {"status": 9})
        assert result.is_error
        assert "ended with status 9: the disk is on fire (…)" in result.text
        assert (await box.call("add", {"a": 1, "b": 2})).text == "3"


async def test_an_error_of_a_servers_own_that_has_the_number_of_a_lost_connection_is_its_own() -> None:
    code = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    if 'id' not in asked: continue\n"
        "    tools = [{'name': 'busy', 'inputSchema': {'type': 'object'}}]\n"
        "    answers = {'initialize': {'protocolVersion': '2025-06-18', 'capabilities': {'tools': {}},\n"
        "        'serverInfo': {'name': 's', 'version': '1'}}, 'tools/list': {'tools': tools}}\n"
        "    answer = {'result': answers[asked['method']]} if asked['method'] in answers else {\n"
        "        'error': {'code': -32000, 'message': 'too busy'}}\n"
        "    print(json.dumps({'jsonrpc': '2.0', 'id': asked['id'], **answer}), flush=True)\n"
    )
    async with box_of(entry(args=("-c", code))) as box:
        for _ in range(2):
            assert (await box.call("busy", {})).text == "busy failed: too busy"


async def test_new_tools_are_known_once_the_server_tells() -> None:
    async with box_of(entry()) as box:
        assert "grown" not in {tool.name for tool in await box.tools()}
        await box.call("grow", {})

        async def there() -> bool:
            return "grown" in {tool.name for tool in await box.tools()}

        await until(there)
        assert (await box.call("grown", {})).text == "new"


async def test_resources_and_prompts_can_be_had() -> None:
    async with box_of(entry()) as box:
        assert [each.name for each in await box.resources()] == ["memo://today", "memo://picture"]
        assert (await box.read_resource("memo://today")).text == "Water the plants."
        assert isinstance((await box.read_resource("memo://picture")).content, tuple)
        with pytest.raises(InvalidRequest, match="said"):
            await box.read_resource("memo://nothing")
        assert "memo://today: What there is to do today." in (await box.call("list_resources", {})).text
        assert (await box.call("read_resource", {"uri": "memo://today"})).text == "Water the plants."
        assert (await box.call("read_resource", {"uri": "memo://nothing"})).is_error
        [prompt] = await box.prompts()
        assert (prompt.name, prompt.arguments) == ("greet", ("name",))
        [turn] = await box.prompt("greet", {"name": "Eva"})
        assert (turn.role, turn.text) == ("user", "Greet Eva in one word.")
        with pytest.raises(InvalidRequest, match="said"):
            await box.prompt("greet", {})


async def test_whoever_reads_a_resource_or_gets_a_prompt_keeps_to_the_rules() -> None:
    policy = {"memo://today": "never", "memo://picture": "always", "get_prompt": "never"}
    async with box_of(entry(policy=policy)) as box:
        assert [each.name for each in await box.resources()] == ["memo://today", "memo://picture"]
        await box.tools()
        assert box.policy_of("read_resource") == "ask"
        assert box.policy_of("read_resource", {"uri": "memo://picture"}) == "always"
        with pytest.raises(ToolServerNotAllowed, match=r"'memo://today' is not allowed.*allow fake read_resource"):
            await box.read_resource("memo://today")
        refused = await box.call("read_resource", {"uri": "memo://today"})
        assert (refused.text, refused.is_error) == ("The user does not allow this call of read_resource.", True)
        assert isinstance((await box.read_resource("memo://picture")).content, tuple)
        assert not (await box.call("read_resource", {"uri": "memo://picture"})).is_error
        with pytest.raises(ToolServerNotAllowed, match="'greet' is not allowed"):
            await box.prompt("greet", {"name": "Eva"})
    async with box_of(entry(allowed_tools=("add",))) as narrow:
        with pytest.raises(ToolServerNotAllowed, match="allowed_tools"):
            await narrow.read_resource("memo://today")
    async with box_of(entry(policy="ask"), rules=Rules.of(entry(policy="ask"), attended=False)) as alone:
        with pytest.raises(ToolServerNotAllowed):
            await alone.read_resource("memo://today")


async def test_what_a_server_prints_besides_messages_does_not_disturb() -> None:
    async with box_of(entry("chatty")) as box:
        assert (await box.call("add", {"a": 1, "b": 2})).text == "3"


async def test_a_server_that_ends_at_its_start_says_why() -> None:
    async with box_of(entry("dies")) as box:
        with pytest.raises(ToolServerUnavailable, match="it ended with status 5: no licence found"):
            await box.tools()


async def test_a_server_that_never_answers_is_ended() -> None:
    async with box_of(entry("silent", start_timeout_s=0.5)) as box:
        with pytest.raises(ToolServerUnavailable, match=r"not ready within 0\.5 s"):
            await box.tools()


async def test_a_program_that_is_no_server_is_an_error() -> None:
    async with box_of(entry("endless")) as box:
        with pytest.raises(ToolServerUnavailable):
            await box.tools()


async def test_closing_ends_the_process_even_if_it_wants_to_stay() -> None:
    box = MCPBox(entry("stays"))
    await box.tools()
    pid = int((await box.call("pid", {})).text)
    await box.aclose()
    await box.aclose()
    await until(lambda: not exists(pid))
    with pytest.raises(ToolServerUnavailable, match="closed"):
        await box.call("add", {"a": 1, "b": 2})


async def test_the_rules_decide_what_is_offered_and_what_is_called() -> None:
    made = entry(allowed_tools=("add", "fail", "picture"), policy={"fail": "never", "add": "ask"})
    async with box_of(made) as box:
        assert {tool.name for tool in await box.tools()} == {"add", "picture"}
        assert box.left_out["fail"] == "forbidden"
        assert box.left_out["crash"] == "not among the allowed tools"
        assert (box.policy_of("add"), box.policy_of("crash")) == ("ask", "never")
        assert (await box.call("fail", {"reason": "x"})).text == "fail is not to be called: forbidden."
    async with box_of(made, rules=Rules.of(made, only=["add"], attended=False)) as box:
        assert await box.tools() == ()
        assert box.left_out["add"] == "nobody can be asked here"


async def test_a_tool_that_is_forbidden_while_it_is_known_is_not_called() -> None:
    policies = {"add": "always"}
    async with box_of(entry(), rules=Rules(lambda tool: policies.get(tool, "never"))) as box:  # type: ignore[arg-type,return-value]
        assert [tool.name for tool in await box.tools()] == ["add"]
        policies["add"] = "never"
        assert (await box.call("add", {"a": 1, "b": 2})).text == "add is not to be called: forbidden."


async def test_too_many_tools_are_refused_and_the_setting_that_helps_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_TOOLS", 3)
    async with box_of(entry()) as box:
        with pytest.raises(ToolServerUnavailable, match="allowed_tools"):
            await box.tools()
    async with box_of(entry(allowed_tools=("add",))) as box:
        assert [tool.name for tool in await box.tools()] == ["add"]


async def test_a_tool_with_a_schema_without_end_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST_SCHEMA", 100)
    async with box_of(entry()) as box:
        assert "add" not in {tool.name for tool in await box.tools()}
        assert "KiB" in box.left_out["add"]


def test_an_entry_with_a_problem_is_no_box() -> None:
    with pytest.raises(ToolServerUnavailable, match="switched off"):
        MCPBox(Entry(name="x", command="a", source="mcp.json", problem="it is switched off there"))


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'lmbridge\[mcp\]'"):
        MCPBox(entry())


async def test_over_http_it_is_the_same(http_server: str, tmp_path: Path) -> None:
    made = Entry(name="web", url=http_server, policy="always")
    async with box_of(made) as box:
        assert "add" in {tool.name for tool in await box.tools()}
        assert (await box.call("add", {"a": 2, "b": 3})).text == "5"
        assert isinstance((await box.call("picture", {})).content, tuple)
        told: list[float | None] = []
        assert (await box.call("steps", {"count": 2}, lambda share, _: told.append(share))).text == "done"
        await until(lambda: len(told) == 2)
        note = tmp_path / "note"
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(box.call("slow", {"note": str(note)}))
            await until((tmp_path / "note.begun").exists)
            call.cancel()
        await until(note.exists)
        assert (await box.read_resource("memo://today")).text == "Water the plants."
        lost = await box.call("huge", {"letters": 40 * 2**20})
        assert lost.is_error
        assert (await box.call("add", {"a": 1, "b": 1})).text == "2"


async def test_nobody_at_an_address_is_an_error_and_so_is_something_else() -> None:
    async with box_of(Entry(name="web", url="http://127.0.0.1:9/mcp", start_timeout_s=10)) as box:
        with pytest.raises(ToolServerUnavailable):
            await box.tools()


async def test_a_call_that_comes_by_way_of_a_server_of_ours_is_not_answered_by_another_one(tmp_path: Path) -> None:
    home = {"LMBRIDGE_HOME": str(tmp_path), "LMBRIDGE_DISABLED": "lmstudio"}
    ours = entry(args=("-m", "lmbridge", "mcp", "--no-gateway"), env=home)
    async with box_of(ours) as box:
        assert not (await box.call("status", {})).is_error
        with deeper():
            refused = await box.call("status", {})
    assert refused.is_error
    assert "round and round" in refused.text
