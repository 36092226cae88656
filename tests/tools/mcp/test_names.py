"""Names of tools are made such that models accept them, and stay apart."""

import re

from hypothesis import given
from hypothesis import strategies as st

from lmbridge.tools.mcp.names import accepted


def test_names_that_are_accepted_stay_and_others_are_made_so() -> None:
    assert accepted(["read_file", "a.b/c d", "x" * 100]) == {
        "read_file": "read_file",
        "a_b_c_d": "a.b/c d",
        "x" * 64: "x" * 100,
    }


def test_names_that_would_be_alike_stay_apart() -> None:
    assert accepted(["a.b", "a_b", "a/b"]) == {"a_b": "a.b", "a_b_2": "a_b", "a_b_3": "a/b"}
    assert list(accepted(["x" * 70, "x" * 71])) == ["x" * 64, "x" * 62 + "_2"]


@given(st.lists(st.text(max_size=80), max_size=20, unique=True))
def test_every_tool_keeps_a_name_of_its_own(names: list[str]) -> None:
    found = accepted(names)
    assert list(found.values()) == names
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in found)
