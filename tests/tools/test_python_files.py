"""The tools of a Python file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lmbridge.core.errors import InvalidRequest
from lmbridge.tools.python_files import box_of_file

DOCUMENTED = '''
from pathlib import Path
from beside import VALUE

def shown(a: int) -> int:
    """Show."""
    return a + VALUE

def not_documented(a):
    return a

def _private():
    """Not for models."""

class Thing:
    """Not a function."""
'''
MARKED = '''
from lmbridge import tool

@tool(name="other")
def marked(a: int) -> int:
    """Marked."""
    return a

def shown(a: int) -> int:
    """Documented, but others are marked."""
    return a
'''


async def names(path: Path) -> list[str]:
    return [each.name for each in await box_of_file(path).tools()]


async def test_documented_functions_of_the_file_itself_are_its_tools(tmp_path: Path) -> None:
    path = tmp_path / "tools.py"
    path.write_text(DOCUMENTED)
    (tmp_path / "beside.py").write_text("VALUE = 41")
    before = list(sys.path)
    box = box_of_file(path)
    assert [each.name for each in await box.tools()] == ["shown"]
    assert (await box.call("shown", {"a": 1})).text == "42"
    assert box.name == "tools"
    assert sys.path == before
    del sys.modules["beside"]


async def test_where_some_are_marked_only_those_are_its_tools(tmp_path: Path) -> None:
    path = tmp_path / "tools.py"
    path.write_text(MARKED)
    assert await names(path) == ["other"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "holds no tools"),
        ("def f(a):\n    'Doc.'", "has no annotation"),
        ("1 / 0", "cannot be run: ZeroDivisionError"),
        ("raise SystemExit(3)", "cannot be run: SystemExit: 3"),
        ("def f(:", "cannot be run: SyntaxError"),
        ("from lmbridge import tool\n@tool\ndef f(a):\n    'Doc.'", r"tools\.py: .*has no annotation"),
    ],
)
def test_a_file_without_usable_tools_is_refused_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "tools.py"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=said):
        box_of_file(path)


def test_what_is_no_python_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tools.txt"
    path.touch()
    with pytest.raises(InvalidRequest, match="no Python file"):
        box_of_file(path)
