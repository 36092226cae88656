"""The forms of calls, each read. Where they stand in a text is the matter of `test_leaks`."""

from __future__ import annotations

import pytest

from lmbridge.core.messages import Tool
from lmbridge.wire.tool_calls.advertised import Advertised
from lmbridge.wire.tool_calls.forms import LLAMA, MISTRAL, XML, Leaked, begins_call, may_be_call, read_calls

WRITE = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "text": {"type": "string"}, "mode": {"type": "integer"}},
    "required": ["path"],
    "additionalProperties": False,
}
TOOLS = Advertised([Tool("write", parameters=WRITE), Tool("clock", parameters={"type": "object"})])
CLOCK = Leaked("clock", "{}")
PROGRAM = (
    "<function=write>\n<parameter=path>\na.py\n</parameter>\n<parameter=text>\n{text}\n</parameter>\n</function>"
)


def test_the_text_of_a_parameter_is_kept_to_the_letter() -> None:
    text = 'def f():\n    return {"a": 1}  # <b>\n\n'
    (call,) = read_calls("<tool_call>", PROGRAM.replace("{text}", text), TOOLS)
    assert call.name == "write"
    assert call.arguments == '{"path":"a.py","text":"def f():\\n    return {\\"a\\": 1}  # <b>\\n\\n"}'


def test_a_parameter_is_of_the_type_that_the_tool_takes() -> None:
    body = "write><parameter=path>5</parameter><parameter=mode>5</parameter></function>"
    assert read_calls(XML, body, TOOLS) == [Leaked("write", '{"path":"5","mode":5}')]
    assert read_calls(XML, body.replace(">5<", ">five<"), TOOLS) == []


@pytest.mark.parametrize(
    ("mark", "text", "calls"),
    [
        ("", '{"name": "clock", "arguments": {}}', 1),
        ("", '[{"name": "clock", "arguments": {}}, {"name": "clock", "arguments": {}}]', 2),
        ("", '[{"name": "clock", "arguments": {}}, {"name": "clack", "arguments": {}}]', 0),
        ("", "[]", 0),
        ("<tool_call>", '{"name": "clock", "arguments": {}}</tool_call>', 1),
        ("<tool_call>", "<function=clock></function><function=clock>{}</function></tool_call>", 2),
        ("<tool_call>", "<function=clock></function> and words</tool_call>", 0),
        (XML, "clock>{'a': True,}</function>", 1),
        (XML, "clock>", 0),
        (MISTRAL, '[{"name": "clock", "arguments": {}}]', 1),
        (MISTRAL, 'clock[ARGS]{"a": 1}[TOOL_CALLS]clock{}</s>\n', 2),
        (MISTRAL, "clock[ARGS]{}[TOOL_CALLS]", 0),
        (LLAMA, '{"name": "clock", "parameters": {}}<|eot_id|>', 1),
        (LLAMA, '{"name": "clock", "parameters": {}};\n{"name": "clock", "parameters": {}}', 2),
        (LLAMA, '{"name": "clock", "parameters": {}}; {"name": "clock"}', 0),
        (LLAMA, 'clock.call(query="x")', 0),
    ],
)
def test_all_that_is_there_are_calls_or_nothing_is_one(mark: str, text: str, calls: int) -> None:
    assert len(read_calls(mark, text, TOOLS)) == calls


WHOLE = [
    ("<tool_call>", '\n[{"name": "clock", "arguments": {}}]'),
    ("<tool_call>", "\n<function=clock></function>\n"),
    ("[TOOL_REQUEST]", '{"name": "clock", "arguments": {}}'),
    (XML, 'write>{"path": "a"}'),
    (MISTRAL, ' [ {"name": "clock", "arguments": {}}]'),
    (MISTRAL, "write[ARGS]{}"),
    (LLAMA, '{"type": "function", "name": "clock", "parameters": {}}'),
]


@pytest.mark.parametrize(("mark", "body"), WHOLE)
def test_every_beginning_of_a_call_may_become_one(mark: str, body: str) -> None:
    assert all(may_be_call(mark, body[:end], TOOLS) for end in range(len(body) + 1))


@pytest.mark.parametrize(
    ("mark", "body"),
    [
        ("<tool_call>", "words"),
        ("<tool_call>", "[1"),
        ("[TOOL_REQUEST]", "<function="),
        (XML, "rm>"),
        (XML, "writes"),
        (MISTRAL, "rm"),
        (MISTRAL, '[{"name": "rm"'),
        (LLAMA, "import"),
        (LLAMA, '{"city"'),
    ],
)
def test_what_cannot_become_a_call_is_known_early(mark: str, body: str) -> None:
    assert not may_be_call(mark, body, TOOLS)


def test_an_answer_without_marks_begins_as_calls_do_or_is_none() -> None:
    for beginning in ("", "[", "{", '{"na', "[ {'arguments", '{"name": "clo'):
        assert begins_call(beginning, TOOLS)
    for other in ("[]", "[[", "word", "{1", '{"city', '{"name": "clo"'):
        assert not begins_call(other, TOOLS)


def test_a_long_run_of_lines_after_an_object_is_read_in_no_time() -> None:
    assert read_calls(LLAMA, '{"name": "clock"}' + "\n" * 60_000 + "x", TOOLS) == []
