"""What people are shown of a change: as a diff, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lmbridge.cli import render
from lmbridge.hub.keys import PREFIX
from lmbridge.machine.programs.plan import FilePlan
from lmbridge.machine.programs.program import NO_KEY

KEYS = re.compile(rf"(?:{re.escape(PREFIX)}|sk-|ghp_|github_pat_|hf_|xox[a-z]-)[\w-]{{16,}}")
"""Keys that are known by how they begin: ours, and those of others that stand beside our lines."""
SECRETS = re.compile(
    r"""([\w.-]*(?:api_?keys?|token|secret|password|authorization)["']?[ \t]*[:=][ \t]*)"""
    r"""("(?:[^"\\]|\\.)+"|'[^']+'|[^\s"',{}\[\]]*[^\s"',{}\[\]\d][^\s"',{}\[\]]*)""",
    re.IGNORECASE,
)
"""A value whose name tells that it is secret, in any of the languages; a number is none."""
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
    return SECRETS.sub(_named_alone, KEYS.sub("KEY", line))


def _named_alone(secret: re.Match[str]) -> str:
    """The name of a secret, and what says that no key is needed."""
    name, value = secret.groups()
    bare = value.strip("\"'")
    return secret[0] if bare in ("", "KEY", NO_KEY) else name + value.replace(bare, "KEY")


def listed(words: Sequence[str]) -> str:
    """Words for people: `a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)
