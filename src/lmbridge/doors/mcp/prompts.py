"""The prompts of the MCP server: instructions that the user wrote down, for a host to begin a conversation with.

Where they are kept is not known here: whoever makes the server hands over somebody who knows (`Prompts`).
Source: https://modelcontextprotocol.io/specification/2025-11-25/server/prompts
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from lmbridge.core.errors import InvalidRequest

INPUT: Final = "input"
"""The one argument of every prompt."""
INPUT_IS: Final = "What it is about; stands after the instructions."


class Prompt(Struct, frozen=True):
    """Instructions under a name.

    Attributes:
        description: for people; "" where there is none.
    """

    name: str
    description: str
    text: str

    def filled(self, arguments: Mapping[str, str]) -> str:
        """What is said to the host's model: as its user would, because MCP's prompts have no system messages.

        Raises:
            InvalidRequest: an argument that it does not have.
        """
        for stray in arguments.keys() - {INPUT}:
            raise InvalidRequest(
                f"The prompt {self.name!r} has no argument {stray[:100]!r}.",
                hint=f"It has `{INPUT}`.",
                param=stray,
            )
        return "\n\n".join(filter(None, (self.text, arguments.get(INPUT, ""))))


class Prompts(Protocol):
    """Who knows prompts. Both are asked in a thread, each time anew."""

    def all(self) -> Sequence[Prompt]:
        """Those that can be used."""

    def get(self, name: str) -> Prompt:
        """One of them.

        Raises:
            BridgeError: there is none, or it cannot be used, and why.
        """
