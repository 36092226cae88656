"""What people are shown of a change: as a diff, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lmbridge.cli import render
from lmbridge.hub.keys import PREFIX
from lmbridge.machine.programs.plan import FilePlan

OUR_KEYS = re.compile(rf"{re.escape(PREFIX)}[\w-]{{20,}}")
STYLES = {"+": ("green",), "-": ("red",), "@": ("cyan",)}


def diffs(plans: Iterable[FilePlan], hide: Sequence[str] = ()) -> None:
    """Show what would become of each file, to standard error: the question comes after it.

    Args:
        hide: keys that are not to be seen.
    """
    for plan in plans:
        for line in plan.diff():
            shown = render.printable(_hidden(line, hide))
            render.as_it_is(shown, *(("bold",) if line[:3] in ("+++", "---") else STYLES.get(line[:1], ())))


def text_of(plans: Iterable[FilePlan], hide: Sequence[str] = ()) -> str:
    """The same as one text."""
    return "\n".join(_hidden(line, hide) for plan in plans for line in plan.diff())


def _hidden(line: str, hide: Sequence[str]) -> str:
    """A line without keys."""
    for key in hide:
        line = line.replace(key, "KEY")
    return OUR_KEYS.sub("KEY", line)


def listed(words: Sequence[str]) -> str:
    """Words for people: `a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)
