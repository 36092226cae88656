"""The presets of this user as prompts of the MCP server: those that hold instructions.

What reads them is imported when a host asks for them: it waits for the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmbridge.doors.mcp.prompts import Prompt

if TYPE_CHECKING:
    from lmbridge.machine.presets import Preset

SHORT = 120
"""Letters of the instructions that stand for a description where there is none."""


class PresetPrompts:
    """Satisfies `doors.mcp.prompts.Prompts`."""

    def all(self) -> Sequence[Prompt]:
        """Those with instructions. Why a file cannot be used is told by `get`, and by `lmbridge presets list`."""
        from lmbridge.machine.home import home
        from lmbridge.machine.presets import list_presets

        found = list_presets(home())
        return [_prompt(each.name, each.preset) for each in found if each.preset and each.preset.system.strip()]

    def get(self, name: str) -> Prompt:
        """One of them.

        Raises:
            InvalidRequest: there is none, or it holds no instructions. ConfigInvalid: its file cannot be used.
        """
        from lmbridge.core.errors import InvalidRequest
        from lmbridge.machine.home import home
        from lmbridge.machine.presets import load_preset

        preset = load_preset(home(), name)
        if not preset.system.strip():
            hint = f'Give it some: `system = "…"` in presets/{name}.toml.'
            raise InvalidRequest(f"The preset {name!r} holds no instructions.", hint=hint, param="name")
        return _prompt(name, preset)


def _prompt(name: str, preset: Preset) -> Prompt:
    text = preset.system.strip()
    return Prompt(name, preset.description or " ".join(text.split())[:SHORT], text)
