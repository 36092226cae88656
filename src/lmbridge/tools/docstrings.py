"""What a docstring says of a function and of its parameters, in whichever of the usual forms.

Known are Google's (`Args:`), NumPy's (`Parameters` over a line of dashes) and reST's (`:param name: …`). The
description is the first paragraph: what comes after it is for people who read the code.
"""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Final

from msgspec import Struct

_SECTION: Final = re.compile(r"(args|arguments|parameters|params):\s*$", re.I)
_OTHER_SECTION: Final = re.compile(
    r"(returns?|raises|yields?|examples?|notes?|attributes|see also|warnings?|references|todo):?\s*$", re.I
)
_GOOGLE: Final = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?:\s*(?P<text>.*)$")
_NUMPY: Final = re.compile(r"\*{0,2}(?P<names>\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")
_REST: Final = re.compile(r":(?:param|parameter|arg|argument|key)\s+(?:[^:]*\s)?(?P<name>\w+):\s*(?P<text>.*)$")
_ANY_REST: Final = re.compile(r":\w+(\s[^:]*)?:")


class Documented(Struct, frozen=True):
    """What a docstring says.

    Attributes:
        description: its first paragraph, on one line.
        parameters: what is said of each.
    """

    description: str = ""
    parameters: dict[str, str] = {}


def documented(docstring: str | None) -> Documented:
    """Read a docstring; an empty one says nothing."""
    lines = cleandoc(docstring or "").splitlines()
    found = {**_google(lines), **_numpy(lines), **_rest(lines)}
    return Documented(_first_paragraph(lines), {name: text for name, text in found.items() if text})


def _first_paragraph(lines: list[str]) -> str:
    said: list[str] = []
    for number, line in enumerate(lines):
        text = line.strip()
        if not text and said:
            break
        if _SECTION.match(text) or _ANY_REST.match(text) or _underlined(lines, number):
            break
        if text:
            said.append(text)
    return " ".join(said)


def _underlined(lines: list[str], number: int) -> bool:
    following = lines[number + 1].strip() if number + 1 < len(lines) else ""
    return len(following) >= 3 and not following.strip("-")


def _google(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    within, depth, name = False, 0, ""
    for line in lines:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        if _SECTION.match(text) and not indent:
            within, depth, name = True, 0, ""
        elif not within or not text:
            continue
        elif not indent:
            within = False
        elif (entry := _GOOGLE.match(text)) and (not depth or indent <= depth):
            depth, name = indent, entry["name"]
            found[name] = entry["text"].strip()
        elif name:
            found[name] = f"{found[name]} {text}".strip()
    return found


def _numpy(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    names: list[str] = []
    within = False
    for number, line in enumerate(lines):
        text, indented = line.strip(), line[:1].isspace()
        if _underlined(lines, number):
            within, names = text.lower() in ("parameters", "other parameters"), []
        elif not within or not text or not text.strip("-"):
            continue
        elif indented:
            for name in names:
                found[name] = f"{found[name]} {text}".strip()
        elif entry := _NUMPY.match(text):
            names = [name.strip() for name in entry["names"].split(",")]
            found |= dict.fromkeys(names, "")
    return found


def _rest(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        text = line.strip()
        if entry := _REST.match(text):
            name = entry["name"]
            found[name] = entry["text"].strip()
        elif not text or _ANY_REST.match(text) or _OTHER_SECTION.match(text):
            name = ""
        elif name:
            found[name] = f"{found[name]} {text}".strip()
    return found
