"""How calls look that models write into their text: what each form holds, read.

| mark | form | whose |
|---|---|---|
| `<tool_call>` | an object, a list of them, or the next but one | Hermes, Qwen |
| `[TOOL_REQUEST]` | an object | what LM Studio teaches models without a form of their own |
| `<function=` | `NAME>{…}</function>`, `NAME><parameter=KEY>…</parameter></function>` | Llama 3.1, Qwen3-Coder |
| `[TOOL_CALLS]` | `[{…}]`, `NAME[ARGS]{…}`, `NAME{…}` | Mistral |
| `<|python_tag|>` | objects, a `;` between two | Llama 3.1 and later |
| none | an object or a list of them, and nothing else | |

Sources: the chat templates of these models, as their repositories on Hugging Face have them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.wire.tool_calls.advertised import Advertised
from lmbridge.wire.tool_calls.mend import Unmendable, decode_loosely

XML: Final = "<function="
MISTRAL: Final = "[TOOL_CALLS]"
LLAMA: Final = "<|python_tag|>"
MARKS: Final = {
    "<tool_call>": "</tool_call>",
    "[TOOL_REQUEST]": "[END_TOOL_REQUEST]",
    XML: "</function>",
    MISTRAL: "",
    LLAMA: "",
}
"""What begins a call, and what ends it; "" where that is the end of the text."""

_FUNCTION: Final = re.compile(r"\s*<function=([^>\s]+)>(.*?)(</function>|\Z)\s*", re.S)
_PARAMETER: Final = re.compile(r"\s*<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>\s*", re.S)
_NAMED: Final = re.compile(r"\s*([^\s\[{]+)(?:\[CALL_ID\][^\s\[{]*)?(?:\[ARGS\])?\s*(\{.*)", re.S)
_BETWEEN: Final = re.compile(r"(?<=\})[ \t\r]*[;\n]\s*(?=\{)")
_LAST: Final = re.compile(r"(?:</s>|<\|(?:eom_id|eot_id)\|>)\s*$")
"""What a runtime leaves of the end of an answer when it does not know these forms."""
_HEAD: Final = re.compile(r"[^\s\[{>]*")
_KEYS: Final = ("name", "arguments", "parameters", "type", "function", "id")
"""With which a call can begin."""
_FIRST_NAME: Final = re.compile(r"\[?\s*\{\s*[\"']name[\"']\s*:\s*[\"']([^\"'\\]*)[\"']")


class Leaked(Struct, frozen=True):
    """A call that was found in the text."""

    name: str
    arguments: str


def may_be_call(mark: str, body: str, tools: Advertised) -> bool:
    """Whether a call can begin like that. Of what can be one, every beginning is one that can."""
    body = body.lstrip()
    match mark:
        case "<tool_call>":
            return _may_be_objects(body) or body[: len(XML)] == XML[: len(body)]
        case "[TOOL_REQUEST]":
            return _may_be_objects(body)
        case _ if mark == XML or (mark == MISTRAL and body[:1] not in ("", "[", "{")):
            return _may_be_name(body, tools)
        case _:
            return begins_call(body, tools)


def _may_be_objects(body: str) -> bool:
    return body.removeprefix("[").lstrip()[:1] in ("", "{")


def _may_be_name(body: str, tools: Advertised) -> bool:
    found = _HEAD.match(body)
    head = found[0] if found else ""
    return head in tools if len(head) < len(body) else tools.some_begin_with(head)


def begins_call(body: str, tools: Advertised) -> bool:
    """Whether an object may follow that begins as calls do, or a list of such: of a tool that there is."""
    inner = body[1:].lstrip() if body.startswith("[") else body
    if not inner.startswith("{"):
        return not inner
    key = inner[1:].lstrip()
    if not key:
        return True
    named = _FIRST_NAME.match(body)
    if named is not None and named[1] not in tools:
        return False
    return key[0] in "\"'" and any((known + key[0]).startswith(key[1 : len(known) + 2]) for known in _KEYS)


def read_calls(mark: str, text: str, tools: Advertised) -> list[Leaked]:
    """The calls that *text* is, which follows *mark*; none if any of it is something else."""
    if mark == XML:
        return _functions(XML + text, tools)
    text = text.removesuffix(MARKS.get(mark, ""))
    if mark in (MISTRAL, LLAMA):
        text = _LAST.sub("", text)
    if mark == MISTRAL:
        return _all([_mistral(each, tools) for each in text.split(MISTRAL)])
    return _functions(text, tools) if text.lstrip().startswith(XML) else _objects(text, tools)


def _all(found: Sequence[list[Leaked]]) -> list[Leaked]:
    """All calls, or none if one of them is none."""
    return [call for each in found for call in each] if all(found) else []


def _objects(text: str, tools: Advertised) -> list[Leaked]:
    try:
        value = decode_loosely(text.strip())
    except Unmendable:
        several = _BETWEEN.split(text.strip())
        return _all([_objects(each, tools) for each in several]) if len(several) > 1 else []
    return _all([_object(each, tools) for each in value]) if isinstance(value, list) else _object(value, tools)


def _object(value: object, tools: Advertised) -> list[Leaked]:
    """`{"name": …, "arguments": {…}}`, or the same as OpenAI writes it."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return []
    given = [value[key] for key in ("arguments", "parameters") if key in value]
    if len(given) != 1:
        return []
    arguments = given[0]
    if isinstance(arguments, str):
        try:
            arguments = decode_loosely(arguments)
        except Unmendable:
            return []
    return _call(value["name"], arguments, tools)


def _mistral(text: str, tools: Advertised) -> list[Leaked]:
    named = _NAMED.fullmatch(text)
    if named is None:
        return _objects(text, tools)
    try:
        return _call(named[1], decode_loosely(named[2].strip()), tools)
    except Unmendable:
        return []


def _functions(text: str, tools: Advertised) -> list[Leaked]:
    found: list[list[Leaked]] = []
    at = 0
    while at < len(text):
        function = _FUNCTION.match(text, at)
        if function is None:
            return []
        name, body, closing = function.groups()
        # What ends a call is often taken for the end of the answer; a mere mention is no call.
        found.append(_function(name, body, tools) if closing or body.strip() else [])
        at = function.end()
    return _all(found)


def _function(name: str, body: str, tools: Advertised) -> list[Leaked]:
    if name not in tools:
        return []
    if body.lstrip().startswith("{"):
        try:
            return _call(name, decode_loosely(body.strip()), tools)
        except Unmendable:
            return []
    texts: dict[str, str] = {}
    body, at = body.strip(), 0
    while at < len(body):
        parameter = _PARAMETER.match(body, at)
        if parameter is None:
            return []
        texts[parameter[1]] = parameter[2]
        at = parameter.end()
    return _call(name, tools.typed(name, texts), tools)


def _call(name: str, arguments: object, tools: Advertised) -> list[Leaked]:
    fits = tools.takes(name, arguments)
    return [Leaked(name, msgspec.json.encode(arguments).decode())] if fits else []
