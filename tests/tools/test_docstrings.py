"""Docstrings in whichever of the usual forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.tools.docstrings import Documented, documented

GOOGLE = """Do it
    well.

    More for people.

    Args:
        a: the number
            of things
        b (str, optional): its name: short
        c:

        *rest: more

    Returns:
        x: not a parameter
    """
NUMPY = """Do it well.

    Parameters
    ----------
    a : int
        the number
        of things
    b, c : str, optional
        names

    Returns
    -------
    x : int
        not a parameter
    """
REST = """
    Do it well.

    :param a: the number
        of things
    :param str b: its name
    :returns: nothing
        to speak of
    :raises ValueError: never
    """


@pytest.mark.parametrize(
    ("docstring", "parameters"),
    [
        (GOOGLE, {"a": "the number of things", "b": "its name: short", "rest": "more"}),
        (NUMPY, {"a": "the number of things", "b": "names", "c": "names"}),
        (REST, {"a": "the number of things", "b": "its name"}),
        ("Do it well.", {}),
        ("Do it well.\nArgs:\n    a: x\nb: not indented", {"a": "x"}),
        ("Do it well.\n\nArgs:\n    loose words\n", {}),
        ("Do it well.\n\n:param a: x\n\n   not of a\n:type a: int", {"a": "x"}),
    ],
)
def test_the_first_paragraph_is_the_description_and_parameters_are_found(
    docstring: str, parameters: dict[str, str]
) -> None:
    assert documented(docstring) == Documented("Do it well.", parameters)


def test_an_empty_docstring_says_nothing() -> None:
    assert documented(None) == documented("") == Documented()
    assert documented("\n    Args:\n        a: x\n") == Documented("", {"a": "x"})
    assert documented("Parameters\n----------\na : int\n    x") == Documented("", {"a": "x"})


@given(st.text(st.sampled_from("Args:Parameters-\n ab:param(),*")))
def test_no_text_is_too_odd(text: str) -> None:
    found = documented(text)
    assert all(name and said for name, said in found.parameters.items())
