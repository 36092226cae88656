"""How deep a request is: through how many of our MCP servers it came to be where it is.

An MCP host that is lmbridge itself could ask a model, whose tool asks lmbridge for a model, whose tool asks …:
round and round, for nothing. So whatever a tool of our MCP server asks for carries a mark, and a second such
server on the way refuses it. The mark goes along as a header of a request, and in `_meta` of a call
(https://modelcontextprotocol.io/specification/2025-11-25/basic#_meta). Not in the environment of programs: an MCP
server that one marked request has started serves others after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from lmbridge.core.errors import TooDeep

HEADER: Final = "x-lmbridge-depth"
META: Final = "lmbridge/depth"
MOST: Final = 1
"""Servers of ours that a request may come through: a model may ask another one, and that one none."""
_DIGITS: Final = 3

_depth: ContextVar[int] = ContextVar("depth", default=0)


def mark(value: object) -> int:
    """The depth that a mark tells; 0 for none, and for one that is not ours."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return max(0, value)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        return int(value)
    return 0


def depth() -> int:
    """Through how many servers the present work came: what a mark that goes along says; 0 needs none."""
    return _depth.get()


def arrive(value: object) -> None:
    """Take over the mark that a request came with, for as long as its task lives."""
    _depth.set(max(depth(), mark(value)))


@contextmanager
def deeper(value: object = None) -> Iterator[None]:
    """Be one deeper for the length of the `with`.

    Args:
        value: the mark that the call came with, if it had one of its own.

    Raises:
        TooDeep: that would be deeper than anything sensible is.
    """
    now = max(depth(), mark(value)) + 1
    if now > MOST:
        raise TooDeep
    before = _depth.set(now)
    try:
        yield
    finally:
        _depth.reset(before)
