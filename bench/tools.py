"""Whether the built-in model calls the right tool, with the right arguments: held-out tasks, through `act`.

The tasks are those that `models.evaluate` measures the bare model with: wordings and words that training never
saw; and the everyday ones in wordings of somebody else, who knew nothing of the training. Each has some tools on
offer and one call that is right; the model is asked greedily, and what it has carried out first is compared.
`python -m bench tools`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from models.corpus.source import Conversation, Source
from models.corpus.toolcalls import everyday_call, tool_call
from msgspec import Struct

from bench.report import Part, Target
from lmbridge.assembly import build_hub
from lmbridge.config import Config
from lmbridge.core.acting import ActOptions
from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.messages import Message, Tool
from lmbridge.core.model import Model
from lmbridge.core.requests import Sampling
from lmbridge.core.tools import ToolProgress, ToolResult

MODEL = "lmbridge-tiny"
SEED = 987_654
TASKS = 200
WANTED = 90.0
"""Percent of the tasks."""

KINDS: Mapping[str, tuple[Callable[[Source], Conversation], bool]] = {
    "everyday tools, up to three on offer": (everyday_call, False),
    "everyday tools, in somebody else's words": (everyday_call, True),
    "invented and everyday tools, up to four on offer": (tool_call, False),
}
"""What the tasks are made by, and whether they are in somebody else's words."""
WAYS: Mapping[str, ActOptions] = {"auto": {}, "required": {"tool_choice": "required"}}


class Recorder:
    """A box of the tools of one task: remembers what was called, and does nothing."""

    name = "task"

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools
        self.called: list[tuple[str, Mapping[str, object]]] = []

    async def tools(self) -> Sequence[Tool]:
        return self._tools

    async def call(
        self, name: str, arguments: Mapping[str, object], progress: ToolProgress | None = None
    ) -> ToolResult:
        self.called.append((name, arguments))
        return ToolResult("Done.")

    async def aclose(self) -> None:
        pass


class Tally(Struct):
    """Counts of tasks."""

    tasks: int = 0
    chosen: int = 0
    exact: int = 0


def tasks(kind: str, count: int) -> Iterator[Conversation]:
    """Held-out tasks."""
    make, others = KINDS[kind]
    source = Source(SEED, held_out=True, others=others)
    for _ in range(count):
        yield make(source)


async def judge(model: Model, made: Conversation, options: ActOptions, tally: Tally) -> None:
    """Let the model work, and compare what it did first."""
    wanted = made.messages[-1]["tool_calls"][0]["function"]
    box = Recorder([_tool(tool["function"]) for tool in made.tools or ()])
    before = [Message(m["role"], m["content"]) for m in made.messages[:-1]]
    with suppress(BrokenAnswer):  # it counts as wrong
        await model.act(before, [box], sampling=Sampling(temperature=0, max_tokens=200), max_rounds=2, **options)
    tally.tasks += 1
    if box.called:
        name, arguments = box.called[0]
        tally.chosen += name == wanted["name"]
        tally.exact += name == wanted["name"] and json.loads(json.dumps(arguments)) == wanted["arguments"]


def _tool(function: Mapping[str, object]) -> Tool:
    return Tool(str(function["name"]), str(function.get("description", "")), dict(function["parameters"]))


async def measure(count: int) -> dict[tuple[str, str], Tally]:
    """All kinds, asked in all ways."""
    found: dict[tuple[str, str], Tally] = {}
    with TemporaryDirectory(prefix="lmbridge-bench-") as home:
        async with build_hub(Config(home=Path(home), disabled=("lmstudio",))) as hub:
            model = await hub.model(MODEL)
            for kind in KINDS:
                for way, options in WAYS.items():
                    tally = found[kind, way] = Tally()
                    for made in tasks(kind, count):
                        await judge(model, made, options, tally)
    return found


def run(*, quick: bool = False, count: int = 0) -> Part:
    """Measure and judge."""
    count = count or (20 if quick else TASKS)
    found = asyncio.run(measure(count))
    part = Part(
        "tools",
        f"Tool calls of {MODEL} through act: {count} held-out tasks of each kind, greedy",
        ("", "tool_choice", "right tool", "exact call"),
    )
    for (kind, way), tally in found.items():
        chosen, exact = 100 * tally.chosen / tally.tasks, 100 * tally.exact / tally.tasks
        part.rows.append((kind, way, f"{chosen:.1f} %", f"{exact:.1f} %"))
        part.figures[f"{kind}, {way}"] = {"tasks": tally.tasks, "chosen": tally.chosen, "exact": tally.exact}
    for kind, way in ((kind, way) for kind in list(KINDS)[:2] for way in WAYS):
        tally, how = found[kind, way], f"{kind}, tool_choice {way}"
        part.targets.append(Target(f"right tool, {how}", 100 * tally.chosen / tally.tasks, WANTED, unit=" %"))
        part.targets.append(Target(f"exact call, {how}", 100 * tally.exact / tally.tasks, WANTED, unit=" %"))
    part.notes.append("a call is exact if every argument is, to the letter; `required` is for programs that know")
    return part
