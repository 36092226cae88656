"""Names of tools that models accept. A server may give its own ones dots, slashes and 128 letters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

LONGEST: Final = 64
"""Letters of a name: OpenAI's API allows so many, and servers and models are made for it."""
_OTHER: Final = re.compile(r"[^a-zA-Z0-9_-]")


def accepted(names: Iterable[str]) -> dict[str, str]:
    """A name that models accept for each name of a server, no two alike: `{accepted: the server's}`."""
    found: dict[str, str] = {}
    for name in names:
        plain = _OTHER.sub("_", name)[:LONGEST] or "tool"
        number, free = 2, plain
        while free in found:
            tail = f"_{number}"
            number, free = number + 1, plain[: LONGEST - len(tail)] + tail
        found[free] = name
    return found
