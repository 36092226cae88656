from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.wire.tool_calls.mend import MAX_DEPTH, MAX_TEXT, Unmendable, decode_loosely, mended

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('{"city": "Bern",}', {"city": "Bern"}),
        ('{"days": [1, 2, ], }', {"days": [1, 2]}),
        ("{'city': 'Bern'}", {"city": "Bern"}),
        ("""{'say': 'it\\'s "so"'}""", {"say": 'it\'s "so"'}),
        ('{"say": "it\\\'s"}', {"say": "it's"}),
        ("{'a': True, 'b': False, 'c': None}", {"a": True, "b": False, "c": None}),
        ('{"a": true, "b": false, "c": null,}', {"a": True, "b": False, "c": None}),
        ('{"text": "one\ntwo\r\n\tthree\x01"}', {"text": "one\ntwo\r\n\tthree\x01"}),
        ('{"where": {"city": "Bern"', {"where": {"city": "Bern"}}),
        ('{"days": [1, 2', None),
        ('{"days": [1, 2]', {"days": [1, 2]}),
        ('{"days": [1, 2],', {"days": [1, 2]}),
        ('```json\n{"city": "Bern"}\n```', {"city": "Bern"}),
        ("```\n{'city': 'Bern'}```", {"city": "Bern"}),
        (json.dumps(json.dumps({"city": "Bern"})), {"city": "Bern"}),
        (json.dumps("{'city': 'Bern'}"), {"city": "Bern"}),
        ('  {"n": -1.5e3, "m": 0,}  ', {"n": -1500.0, "m": 0}),
        ('{"e": "\\u00e9\\n",}', {"e": "é\n"}),
        ('{"quotes": "it\'s",}', {"quotes": "it's"}),
        ("{}", {}),
        ("{,}", None),
    ],
)
def test_a_small_fault_is_mended(written: str, meant: object) -> None:
    if meant is None:
        with pytest.raises(Unmendable):
            decode_loosely(written)
    else:
        assert decode_loosely(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        "Bern",
        '"Bern"',
        '{"city": "Be',
        '{"city": "Bern\\',
        '{"city": "\\d"}',
        '{"n": 12',
        '{"n": 1.2.3}',
        '{"city": }',
        '{"city"',
        '{"city": "Bern"} and so on',
        '{"city": "Bern"]',
        '{"city": Bern}',
        '{"a" "b"}',
        '{"a": 1 "b": 2}',
        "{city: 'Bern'}",
        "[1, 2",
        '{"a": undefined}',
        '{"n": 1e400}',
        '{"city": "\\ud800"}',
        "```json\n```\n{}\n```\n```",
        "[" * (MAX_DEPTH + 2) + "1," + "]" * (MAX_DEPTH + 2),
        "{'a': '" + "x" * MAX_TEXT + "'}",
    ],
)
def test_what_would_have_to_be_guessed_is_left(written: str) -> None:
    with pytest.raises(Unmendable):
        mended(written)


def test_an_answer_that_was_cut_off_is_not_completed() -> None:
    assert mended('{"a": {"b": "c"}', cut=False) == '{"a": {"b": "c"}}'
    with pytest.raises(Unmendable):
        mended('{"a": {"b": "c"}', cut=True)


@given(JSON)
def test_what_is_json_stays_as_it_is(value: object) -> None:
    text = json.dumps(value)
    if not isinstance(value, str):
        assert mended(text) == text


@given(JSON)
def test_what_python_prints_is_understood(value: object) -> None:
    text = repr({"value": value})
    try:
        got = decode_loosely(text)
    except ValueError:
        assert "\\" in text  # Python has escapes that JSON has not
    else:
        assert got == {"value": value}


@given(st.text())
def test_any_text_is_mended_or_refused(text: str) -> None:
    with suppress(ValueError):
        json.loads(mended(text))
