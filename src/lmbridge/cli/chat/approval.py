"""A person is asked before each call: yes, always, edit, no with a reason."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from prompt_toolkit import PromptSession
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.output import create_output

from lmbridge.cli import render
from lmbridge.core.acting import Allow, CallRequested, Decision, Deny, Edit
from lmbridge.core.errors import Cancelled
from lmbridge.core.json_schema import problems
from lmbridge.core.tools import Toolbox

MOST_LINES = 20
"""Lines of a call that are shown at once; the rest when it is edited."""


@runtime_checkable
class Ruled(Protocol):
    """A box with rules of its own for its tools."""

    def policy_of(self, name: str, arguments: Mapping[str, object] = {}) -> str:
        """`always`, `ask` or `never`."""


class Approval:
    """Satisfies `core.acting.Approve`, by asking on the terminal.

    Args:
        boxes: one with rules of its own (`Ruled`) is not asked about where they say `always`.
    """

    def __init__(self, boxes: Sequence[Toolbox]) -> None:
        self._boxes = boxes
        names = Counter(box.name for box in boxes)
        # Where two boxes have one name, the rules of one would count for the other.
        self._rules = {box.name: box for box in boxes if isinstance(box, Ruled) and names[box.name] == 1}
        self._always: set[tuple[str, str]] = set()

    async def __call__(self, request: CallRequested) -> Decision:
        """What the person decides.

        Raises:
            Cancelled: Ctrl-C or Ctrl-D instead of an answer.
        """
        try:
            return await self._asked(request)
        except (KeyboardInterrupt, EOFError):
            raise Cancelled from None

    async def _asked(self, request: CallRequested) -> Decision:
        rule = self._rules.get(request.box)
        if (request.box, request.call.name) in self._always or (
            rule is not None and rule.policy_of(request.tool, request.arguments) == "always"
        ):
            return Allow()
        render.note(whole(request), hang=2)
        while True:
            said = (await _line("Call it? [y]es, [a]lways, [e]dit, [n]o and why: ")).strip()
            word, _, reason = said.partition(" ")
            match word.lower():
                case "y" | "yes":
                    return Allow()
                case "a" | "always":
                    self._always.add((request.box, request.call.name))
                    return Allow()
                case "e" | "edit":
                    if (edited := await _edited(request)) is None:
                        continue
                    if not (wrong := await self._wrong(request, edited)):
                        return edited
                    render.note(render.printable(f"It cannot be called so: {wrong}"), "yellow")
                case "n" | "no":
                    return Deny(reason.strip())
                case _ if len(said) > 1:  # one other key was pressed by mistake: it is asked again
                    return Deny(said)

    async def _wrong(self, request: CallRequested, edited: Edit) -> str:
        """What keeps a call from being made with other arguments; "" for nothing."""
        for box in self._boxes:
            for tool in await box.tools() if box.name == request.box else ():
                if tool.name == request.tool:
                    return next(problems(edited.arguments, tool.parameters), "")
        return ""


async def _edited(request: CallRequested) -> Edit | None:
    """The arguments as the person wants them; None if that is no JSON object."""
    text = await _line("Arguments: ", json.dumps(request.arguments, ensure_ascii=False))
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        render.note(f"That is not JSON: {error}.", "yellow")
        return None
    if not isinstance(found, dict):
        render.note('That is no JSON object: {"name": value, …}.', "yellow")
        return None
    return Edit(found)


async def _line(question: str, default: str = "") -> str:
    # What was typed while the model wrote is no answer to a question that had not been asked.
    _forget_keys()
    session: PromptSession[str] = PromptSession(history=InMemoryHistory(), output=create_output(stdout=sys.stderr))
    return await session.prompt_async(question, default=default, handle_sigint=False)


def _forget_keys() -> None:
    if sys.platform != "win32" and sys.stdin.isatty():
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def brief(request: CallRequested, room: int = 60) -> str:
    """A call on one line: `create_file(path="notes.txt", content="hello…")`."""
    shown = (f"{name}={_short(value, room)}" for name, value in request.arguments.items())
    return render.printable(f"{request.call.name}({', '.join(shown)})")


def _short(value: object, room: int) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= room else f"{text[: room - 1]}…"


def whole(request: CallRequested) -> str:
    """A call as it is asked about: every argument in full, as far as that is to be read."""
    where = f" of {request.box}" if request.box else ""
    lines = [f"The model wants to call {request.call.name}{where}:"]
    for name, value in request.arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines += [
            f"  {name}: {part}" if not at else f"    {part}" for at, part in enumerate(text.split("\n") or [""])
        ]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"  … {len(lines) - MOST_LINES} lines more; edit shows all"]
    return render.printable("\n".join(lines))
