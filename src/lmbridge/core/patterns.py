"""Whether a text matches a regular expression that somebody else wrote, without ever taking long.

Python's engine tries one way after the other: where a group is repeated that can match the same text in several
ways, there are more ways than anybody can wait for, and nothing can be done meanwhile. So such a pattern is not
tried at all, and no pattern on a text so long that it could take seconds.
(https://owasp.org/www-community/attacks/Regular_expression_Denial_of_Service_-_ReDoS)
"""

from __future__ import annotations

import re
from typing import Final

MOST_STEPS: Final = 20_000_000
"""Steps that an attempt may take; about a second."""

_ATOM: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""What stands for one character: an escape, a class."""
_PLAIN_GROUP: Final = re.compile(r"\((?:\?:|\?P<\w+>)?[^()*+?{|]*\)")
"""A group that matches in one way."""
_REPEATED_GROUP: Final = re.compile(r"\)[*+{]")
_REPEAT: Final = re.compile(r"[*+]|\{\d*,")


def matches(pattern: str, text: str) -> bool | None:
    """Whether *text* has something in it that matches *pattern*; None where it would take too long to know.

    Args:
        pattern: a regular expression.
    """
    return None if _is_slow(pattern, len(text)) else re.search(pattern, text) is not None


def _is_slow(pattern: str, length: int) -> bool:
    bones = _ATOM.sub("x", pattern)
    bones = _PLAIN_GROUP.sub("x", bones)
    if _REPEATED_GROUP.search(bones) or re.search(r"\\[1-9]|\(\?P=", pattern):
        return True
    # Each repeat may end anywhere, and the search may begin anywhere.
    steps: int = max(1, length) ** (len(_REPEAT.findall(bones)) + 1)
    return steps > MOST_STEPS
