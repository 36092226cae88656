"""What a part of the benchmark found, the table it is printed as, and on which machine that was."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from msgspec import Struct

LIBRARIES = ("msgspec", "httptools", "uvloop", "uvicorn", "anyio", "openai", "xllamacpp")


class Target(Struct, frozen=True):
    """A figure to reach.

    Attributes:
        value: what was measured, None if it could not be.
        limit: what was wanted. at_most: less is better.
        unit: printed behind both.
    """

    name: str
    value: float | None
    limit: float
    at_most: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether it was; None when nothing was measured."""
        if self.value is None:
            return None
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        verdict = {True: "reached", False: "NOT REACHED", None: "not measured"}[self.reached]
        measured = "" if self.value is None else f"{number(self.value)}{self.unit}, "
        sign = "≤" if self.at_most else "≥"
        return f"{verdict:<13} {self.name}: {measured}wanted {sign} {number(self.limit)}{self.unit}"


class Part(Struct):
    """What one part found.

    Attributes:
        rows: cells of a table under *columns*, as they are printed.
        figures: the same and more as numbers, for the JSON file.
        notes: what a reader must know to judge it.
    """

    name: str
    title: str
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    targets: list[Target] = []
    figures: dict[str, object] = {}
    notes: list[str] = []

    def as_json(self) -> dict[str, object]:
        """Everything a program may want of it."""
        return {
            "figures": self.figures,
            "targets": [
                {"name": t.name, "value": t.value, "limit": t.limit, "at_most": t.at_most, "reached": t.reached}
                for t in self.targets
            ],
            "notes": self.notes,
        }

    def __str__(self) -> str:
        lines = [self.title]
        if self.rows:
            lines += table(self.columns, self.rows)
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    if value != value or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; the first column is words and the others are numbers."""
    cells = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "  "
        + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    lines.insert(1, "  " + "─" * (sum(widths) + 2 * len(widths) - 2))
    return [line.rstrip() for line in lines]


def ratios(above: Sequence[float], below: Sequence[float]) -> float | None:
    """The median of the ratios of neighbours in time."""
    pairs = [a / b for a, b in zip(above, below, strict=False) if b]
    return median(pairs) if pairs else None


def middle(values: Sequence[float]) -> float:
    """The median; not-a-number of nothing."""
    return median(values) if values else float("nan")


def machine() -> dict[str, object]:
    """Where this runs, as far as it bears on the figures."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def machine_line(about: dict[str, object]) -> str:
    """The same in one line, for people."""
    load = about["load_before"]
    busy = f", load {load:.1f} before" if isinstance(load, float) else ""
    return f"{about['cores']} cores of {about['cpu']}, {about['system']}, {about['python']}{busy}"


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or sys.platform


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
