from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.messages import Tool
from lmbridge.wire.tool_calls.advertised import Advertised
from lmbridge.wire.tool_calls.leaks import MAX_HELD, Leaked, Leaks

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = Advertised([Tool("weather", parameters=CITY), Tool("clock", parameters={"type": "object"})])
CALL = '{"name": "weather", "arguments": {"city": "Bern"}}'
BERN = Leaked("weather", '{"city":"Bern"}')
CLOCK = Leaked("clock", "{}")


def found(text: str, size: int = 1000, *, bare: bool = True) -> list[str | Leaked]:
    """Text and calls of *text*, fed in pieces; texts that follow each other joined."""
    leaks = Leaks(TOOLS, bare=bare)
    pieces = [p for k in range(0, len(text), size) for p in leaks.feed(text[k : k + size])] + leaks.close()
    joined: list[str | Leaked] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


LEAKED = {
    "marks": (f"<tool_call>\n{CALL}\n</tool_call>", [BERN]),
    "marks of LM Studio": (f"[TOOL_REQUEST]{CALL}[END_TOOL_REQUEST]", [BERN]),
    "bare": (CALL, [BERN]),
    "bare, with space": (f"\n\n {CALL}\n", [BERN]),
    "fenced": (f"```json\n{CALL}\n```\n", [BERN]),
    "fenced without a label": (f"```\n{CALL}```", [BERN]),
    "after words": (f"I look.\n<tool_call>{CALL}</tool_call>", ["I look.\n", BERN]),
    "before words": (f"<tool_call>{CALL}</tool_call>\n\nNow I wait.", [BERN, "Now I wait."]),
    "two": (
        f"\n<tool_call>{CALL}</tool_call>\n<tool_call>{{'name': 'clock', 'arguments': {{}},}}</tool_call>\n",
        [BERN, CLOCK],
    ),
    "never closed": (f"<tool_call>{CALL}", [BERN]),
    "as OpenAI writes it": (
        '{"type": "function", "function": {"name": "weather", "arguments": "{\\"city\\": \\"Bern\\"}"}}',
        [BERN],
    ),
    "parameters": ('{"name": "weather", "parameters": {"city": "Bern"}}', [BERN]),
    "arguments first": ('{"arguments": {"city": "Bern"}, "name": "weather"}', [BERN]),
    "Python": ("{'name': 'weather', 'arguments': {'city': 'Bern'}}", [BERN]),
    "a fenced call between marks": (f"<tool_call>{CALL}</tool_call>", [BERN]),
}


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("name", LEAKED)
def test_a_call_in_the_text_is_found(name: str, size: int) -> None:
    text, pieces = LEAKED[name]
    assert found(text, size) == pieces


TEXT = {
    "words": "Hello, there is <nothing> [HERE].",
    "an unknown tool": '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
    "an unknown tool, bare": '{"name": "rm", "arguments": {}}',
    "arguments that do not fit": '<tool_call>{"name": "weather", "arguments": {"town": "Bern"}}</tool_call>',
    "arguments that are no object": '{"name": "weather", "arguments": "Bern"}',
    "no arguments": '{"name": "weather"}',
    "two kinds of arguments": '{"name": "weather", "arguments": {"city": "Bern"}, "parameters": {}}',
    "no name": '{"arguments": {"city": "Bern"}}',
    "a name that is no text": '{"name": 1, "arguments": {"city": "Bern"}}',
    "a list": f"[{CALL}]",
    "other JSON": '{"city": "Bern", "name": "weather"}',
    "more after it": f"{CALL} is what I would call.",
    "words before it": f"I would call {CALL}",
    "the mark alone": "Write <tool_call> and then an object.",
    "the marks and words": "<tool_call>weather in Bern</tool_call>",
    "an opening at the end": "It begins with <tool_",
    "a mark at the very end": "It begins with <tool_call>",
    "broken": "<tool_call>{{{</tool_call> and more",
    "an example": f"So it is done:\n```\n<tool_call>{CALL}</tool_call>\n```\nDo you see?",
    "another fence": f"```python\n{CALL}\n```",
    "a fence around words": "```\nwords\n```",
    "a fence without an end of its line": "```json",
    "two ticks": "``",
    "an opening brace": "{",
    "space": "  \n",
    "nothing": "",
    "an object that says something else": '{ "answer": 42 }',
    "a brace of a sentence": "{ so it begins",
}


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("name", TEXT)
def test_everything_else_stays_text_to_the_letter(name: str, size: int) -> None:
    text = TEXT[name]
    assert found(text, size) == ([text] if text else [])


def test_an_answer_that_must_follow_a_schema_is_no_call() -> None:
    assert found(CALL, bare=False) == [CALL]
    assert found(f"<tool_call>{CALL}</tool_call>", bare=False) == [BERN]


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("Hello", "Hello"),
        ("Hello <tool", "Hello "),
        ("Hello <tools", "Hello <tools"),
        ("Hello <tool_call>so", "Hello <tool_call>so"),
        ('{"nam', ""),
        ('{"nome', '{"nome'),
        ('{"name": "rm", ', '{"name": "rm", '),
        ('{"name": "weather", ', ""),
        (f"{CALL} a", f"{CALL} a"),
        ("```js", ""),
        ("```jx", "```jx"),
        ("```json\n4", "```json\n4"),
        ("{x", "{x"),
    ],
)
def test_text_is_kept_back_only_while_it_may_be_a_call(text: str, passed: str) -> None:
    leaks = Leaks(TOOLS)
    assert "".join(map(str, [p for char in text for p in leaks.feed(char)])) == passed


@pytest.mark.parametrize("before", ["", "<tool_call>"])
def test_what_is_kept_back_has_a_limit(before: str) -> None:
    leaks = Leaks(TOOLS)
    text = before + '{"name": "weather", "arguments": {"city": "' + MAX_HELD * "x"
    assert "".join(map(str, leaks.feed(text))) == text


def test_space_before_an_object_has_a_limit_too() -> None:
    leaks = Leaks(TOOLS)
    assert leaks.feed(" " * (MAX_HELD + 1)) == [" " * (MAX_HELD + 1)]


def test_marks_within_marks_are_not_looked_at_one_by_one() -> None:
    text = "<tool_call>{" * MAX_HELD
    leaks = Leaks(TOOLS)
    assert leaks.feed(text) == [text]


def test_text_may_go_on_after_a_call_that_came_otherwise() -> None:
    leaks = Leaks(TOOLS)
    assert leaks.feed("{") == []
    assert leaks.close() == ["{"]
    assert leaks.feed("more") == ["more"]


@given(st.text(alphabet="<tool_cal>{}[TOOL_REQUEST]`\"name: wether,gumns'\n", max_size=80), st.integers(1, 9))
def test_no_letter_is_lost_where_nothing_is_called(text: str, size: int) -> None:
    assert found(text, size) == ([text] if text else [])
