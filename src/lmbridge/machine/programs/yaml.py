"""YAML, changed in place: an item is added to a list or taken away, and everything else stays as it is written.

PyYAML, an extra, says what a text means and where it is written. What is put in are texts, and tables of texts and
lists of them, at the top or as an item, by its `name`, of a list at the top.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from lmbridge.core.errors import MissingExtra
from lmbridge.machine.programs.values import Broken, Path

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(:[A-Za-z0-9_./-]+)*")
_WORDS: Final = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))


def values(text: str) -> object:
    """What the text means; {} for a blank one.

    Raises:
        Broken: it is no YAML, or not one table. MissingExtra: PyYAML is not installed.
    """
    if not _meant(text):
        return {}
    yaml = _yaml()
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _broken(error) from error
    except (ValueError, RecursionError) as error:  # a date that there is not
        raise Broken(0, str(error)) from error
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise Broken(1, "all of it should be a table of names and values")
    return read


def put(text: str, path: Path, value: object) -> str:
    """The text with another value at *path*: a line at the top, or an item of a list."""
    new = "\r\n" if "\r\n" in text else "\n"
    key, node = _top(text, path[0])
    if len(path) == 1:
        if node is not None:
            return text[: node.start_mark.index] + _scalar(value) + text[node.end_mark.index :]
        return _ended(text, new) + f"{path[0]}: {_scalar(value)}{new}"
    if key is None or node is None:
        return _ended(text, new) + f"{path[0]}:{new}{_item(path[1], value, '  ', new)}"
    item = _named(node, path[1])
    if item is not None and not node.flow_style:
        start, end = text.rfind("\n", 0, item.start_mark.index) + 1, _content_end(text, item)
        return text[:start] + _item(path[1], value, " " * node.start_mark.column, new) + text[end:]
    if not node.value:  # nothing, or an empty list
        head = text[: node.start_mark.index].rstrip(" \t")
        rest = text[node.end_mark.index :]
        after = rest.find("\n") + 1 or len(rest)
        line = rest[:after] if rest[:after].endswith("\n") else rest[:after] + new
        return f"{head}{line}{_item(path[1], value, '  ', new)}{rest[after:]}"
    if node.id != "sequence" or node.flow_style:
        raise Broken(node.start_mark.line + 1, f"`{path[0]}` should be a list with one item below the other")
    at = _content_end(text, node)
    indent = " " * node.start_mark.column
    return f"{_ended(text[:at], new)}{_item(path[1], value, indent, new)}{text[at:]}"


def drop(text: str, path: Path) -> str:
    """The text without the item or the line at *path*; as it is where there is none."""
    key, node = _top(text, path[0])
    if key is None or node is None:
        return text
    if len(path) == 1:
        start, end = text.rfind("\n", 0, key.start_mark.index) + 1, _line_end(text, node.end_mark.index)
        return text[:start] + text[end:]
    item = _named(node, path[1])
    if item is None or node.flow_style:
        return text
    start = text.rfind("\n", 0, item.start_mark.index) + 1
    return text[:start] + text[_content_end(text, item) :]


def raw(text: str, path: Path) -> str | None:
    """How the value at *path* is written; None where there is none."""
    node = _node(text, path)
    return None if node is None else text[node.start_mark.index : _last(node).end_mark.index]


def put_raw(text: str, path: Path, written: str) -> str:
    """The text with what is written at *path* replaced; as it is where nothing is."""
    node = _node(text, path)
    if node is None:
        return text
    written = _indented(written, node.start_mark.column)
    return text[: node.start_mark.index] + written + text[_last(node).end_mark.index :]


def _indented(written: str, column: int) -> str:
    """What was written elsewhere, the lines after its first moved to where an item at *column* has them."""
    first, *rest = written.split("\n")
    blanks = [len(line) - len(line.lstrip(" ")) for line in rest if line.strip()]
    move = column - min(blanks, default=column)
    moved = [line if not line.strip() else " " * move + line if move > 0 else line[-move:] for line in rest]
    return "\n".join((first, *moved))


def _meant(text: str) -> str:
    """The text without what means nothing: comments and blank lines."""
    lines = (line.strip("\ufeff \t\r") for line in text.split("\n"))
    return "".join(line for line in lines if line and not line.startswith("#"))


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("yaml", "Changing a YAML file") from error
    return yaml


def _broken(error: Any) -> Broken:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return Broken(mark.line + 1 if mark is not None else 0, str(reason))


def _top(text: str, name: str) -> tuple[Any, Any]:
    """Name and value at the top of the text, as PyYAML's nodes; None where there is none."""
    if not _meant(text):
        return None, None
    root = _yaml().compose(text)
    pairs = root.value if root is not None and root.id == "mapping" else []
    there = [(key, node) for key, node in pairs if key.value == name]
    if len(there) > 1:
        raise Broken(there[1][0].start_mark.line + 1, f"{name!r} is there twice")
    if there and pairs and root.flow_style:
        raise Broken(1, "all of it should have one name in each line")
    return there[0] if there else (None, None)


def _named(node: Any, name: str) -> Any:
    """The item of a list whose `name` it is."""
    for item in node.value if node.id == "sequence" else ():
        if item.id == "mapping" and any(key.value == "name" and each.value == name for key, each in item.value):
            return item
    return None


def _node(text: str, path: Path) -> Any:
    node = _top(text, path[0])[1]
    return _named(node, path[1]) if node is not None and len(path) > 1 else node


def _last(node: Any) -> Any:
    """The node that is written last inside of another: it ends where the writing ends, not after blank lines."""
    while node.id != "scalar" and node.value and not node.flow_style:
        node = node.value[-1][1] if node.id == "mapping" else node.value[-1]
    return node


def _content_end(text: str, node: Any) -> int:
    """Where the line after a node begins."""
    end = _last(node).end_mark.index
    while end and text[end - 1] in " \t\r\n" and text[end - 1 : end] != "\n":
        end -= 1
    return end if text[:end].endswith("\n") else _line_end(text, end)


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _ended(text: str, new: str) -> str:
    return text if not text or text.endswith(("\n", "\ufeff")) else text + new


def _item(name: str, value: object, indent: str, new: str) -> str:
    """An item of a list, its name first."""
    table = {"name": name, **value} if isinstance(value, dict) else {"name": name}
    lines = [line for key, each in table.items() for line in _lines(key, each)]
    return "".join(f"{indent}{'  ' if number else '- '}{line}{new}" for number, line in enumerate(lines))


def _lines(key: str, value: object) -> list[str]:
    if isinstance(value, dict):
        return [f"{key}:", *(f"  {name}: {_scalar(each)}" for name, each in value.items())]
    return [f"{key}: {_scalar(value)}"]


def _scalar(value: object) -> str:
    """Plain where that cannot mean anything else, else as JSON, which is YAML."""
    if isinstance(value, list):
        return f"[{', '.join(map(_quoted, value))}]"
    return _plain(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else _quoted(text)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
