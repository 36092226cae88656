"""What a check is, and the list of them: each is looked at once, unless one that it needs has failed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

from msgspec import Struct

from lmbridge.core.errors import BridgeError

LIMIT_S = 60.0
"""Seconds for one check; the first answer of a cold machine takes its time."""

State: TypeAlias = Literal["ok", "failed", "skipped"]

_COMMAND = re.compile(r"`((?:lmbridge|lms|pip|apt|curl|chmod|kill) [^`]+)`")


class Check(Struct, frozen=True):
    """What was looked at, and what was found.

    Attributes:
        part: of the whole: `lmbridge`, `LM Studio`, …
        state: `skipped` does not apply here, or needs another one that failed.
        command: the one that mends it, "" where there is none. hint: what to do, as a sentence.
    """

    part: str
    name: str
    state: State
    detail: str = ""
    command: str = ""
    hint: str = ""


class Found(Struct, frozen=True):
    """What the work of a check returns."""

    detail: str
    state: State = "ok"
    hint: str = ""
    command: str = ""


class Checklist:
    """The checks so far.

    Args:
        tell: called with each as soon as it is known.
    """

    def __init__(self, tell: Callable[[Check], None]) -> None:
        self.checks: list[Check] = []
        self._tell = tell

    def add(self, part: str, name: str, found: Found) -> bool:
        """Note what was found; returns whether it is good."""
        command = found.command or first_command(found.hint)
        check = Check(part, name, found.state, found.detail.removesuffix("."), command, found.hint)
        self.checks.append(check)
        self._tell(check)
        return check.state == "ok"

    async def look(
        self,
        part: str,
        name: str,
        work: Callable[[], Awaitable[Found]],
        *,
        needs: str = "",
        limit: float = LIMIT_S,
    ) -> bool:
        """Look at one thing; an error it meets is what was found.

        Args:
            needs: name of an earlier check of the same part, without which this one cannot be made.
        """
        if needs and not self.good(part, needs):
            return self.add(part, name, Found(f"not looked at, needs: {needs}", "skipped"))
        try:
            async with asyncio.timeout(limit):
                found = await work()
        except BridgeError as error:
            found = Found(error.message, "failed", error.hint)
        except TimeoutError:
            found = Found(f"no outcome within {limit:g} s", "failed")
        except OSError as error:
            found = Found(str(error), "failed")
        return self.add(part, name, found)

    def good(self, part: str, name: str) -> bool:
        """Whether a check was made and went well."""
        return any((c.part, c.name, c.state) == (part, name, "ok") for c in self.checks)


def first_command(hint: str) -> str:
    """The first command line that a hint names."""
    found = _COMMAND.search(hint)
    return found[1] if found else ""
