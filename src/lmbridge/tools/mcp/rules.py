"""Which tools of an MCP server exist here, and which may be called: the one place where that is decided.

`act`'s approval, the terminal and the gateway ask here, and `MCPBox` itself refuses what is never to be called.
To read a resource is a call of `read_resource`, and to get a prompt one of `get_prompt`, whoever wants it; a
resource may have a rule of its own, by its address.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from lmbridge.machine.mcp.consent import Consents
from lmbridge.machine.mcp.entries import Entry, Policy

Decide: TypeAlias = Callable[..., Policy]
"""What becomes of calls of a tool: given its names, of which the first one that anything is said of counts."""

READ: Final = "read_resource"
PROMPT: Final = "get_prompt"
UNASKED: Final = "nobody can be asked here"
"""Why a tool is left out that somebody would have to be asked about."""


class Rules:
    """The rules for one server.

    Args:
        decide: what becomes of calls of a tool, by the names that the server has for it.
        allowed: for each list of names, only tools that are in it exist.
        attended: somebody is there who can be asked; where nobody is, what is to be asked for is never called.
    """

    def __init__(self, decide: Decide, *allowed: Collection[str] | None, attended: bool = True) -> None:
        self._decide, self._attended = decide, attended
        self._allowed = [frozenset(names) for names in allowed if names is not None]

    @classmethod
    def of(
        cls,
        entry: Entry,
        consents: Consents | None = None,
        *,
        only: Sequence[str] | None = None,
        attended: bool = True,
    ) -> Rules:
        """The rules of an entry, and what the user answered.

        Args:
            only: narrows the tools further, as a request may.
        """

        def decide(*names: str) -> Policy:
            return entry.policy_of(*names) if consents is None else consents.policy_of(entry, *names)

        return cls(decide, entry.allowed_tools, only, attended=attended)

    def policy_of_resource(self, uri: str) -> Policy:
        """What becomes of reading a resource."""
        return self.policy_of(uri, READ)

    def policy_of(self, *names: str) -> Policy:
        """What becomes of a call, by the names of the tool."""
        if any(allowed.isdisjoint(names) for allowed in self._allowed):
            return "never"
        policy = self._decide(*names)
        return "never" if policy == "ask" and not self._attended else policy

    def why_not(self, tool: str) -> str:
        """Why a tool is not offered; "" if it is."""
        if any(tool not in names for names in self._allowed):
            return "not among the allowed tools"
        policy = self._decide(tool)
        if policy == "never":
            return "forbidden"
        return UNASKED if policy == "ask" and not self._attended else ""
