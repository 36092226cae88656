from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmbridge.core.messages import Tool
from lmbridge.wire.tool_calls.advertised import Advertised
from lmbridge.wire.tool_calls.forms import MARKS, Leaked
from lmbridge.wire.tool_calls.leaks import MAX_HELD, Leaks

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = Advertised([Tool("weather", parameters=CITY), Tool("clock", parameters={"type": "object"})])
CALL = '{"name": "weather", "arguments": {"city": "Bern"}}'
BERN = Leaked("weather", '{"city":"Bern"}')
CLOCK = Leaked("clock", "{}")


def JSON(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:  # noqa: N802
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "arguments", "x"]), inner)


def found(text: str, size: int = 1000, *, bare: bool = True) -> list[str | Leaked]:
    """Text and calls of *text*, fed in pieces; texts that follow each other joined."""
    leaks = Leaks(TOOLS, bare=bare)
    return joined([p for k in range(0, len(text), size) for p in leaks.feed(text[k : k + size])] + leaks.close())


def joined(pieces: list[str | Leaked]) -> list[str | Leaked]:
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
    "a list": (f"[{CALL}, {{'name': 'clock', 'parameters': {{}}}}]", [BERN, CLOCK]),
    "a fenced list": (f"```json\n[\n{CALL}\n]\n```", [BERN]),
    "a list between marks": (f"<tool_call>[{CALL}]</tool_call>", [BERN]),
    "several between marks": (f"<tool_call>\n{CALL}\n{CALL}\n</tool_call>", [BERN, BERN]),
    "right behind a block of code": (f"```\nx\n```<tool_call>{CALL}</tool_call>", ["```\nx\n```", BERN]),
    "Mistral's list": (f"I look. [TOOL_CALLS] [{CALL}, {CALL}]</s>", ["I look. ", BERN, BERN]),
    "Mistral's names": (
        '[TOOL_CALLS]weather[CALL_ID]a1B2[ARGS]{"city": "Bern"}[TOOL_CALLS]clock{}',
        [BERN, CLOCK],
    ),
    "Llama's tag": (
        f'<|python_tag|>{CALL}; {{"name": "clock", "parameters": {{}}}}<|eom_id|>',
        [BERN, CLOCK],
    ),
    "a function with an object": ('So: <function=weather>{"city": "Bern"}</function>', ["So: ", BERN]),
    "a function without arguments": ("<function=clock></function>", [CLOCK]),
    "Qwen3-Coder": (
        "So.\n\n<tool_call>\n<function=weather>\n<parameter=city>\nBern\n</parameter>\n</function>\n</tool_call>",
        ["So.\n\n", BERN],
    ),
    "Qwen3-Coder without the first mark": (
        "<function=weather>\n<parameter=city>\nBern\n</parameter>\n</function>\n</tool_call>\nSo.",
        [BERN, "So."],
    ),
    "Qwen3-Coder, cut at the end": ("<function=weather>\n<parameter=city>\nBern\n</parameter>\n", [BERN]),
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
    "a list with something else": f"[{CALL}, 1]",
    "a list of an unknown tool": '[{"name": "rm", "arguments": {}}]',
    "a list of numbers": "[1, 2]",
    "a list of records": '[{"name": "Bern", "population": 134000}, {"name": "Chur", "population": 38000}]',
    "an empty list": "[]",
    "a list that is no list": "[see below] and {so on}",
    "a list and words": f"[{CALL}] is what I would call.",
    "a mention of a function": "Write <function=clock>",
    "a function of an unknown tool": "<function=rm>{}</function>",
    "a function with other words": "<function=weather>Bern</function>",
    "a function with broken arguments": "<function=weather>{{{</function>",
    "two functions, one unknown": "<tool_call><function=clock></function><function=rm></function></tool_call>",
    "a function and words": "<tool_call><function=clock></function> so</tool_call>",
    "half a parameter": "<function=weather><parameter=city>Bern</function>",
    "Mistral's mark in words": "Mistral writes [TOOL_CALLS] before calls.",
    "Mistral's mark and an unknown tool": "[TOOL_CALLS]rm[ARGS]{}",
    "Mistral's mark and broken arguments": "[TOOL_CALLS]clock[ARGS]{{{",
    "Mistral's mark and words": '[TOOL_CALLS]weather is what I need: {"city": "Bern"}',
    "Llama's tag and a program": "<|python_tag|>import os",
    "Llama's tag and another object": '<|python_tag|>{"city": "Bern"}',
    "arguments that are broken text": '{"name": "weather", "arguments": "{{{"}',
    "the end of a call alone": "It ends with </tool_call>.",
    "a call behind a backtick": f"Write `<tool_call>{CALL}</tool_call>` or `<function=clock></function>`.",
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
    assert found(f"[{CALL}]", bare=False) == [f"[{CALL}]"]
    assert found(f"<tool_call>{CALL}</tool_call>", bare=False) == [BERN]


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("[1", "[1"),
        ('[{"name": "rm", ', '[{"name": "rm", '),
        ("<function=weathex", "<function=weathex"),
        ("<function=weather>", ""),
        ("<tool_call>\n<function", ""),
        ("[TOOL_CALLS]rm", "[TOOL_CALLS]rm"),
        ("[TOOL_CALLS]clo", ""),
        ("<|python_tag|>im", "<|python_tag|>im"),
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
    assert joined(leaks.feed(text) + leaks.close()) == [text]


def test_a_long_call_without_marks_is_found_too() -> None:
    city = "x" * 5000
    text = f'[{{"name": "weather", "arguments": {{"city": "{city}"}}}}]'
    assert found(text, 7) == found(text, len(text)) == [Leaked("weather", f'{{"city":"{city}"}}')]


def test_text_may_go_on_after_a_call_that_came_otherwise() -> None:
    leaks = Leaks(TOOLS)
    assert leaks.feed("{") == []
    assert leaks.close() == ["{"]
    assert leaks.feed("more") == ["more"]


@given(st.text(alphabet="<tool_cal>{}[TOOL_REQUEST]`\"name: wether,gumns'\n", max_size=80), st.integers(1, 9))
def test_no_letter_is_lost_where_nothing_is_called(text: str, size: int) -> None:
    assert found(text, size) == ([text] if text else [])


MARKED = [*MARKS, *filter(None, MARKS.values())]
PIECES = st.sampled_from(
    [
        *MARKED,
        CALL,
        f"[{CALL}]",
        f"[{CALL}",
        '{"name": "weather", "parameters": {"city": "</tool_call>"}}',
        '{"name": "weather", "arguments": {"city": "<function=clock></function>"}}',
        '{"nome": "<tool_call>',
        "weather>",
        "clock></function>",
        "weather[ARGS]",
        "clock",
        '{"city": "Bern"}',
        "<parameter=city>\nBern\n</parameter>",
        "{}",
        "[",
        "]",
        "{",
        "`",
        "```json\n",
        "```",
        "\n",
        " " * 401,
        "; ",
        "words",
        "</s>",
    ]
)
TEXTS = st.lists(PIECES, max_size=9).map("".join)


@given(TEXTS, st.lists(st.integers(0, 400), max_size=12), st.booleans())
@settings(max_examples=500)
def test_however_a_text_is_split_the_same_calls_are_found(text: str, cuts: list[int], bare: bool) -> None:
    leaks, edges = Leaks(TOOLS, bare=bare), sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    pieces = [piece for a, b in pairwise(edges) for piece in leaks.feed(text[a:b])] + leaks.close()
    assert joined(pieces) == found(text, len(text) + 1, bare=bare) == found(text, 1, bare=bare)


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("more", [-1, 0, 1, 50])
def test_what_is_too_long_for_a_call_is_so_however_it_comes(mark: str, more: int) -> None:
    body = "weather>" if mark == "<function=" else ""
    body += '{"name": "weather", "arguments": {"city": "'
    text = mark + body + "x" * (MAX_HELD - len(body) + more) + MARKS[mark] + f"<tool_call>{CALL}</tool_call>"
    whole = found(text, len(text))
    assert whole == found(text, 997) == found(text, 64_000)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text("<[{tool_cal}]>"), JSON, max_leaves=8))
def test_an_answer_that_is_ordinary_json_is_never_taken_for_calls(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=1), f"```json\n{json.dumps(value)}\n```"):
        assert found(text, 3) == [text]
