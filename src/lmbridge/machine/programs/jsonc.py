"""JSON, with comments or without, changed in place: everything that is not changed stays as it is written.

Programs' JSON with comments (source: https://code.visualstudio.com/docs/languages/json, "JSON with Comments") has
`//` and `/* */` comments, and a comma may stand after the last member.
"""

from __future__ import annotations

import json
import re
from typing import Final

from msgspec import Struct

from lmbridge.machine.programs.values import Broken, Path, line_at

DEEPEST: Final = 200
"""Tables inside of each other; nobody's settings have more."""

_TOKEN: Final = re.compile(
    r'(?P<blank>[ \t\r\n\ufeff]+)|(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<text>"(?:[^"\\\n]|\\.)*")'
    r"|(?P<mark>[{}\[\],:])|(?P<atom>-?[A-Za-z0-9.+-]+)",
    re.DOTALL,
)
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_WORDS: Final = {"true": True, "false": False, "null": None}
_REST: Final = re.compile(r"(?:[ \t]|/\*[^\n]*?\*/)*(?://[^\n]*?(?=\r?\n|$))?")
"""What belongs to a line's last value: blanks and comments."""


class Member(Struct):
    """A member of an object: where its name begins, its value, and where its comma ends (0: it has none)."""

    name: str
    start: int
    node: Node
    comma: int = 0


class Node(Struct):
    """A value and where it is written. `members` are those of an object, in their order."""

    start: int
    end: int
    value: object
    members: list[Member] = []


class _Reader:
    """Reads one text into nodes."""

    def __init__(self, text: str, comments: bool) -> None:
        self.text, self.comments = text, comments
        self.at = 0
        self.kind, self.start = "", 0
        self.word = ""
        self.next()

    def next(self) -> None:
        """Go on to the next token that means something; its kind is "" at the end."""
        while self.at < len(self.text):
            match = _TOKEN.match(self.text, self.at)
            if match is None:
                raise self.broken("something that JSON has no use for", self.at)
            self.start, self.at = match.start(), match.end()
            self.kind, self.word = match.lastgroup or "", match[0]
            if self.kind == "comment" and not self.comments:
                raise self.broken("a comment, and this program reads none", self.start)
            if self.kind not in ("blank", "comment"):
                return
        self.kind, self.word, self.start = "", "", len(self.text)

    def broken(self, reason: str, at: int | None = None) -> Broken:
        """The error to raise about the token at hand."""
        return Broken(line_at(self.text, self.start if at is None else at), reason)

    def expected(self, what: str) -> Broken:
        """That something else is here."""
        return self.broken(f"{what} is expected, not {self.word[:20]!r}" if self.word else f"{what} is missing")

    def whole(self) -> Node | None:
        """The one value of the text; None where there is only blank."""
        if not self.kind:
            return None
        node = self.node(0)
        if self.kind:
            raise self.expected("the end")
        return node

    def node(self, depth: int) -> Node:
        """The value that begins here."""
        if depth > DEEPEST:
            raise self.broken(f"it is nested more than {DEEPEST} deep")
        start, word, kind = self.start, self.word, self.kind
        if kind == "mark" and word in "{[":
            self.next()
            return self.table(start, depth) if word == "{" else self.array(start, depth)
        value = self.scalar()
        end = self.at
        self.next()
        return Node(start, end, value)

    def scalar(self) -> object:
        """The value of a single token."""
        if self.kind == "text":
            try:
                return json.loads(self.word)
            except ValueError as error:
                raise self.broken(f"a string is broken ({error})") from error
        if self.kind == "atom" and self.word in _WORDS:
            return _WORDS[self.word]
        if self.kind == "atom" and _NUMBER.fullmatch(self.word):
            try:
                return json.loads(self.word)
            except ValueError as error:  # a number with more digits than Python reads
                raise self.broken("a number is too long") from error
        raise self.expected("a value")

    def table(self, start: int, depth: int) -> Node:
        """An object, after its brace."""
        members: list[Member] = []
        while self.word != "}":
            if members and not members[-1].comma:
                raise self.expected("`,` or `}`")
            if self.kind != "text":
                raise self.expected("a name in double quotes")
            name, begin = str(self.scalar()), self.start
            self.next()
            if self.word != ":":
                raise self.expected("`:`")
            self.next()
            members.append(Member(name, begin, self.node(depth + 1), self.comma("}")))
        node = Node(start, self.at, {each.name: each.node.value for each in members}, members)
        self.next()
        return node

    def array(self, start: int, depth: int) -> Node:
        """An array, after its bracket."""
        values: list[object] = []
        more = True
        while self.word != "]" or self.kind != "mark":
            if not more:
                raise self.expected("`,` or `]`")
            values.append(self.node(depth + 1).value)
            more = bool(self.comma("]"))
        node = Node(start, self.at, values)
        self.next()
        return node

    def comma(self, closing: str) -> int:
        """Where the comma at hand ends; 0 if there is none."""
        if self.word != ",":
            return 0
        end = self.at
        self.next()
        if self.word == closing and not self.comments:
            raise self.broken("a comma after the last value, and this program reads none")
        return end


def values(text: str, *, comments: bool) -> object:
    """What the text means; {} for a blank one.

    Raises:
        Broken: it is no JSON object.
    """
    try:
        # Much faster, and enough for most. What it does not take may have comments, or is told with its line.
        plain = json.loads(text.removeprefix("\ufeff"), parse_constant=_refused)
    except (ValueError, RecursionError):
        return _root(text, comments).value
    return plain if isinstance(plain, dict) else _root(text, comments).value


def _refused(constant: str) -> object:
    raise ValueError(constant)  # NaN is no JSON


def put(text: str, path: Path, value: object, *, comments: bool) -> str:
    """The text with another value at *path*; tables on the way are made.

    Raises:
        Broken: it is no JSON, or something else than an object is on the way.
    """
    root = _read(text, comments)
    if root is None:
        made = _block(_nested(path, value), "", "  ", _newline(text))
        head = text if not text.strip("\ufeff \t\r\n") or text.endswith("\n") else text + _newline(text)
        return f"{head}{made}{_newline(text)}"
    node, rest = _descend(text, _object(text, root, "all of it"), path)
    if not rest:
        return text[: node.start] + _written(text, node.start, value) + text[node.end :]
    return _insert(text, node, rest[0], _nested(rest[1:], value))


def drop(text: str, path: Path, *, comments: bool) -> str:
    """The text without the member at *path*, its comma and its line; as it is where there is none."""
    parent, rest = _descend(text, _root(text, comments), path[:-1])
    mine = [each for each in parent.members if each.name == path[-1]]
    if rest or not mine:
        return text
    place = parent.members.index(mine[-1])
    start, end = mine[-1].start, mine[-1].comma or mine[-1].node.end
    blank = re.compile(r"[ \t\r\n]*").match(text, end)
    if blank is not None and "\n" in blank[0]:
        start = len(text[:start].rstrip(" \t\r\n"))
    elif blank is not None and text[blank.end() : blank.end() + 1] == "}":
        start = len(text[:start].rstrip(" \t"))  # no further: a comment may be in the line before
    text = text[:start] + text[end:]
    if place == len(parent.members) - 1 and place and not mine[-1].comma:
        before = parent.members[place - 1].comma
        text = text[: before - 1] + text[before:]
    return text


def raw(text: str, path: Path, *, comments: bool) -> str | None:
    """How the value at *path* is written; None where there is none."""
    node, rest = _descend(text, _root(text, comments), path)
    return None if rest else text[node.start : node.end]


def put_raw(text: str, path: Path, written: str, *, comments: bool) -> str:
    """The text with what is written at *path* replaced; as it is where nothing is."""
    node, rest = _descend(text, _root(text, comments), path)
    return text if rest else text[: node.start] + written + text[node.end :]


def _read(text: str, comments: bool) -> Node | None:
    return _Reader(text, comments).whole()


def _root(text: str, comments: bool) -> Node:
    root = _read(text, comments)
    return Node(len(text), len(text), {}) if root is None else _object(text, root, "all of it")


def _object(text: str, node: Node, what: str) -> Node:
    if not isinstance(node.value, dict):
        raise Broken(line_at(text, node.start), f"{what} should be an object in braces")
    return node


def _descend(text: str, node: Node, path: Path) -> tuple[Node, Path]:
    """The node that lies furthest along *path*, and what of the path is missing below it."""
    for depth, name in enumerate(path):
        _object(text, node, repr(path[depth - 1]) if depth else "all of it")
        named = [each for each in node.members if each.name == name]
        if len(named) > 1:
            raise Broken(line_at(text, named[1].start), f"{name!r} is there twice")
        if not named:
            return node, path[depth:]
        node = named[0].node
    return node, ()


def _nested(path: Path, value: object) -> object:
    for name in reversed(path):
        value = {name: value}
    return value


def _insert(text: str, node: Node, name: str, value: object) -> str:
    """The text with a new last member in an object."""
    new = _newline(text)
    own = _indent(text, node.start)
    if not node.members:
        return _fill(text, node, name, value, own)
    last = node.members[-1]
    if "\n" not in text[node.start : node.members[0].start]:
        at = last.comma or last.node.end
        return f"{text[:at]}{'' if last.comma else ','} {json.dumps(name)}: {_compact(value)}{text[at:]}"
    child = _indent(text, node.members[0].start)
    written = f"{new}{child}{json.dumps(name)}: {_block(value, child, _unit(text), new)}"
    end = last.comma or last.node.end
    rest = _REST.match(text, end)
    after = rest.end() if rest is not None and text[rest.end() : rest.end() + 1] in ("\r", "\n") else end
    if last.comma:
        return f"{text[:after]}{written},{text[after:]}"
    return f"{text[:end]},{text[end:after]}{written}{text[after:]}"


def _fill(text: str, node: Node, name: str, value: object, own: str) -> str:
    """The text with a first member in an empty object; a comment in it stays."""
    new, unit = _newline(text), _unit(text)
    inner = text[node.start + 1 : node.end - 1].rstrip(" \t\r\n")
    child = own + unit
    written = f"{new}{child}{json.dumps(name)}: {_block(value, child, unit, new)}{new}{own}"
    return f"{text[: node.start + 1]}{inner}{written}{text[node.end - 1 :]}"


def _written(text: str, start: int, value: object) -> str:
    return _block(value, _indent(text, start), _unit(text), _newline(text))


def _block(value: object, indent: str, unit: str, new: str) -> str:
    """A value over several lines, the first of which is begun already; short lists stay on one."""
    if not isinstance(value, dict) or not value:
        return _compact(value)
    inner = indent + unit
    members = (f"{inner}{json.dumps(name)}: {_block(each, inner, unit, new)}" for name, each in value.items())
    return "{" + new + f",{new}".join(members) + f"{new}{indent}}}"


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _indent(text: str, at: int) -> str:
    """The blanks that the line of a position begins with."""
    line = text[text.rfind("\n", 0, at) + 1 : at].lstrip("\ufeff")
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """What one level is indented by: as the first line that is."""
    first = re.search(r"\n([ \t]+)\S", text)
    return first[1] if first else "  "


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
