"""Answers that go on from a last turn of the assistant, as Ollama's do: only what is new is told."""

from __future__ import annotations

from typing import Final

from lmbridge.core.requests import ChatRequest

CONTINUED: Final[dict[str, object]] = {"continue_final_message": True, "add_generation_prompt": False}
"""What makes llama.cpp and vLLM go on with that turn instead of beginning a new one. LM Studio refuses it."""


def begun(chat: ChatRequest) -> str:
    """What the answer begins with already: the words of a last turn of the assistant, "" without one."""
    last = chat.turns[-1] if chat.turns else None
    return last.text if last is not None and last.role == "assistant" and not last.tool_calls else ""


class Continuation:
    """Leaves out of a streamed answer what was there before: engines that continue a turn say all of it.

    Args:
        begun: what the answer begins with already.
    """

    __slots__ = ("_begun", "_held")

    def __init__(self, begun: str) -> None:
        self._begun, self._held = begun, ""

    def feed(self, text: str) -> str:
        """What of the next piece is new; "" while it only repeats."""
        if not self._begun:
            return text
        held = self._held + text
        if held != self._begun and self._begun.startswith(held):
            self._held = held
            return ""
        new = held.removeprefix(self._begun)
        self._begun = self._held = ""
        return new

    def close(self) -> str:
        """What was held back although the answer never got beyond it."""
        held, self._held, self._begun = self._held, "", ""
        return held
