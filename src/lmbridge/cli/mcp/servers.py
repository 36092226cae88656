"""`lmbridge mcp servers …`: the MCP servers whose tools models here may use, and what the user agreed to."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from lmbridge.cli import ending, render
from lmbridge.cli.command import BridgeCommand, BridgeGroup, json_option
from lmbridge.cli.mcp.boxes import box_of, servers, show_start

if TYPE_CHECKING:
    from lmbridge.core.tools import ToolResult
    from lmbridge.machine.mcp.entries import Entry
    from lmbridge.tools.mcp.box import Described, MCPBox
    from lmbridge.tools.mcp.servers import MCPServers

T = TypeVar("T")


@click.group(
    "servers",
    cls=BridgeGroup,
    examples=[
        ("lmbridge mcp servers list", "those of LM Studio's mcp.json, and of lmbridge.toml"),
        ("lmbridge mcp servers allow files", "shows what would be started, and agrees to it"),
        ("lmbridge mcp servers tools files", "what it can do, and which of it is called without asking"),
        ('lmbridge mcp servers call files read_file \'{"path": "a.txt"}\'', "call a tool by hand"),
        ("lmbridge chat --mcp files", "let a model use it"),
    ],
)
def command() -> None:
    """MCP servers whose tools models here may use: from LM Studio's `mcp.json`, and `[mcp.NAME]` in lmbridge.toml.

    Nothing is started before you agreed to its exact command line, and again when that was changed.
    """


@command.command("list", cls=BridgeCommand, examples=[("lmbridge mcp servers list --json", "for programs")])
@json_option
def list_servers(as_json: bool) -> None:
    """List all servers, unusable ones too."""
    found = servers()
    entries, file = list(found.entries().values()), found.file
    if as_json:
        told = [_described(found, entry) for entry in entries]
        render.json({"servers": told, "file": str(file.path), "problem": file.problem})
        return
    if entries:
        rows = [(entry.name, _state(found, entry), entry.shown, entry.source) for entry in entries]
        render.table(("NAME", "STATE", "STARTED OR ASKED", "FROM"), rows, spare=("FROM",))
    elif not file.problem:
        render.sentence(f"There are no MCP servers: neither in {file.path} nor in lmbridge.toml.")
    if file.problem:
        render.note(f"{file.path}: {file.problem}.", "yellow")
    if file.needs_mending:
        render.note(
            f"{file.path} has a form that LM Studio does not read; `lmbridge mcp servers mend` changes it.", "dim"
        )


@command.command("show", cls=BridgeCommand, examples=[("lmbridge mcp servers show files", "never a secret")])
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one: how it is started or asked.

    Also what you agreed to. Values of its variables are never shown.
    """
    found = servers()
    entry = found.entry(name)
    told = _described(found, entry)
    if as_json:
        render.json(told)
        return
    answer = found.consents.answer(entry)
    for label, value in (
        ("Name", entry.name),
        ("From", entry.source),
        ("Command" if entry.command else "Address", entry.shown),
        ("Folder", entry.cwd),
        ("Variables" if entry.command else "Headers", ", ".join(entry.variables)),
        ("Only tools", ", ".join(entry.allowed_tools or ())),
        ("Ignored", ", ".join(entry.ignored)),
        ("State", _state(found, entry)),
        ("Answers", ", ".join(f"{tool}: {policy}" for tool, policy in answer.tools.items())),
    ):
        if value:
            render.line(f"{render.paint(f'{label:<12}', 'dim')}{render.printable(value)}")


@command.command("tools", cls=BridgeCommand, examples=[("lmbridge mcp servers tools files", "starts it")])
@click.argument("name")
@json_option
def tools(name: str, as_json: bool) -> None:
    """List its tools, resources and prompts."""

    async def work(box: MCPBox) -> None:
        from lmbridge.tools.mcp.rules import PROMPT

        offered = [(tool, box.policy_of(tool.name)) for tool in await box.tools()]
        resources, prompts = await box.resources(), await box.prompts()
        if as_json:
            render.json(
                {
                    "tools": [
                        {
                            "name": tool.name,
                            "policy": policy,
                            "description": tool.description,
                            "schema": tool.parameters,
                        }
                        for tool, policy in offered
                    ],
                    "left_out": box.left_out,
                    "resources": [
                        {**_of(each), "policy": box.rules.policy_of_resource(each.name)} for each in resources
                    ],
                    "prompts": [
                        {**_of(each), "policy": box.rules.policy_of(PROMPT), "arguments": list(each.arguments)}
                        for each in prompts
                    ],
                }
            )
            return
        rows: list[tuple[str, str, str, str]] = []
        rows += [("tool", tool.name, policy, _short(tool.description)) for tool, policy in offered]
        rows += [("tool", name, f"not offered: {why}", "") for name, why in box.left_out.items()]
        read, got = box.rules.policy_of_resource, box.rules.policy_of(PROMPT)
        rows += [("resource", each.name, read(each.name), _short(each.description)) for each in resources]
        rows += [("prompt", each.name, got, _short(each.description)) for each in prompts]
        render.table(("KIND", "NAME", "CALLED", "WHAT IT IS"), rows)

    _with_box(name, work)


@command.command(
    "allow",
    cls=BridgeCommand,
    examples=[
        ("lmbridge mcp servers allow files", "it may be started; its tools are asked for one by one"),
        ("lmbridge mcp servers allow files read_file", "this tool is called without asking"),
        ("lmbridge mcp servers allow files --all-tools", "all of them are"),
    ],
)
@click.argument("name")
@click.argument("tools", nargs=-1, metavar="[TOOL]...")
@click.option("--all-tools", is_flag=True, help="Call all its tools without asking.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def allow(name: str, tools: tuple[str, ...], all_tools: bool, yes: bool) -> None:
    """Agree to its command line, or to its tools.

    A server is started only after you saw its exact command line and agreed to it; one that is asked at an
    address needs no agreement. A tool that is named here is called without a question each time, also where
    nobody can be asked: by callers of the gateway.
    """
    from lmbridge.core.errors import ToolServerUnavailable

    found = servers()
    entry = found.entry(name)
    if entry.problem:
        raise ToolServerUnavailable(name, entry.problem, hint=f"Look at it in {entry.source}.")
    if found.consents.may_start(entry) is not True:
        show_start(entry)
        if not yes and not render.confirmed(f"May {name!r} be started with this?"):
            render.line("Nothing was changed.")
            return
        found.consents.allow(entry)
    if tools or all_tools:
        found.consents.set_tools(entry, _named(tools, all_tools), "always")
    what = "All tools" if all_tools else ", ".join(tools)
    may = "may be started" if entry.command else "may be used"
    render.line(f"{what} of {name!r}: called without asking." if what else f"{name!r} {may}.")
    forbidden = [tool for tool, said in found.consents.answer(entry).tools.items() if said == "never"]
    if all_tools and forbidden:
        render.note(f"What you forbade stays so: {render.printable(', '.join(forbidden))}.", "dim")


@command.command(
    "forbid",
    cls=BridgeCommand,
    examples=[
        ("lmbridge mcp servers forbid files", "it is not started any more"),
        ("lmbridge mcp servers forbid files delete_file", "this tool is never called"),
    ],
)
@click.argument("name")
@click.argument("tools", nargs=-1, metavar="[TOOL]...")
@click.option("--ask", is_flag=True, help="Do not forbid the tools: ask before each call, again.")
def forbid(name: str, tools: tuple[str, ...], ask: bool) -> None:
    """Take back what was agreed to."""
    found = servers()
    entry = found.entry(name)
    if ask and not tools:
        raise click.UsageError("--ask is for tools: name them, or `*` for all.")
    if tools:
        found.consents.set_tools(entry, tools, "ask" if ask else "never")
        render.line(f"{', '.join(tools)} of {name!r}: {'asked for each time' if ask else 'never called'}.")
        return
    found.consents.allow(entry, start=False)
    render.line(f"{name!r} is not used any more.")


@command.command("mend", cls=BridgeCommand, examples=[("lmbridge mcp servers mend", "shows the change, and asks")])
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def mend(yes: bool) -> None:
    """Bring mcp.json into LM Studio's form.

    Some instructions have a list under `servers`, which LM Studio does not read. The old file stays beside it.
    """
    from lmbridge.machine.mcp.files import mcp_json, mended, write_mended

    path = mcp_json()
    change = mended(path)
    if change is None:
        render.line(f"There is nothing to mend in {path}.")
        return
    render.line(render.printable(change.diff))
    if not yes and not render.confirmed("Write it so?"):
        render.line("Nothing was changed.")
        return
    aside = write_mended(change)
    render.line(f"Written. The file as it was: {aside}")


@command.command(
    "call",
    cls=BridgeCommand,
    examples=[('lmbridge mcp servers call files read_file \'{"path": "a.txt"}\'', "arguments as JSON")],
)
@click.argument("name")
@click.argument("tool")
@click.argument("arguments", default="{}", metavar="[JSON]")
@json_option
def call(name: str, tool: str, arguments: str, as_json: bool) -> int:
    """Call a tool by hand.

    Its arguments are one JSON object. The exit code is 6 if the tool fails.
    """
    given = _arguments(arguments)

    async def work(box: MCPBox) -> ToolResult:
        return await box.call(tool, given, None if as_json else _progress)

    result = _with_box(name, work)
    pictures = 0 if isinstance(result.content, str) else sum(hasattr(part, "url") for part in result.content)
    if as_json:
        render.json({"text": result.text, "pictures": pictures, "is_error": result.is_error})
    else:
        render.line(render.printable(result.text))
        if pictures:
            render.note(f"And {pictures} picture{'s' if pictures > 1 else ''}, not shown here.", "dim")
    return 6 if result.is_error else 0


def _with_box(name: str, work: Callable[[MCPBox], Awaitable[T]]) -> T:
    box = None

    async def use() -> T:
        nonlocal box
        box = box_of(servers(), name)
        try:
            return await work(box)
        finally:
            await box.aclose()

    return ending.run(use())


def _arguments(text: str) -> dict[str, object]:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"The arguments are not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise click.UsageError('The arguments are one JSON object, such as \'{"path": "a.txt"}\'.')
    return found


def _progress(share: float | None, word: str = "", /) -> None:
    part = "" if share is None else f"{share:.0%} "
    render.note(render.printable(f"{part}{word}"), "dim")


def _named(tools: tuple[str, ...], every: bool) -> list[str]:
    from lmbridge.machine.mcp.entries import EVERY

    return [*tools, *([EVERY] if every else [])]


def _state(found: MCPServers, entry: Entry) -> str:
    if entry.problem:
        return f"unusable: {entry.problem}"
    allowed = found.consents.may_start(entry)
    return "not agreed to yet" if allowed is None else "allowed" if allowed else "forbidden"


def _described(found: MCPServers, entry: Entry) -> dict[str, object]:
    """What programs are told of it: no value of a variable, and no secret of an address."""
    return {
        "name": entry.name,
        "source": entry.source,
        "state": _state(found, entry),
        "command": entry.shown if entry.command else None,
        "url": None if entry.command else entry.shown,
        "cwd": entry.cwd or None,
        "variables": list(entry.variables),
        "allowed_tools": entry.allowed_tools,
        "ignored": list(entry.ignored),
        "policies": found.consents.answer(entry).tools,
    }


def _of(each: Described) -> dict[str, object]:
    return {"name": each.name, "description": each.description}


def _short(text: str) -> str:
    return " ".join(text.split())[:200]
