"""Moments as people type them: `30d` from now or ago, or a day such as `2027-01-01`."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import click

UNITS: Mapping[str, int] = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400})
"""Seconds of each unit."""
SPAN = re.compile(r"(\d{1,6})([smhdw])")


class Moment(click.ParamType[float]):
    """An option's value that is a moment: seconds since 1970.

    Args:
        ahead: whether a span counts from now on, or back from now.
    """

    name = "moment"

    def __init__(self, *, ahead: bool) -> None:
        self._ahead = ahead

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read one.

        Raises:
            click.BadParameter: it is neither a span nor a day.
        """
        text = str(value).strip()
        if span := SPAN.fullmatch(text):
            seconds = int(span[1]) * UNITS[span[2]]
            return time.time() + (seconds if self._ahead else -seconds)
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{text!r} is neither a span such as 90m, 12h, 30d nor a day such as 2027-01-01.", param, ctx
            )
