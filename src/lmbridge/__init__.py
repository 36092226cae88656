"""lmbridge makes the models on your own computer usable from everywhere.

The public names, sorted. They load when they are first used, so that `import lmbridge` costs
next to nothing (asyncio and msgspec alone would take most of its budget).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmbridge.assembly import connect as connect
