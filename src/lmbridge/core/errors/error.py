"""The error that all others are: a stable code, facts, and a hint a person can act on."""

from __future__ import annotations

from typing import ClassVar, Final

LONGEST_NAME: Final = 512
"""Letters of a name that are looked at and repeated; no model has more."""


class BridgeError(Exception):
    """Base of every error lmbridge raises.

    Attributes:
        code: stable machine-readable name; part of the public contract.
        message: what went wrong, in one sentence, without the hint.
        hint: what to do about it; empty when there is nothing useful to say.
        param: name of the offending request field, if one is to blame.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, hint: str = "", param: str | None = None) -> None:
        self.message, self.hint, self.param = message, hint, param
        super().__init__(f"{message} {hint}".rstrip())
