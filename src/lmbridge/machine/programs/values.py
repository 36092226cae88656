"""Values inside of settings: found by a path, put in at a path, compared.

A path is a tuple of names. Where a file has a list of tables, a name means the one whose `name` it is, as in
Continue's `models`.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Final, TypeAlias

Path: TypeAlias = tuple[str, ...]

MISSING: Final = object()
"""What is found where nothing is; None is a value."""


class Broken(ValueError):
    """A text that is not what it should be.

    Attributes:
        line: where, counted from 1; 0 when it is about all of it. reason: what is wrong there.
    """

    def __init__(self, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(f"line {line}: {reason}" if line else reason)


def line_at(text: str, position: int) -> int:
    """The line of a position, counted from 1."""
    return text.count("\n", 0, position) + 1


def found(values: object, path: Path) -> object:
    """What is at *path*; `MISSING` where nothing is."""
    for name in path:
        if isinstance(values, dict):
            values = values.get(name, MISSING)
        elif isinstance(values, list):
            named = [each for each in values if isinstance(each, dict) and each.get("name") == name]
            values = named[-1] if named else MISSING
        else:
            return MISSING
    return values


def merged(values: object, path: Path, value: object) -> object:
    """*values* with another value at *path*, and everything else as it was."""
    if not path:
        return value
    name, rest = path[0], path[1:]
    if isinstance(values, list):
        return _merged_list(values, name, rest, value)
    table = dict(values) if isinstance(values, dict) else {}
    return {**table, name: merged(table.get(name, {}), rest, value)}


def _merged_list(values: list[object], name: str, rest: Path, value: object) -> list[object]:
    there = [n for n, each in enumerate(values) if isinstance(each, dict) and each.get("name") == name]
    new = merged(values[there[-1]] if there else {}, rest, value)
    return [*values[: there[-1]], new, *values[there[-1] + 1 :]] if there else [*values, new]


def same(one: object, other: object, seen: set[tuple[int, int]] | None = None) -> bool:
    """Whether two values are equal: a NaN is equal to itself here, and true is not 1.

    Args:
        seen: pairs that are being compared already: what a YAML file repeats by reference is looked at once.
    """
    seen = set() if seen is None else seen
    if isinstance(one, dict | list) and isinstance(other, dict | list):
        if (id(one), id(other)) in seen:
            return True
        seen.add((id(one), id(other)))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name], seen) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair, seen) for pair in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and one == other


def digest(value: object) -> str:
    """What a value is recognised by without being kept: it may hold a key."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
