from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmbridge.wire.tool_calls.mend import mended
from lmbridge.wire.tool_calls.prefix import MAX_LEFT, JSONPrefix

OBJECT = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def fed(text: str, size: int = 1) -> tuple[str, JSONPrefix]:
    """What is passed on of *text*, and the prefix it was fed to."""
    prefix = JSONPrefix()
    return "".join(prefix.feed(text[k : k + size]) for k in range(0, len(text), size)), prefix


@given(OBJECT, st.integers(1, 7), st.sampled_from([None, 2]))
def test_an_object_that_is_right_passes_whole(value: object, size: int, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    passed, prefix = fed(text, size)
    assert passed == text
    assert prefix.complete
    assert not prefix.faulty


@given(OBJECT, st.text(alphabet="{}[]\",:'\\ \n1tT`", max_size=5), st.integers(0, 60), st.integers(1, 7))
@example({"a": 1}, ",", 7, 1)
@example({"a": [1]}, ",", 8, 1)
def test_what_has_passed_is_the_beginning_of_what_is_mended(value: object, fault: str, at: int, size: int) -> None:
    right = json.dumps(value)
    text = right[:at] + fault + right[at:]
    passed, prefix = fed(text, size)
    assert text.startswith(passed)
    assert prefix.whole == text
    try:
        good = mended(text)
    except ValueError:
        return
    assert good.startswith(passed)


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ('{"city": "Be', '{"city": "Be'),
        ('{"city": "Bern",}', '{"city": "Bern"'),
        ('{"days": [1, 2, ]', '{"days": [1, 2'),
        ('{"a": 12', '{"a": '),
        ('{"a": 1.2.3}', '{"a": '),
        ('{"a": True}', '{"a": '),
        ('{"a": tru', '{"a": '),
        ("{'a': 1}", "{"),
        ('{"a": "\\', '{"a": "'),
        ('{"a": "\\u00', '{"a": "'),
        ('{"a": "\\q"}', '{"a": "'),
        ('{"a": "\\uzzzz"}', '{"a": "'),
        ('{"a": "\n"}', '{"a": "'),
        ('{"a" 1}', '{"a" '),
        ('{"a": ]}', '{"a": '),
        ('"text"', ""),
        ("```json", ""),
        ("[1]", ""),
        ('{"a": 1} more', '{"a": 1}'),
    ],
)
def test_it_stops_before_the_first_fault(text: str, passed: str) -> None:
    for size in (1, 3, len(text)):
        assert fed(text, size)[0] == passed


def test_what_follows_the_object_is_told() -> None:
    assert fed('{"a": 1} more')[1].rest == " more"


@pytest.mark.parametrize("text", ['{"a": ' + "1" * 2 * MAX_LEFT, '{"a": 1,' + " " * 2 * MAX_LEFT])
def test_what_does_not_end_is_not_waited_for(text: str) -> None:
    passed, prefix = fed(text, 512)
    assert len(passed) < 10
    assert prefix.faulty
    assert prefix.whole == text


@pytest.mark.parametrize("text", ['[{"a": 1}, [2], "x"]', "[]", '{"a": [1]}'])
def test_a_list_may_be_read_as_well_where_that_was_said(text: str) -> None:
    prefix = JSONPrefix("value")
    assert "".join(map(prefix.feed, f"{text} more")) == text
    assert (prefix.complete, prefix.rest) == (True, " more")
    assert not JSONPrefix().feed("[]")
