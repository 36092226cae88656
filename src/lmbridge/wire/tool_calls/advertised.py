"""What may be called: the tools of a request, and whether arguments are such as they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from lmbridge.core.json_schema import SchemaInvalid, check_schema, problems
from lmbridge.core.messages import Tool
from lmbridge.wire.tool_calls.mend import Unmendable, decode_loosely, is_json, mended

_OF_VALUES: Final = ("properties", "$defs", "definitions")
"""What a schema says of single arguments."""


class Advertised:
    """The tools of a request.

    Args:
        tools: of equal names the last one counts.
    """

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._schemas = {tool.name: tool.parameters for tool in tools}
        self._usable: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._schemas)

    def __contains__(self, name: str) -> bool:
        return name in self._schemas

    def some_begin_with(self, beginning: str) -> bool:
        """Whether a tool's name begins so."""
        return any(name.startswith(beginning) for name in self._schemas)

    def takes(self, name: str, arguments: object) -> bool:
        """Whether *arguments* are an object that follows the schema of the tool of that name.

        Never of a schema that cannot be checked: then nobody knows.
        """
        if name not in self._schemas or not isinstance(arguments, dict) or not self._checkable(name):
            return False
        return not any(True for _ in problems(arguments, self._schemas[name]))

    def typed(self, name: str, texts: Mapping[str, str]) -> dict[str, object]:
        """Arguments that were written without JSON: each as the text it is if the tool takes that there, else as
        the JSON value that it is.
        """
        shape: dict[str, object] = {}
        if self._checkable(name):
            shape = {key: value for key, value in self._schemas[name].items() if key in _OF_VALUES}
        return {key: _typed(key, text, shape) for key, text in texts.items()}

    def _checkable(self, name: str) -> bool:
        if name not in self._usable:
            try:
                check_schema(self._schemas[name])
                self._usable[name] = True
            except (SchemaInvalid, RecursionError):
                self._usable[name] = False
        return self._usable[name]

    def mended(self, name: str, arguments: str, *, cut: bool = False) -> str:
        """The JSON text *arguments* were meant to be; as they are if they are JSON, or cannot be mended, or would
        not be what the tool takes.

        Args:
            cut: see `mend.mended`.
        """
        if is_json(arguments) and arguments.lstrip()[0] == "{":
            return arguments
        try:
            # No arguments at all are what many models give to a tool that needs none.
            ours = mended(arguments, cut=cut) if arguments.strip() else "{}"
        except Unmendable:
            return arguments
        return ours if self.takes(name, msgspec.json.decode(ours)) else arguments


def _typed(key: str, text: str, shape: Mapping[str, object]) -> object:
    if not any(True for _ in problems({key: text}, shape)):
        return text
    try:
        return decode_loosely(text.strip())
    except Unmendable:
        return text
