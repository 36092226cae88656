"""Calling a tool: which of those on offer, with what arguments, and what to say about the result.

Half of the tools are everyday ones under many names, the other half are invented, so that the model must read the
list it is shown instead of remembering one.
"""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501, SIM905

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.corpus.everyday import TASKS, clock, few_words
from models.corpus.others import OTHERS
from models.corpus.source import Conversation, Message, Source, Tool, Wordings, assistant, user
from models.corpus.words import (
    ADJECTIVES,
    COLOURS,
    NOUNS,
    VERBS_NOW,
    city,
    invented,
    name,
    path,
    sentence,
    word,
)

ASK_INVENTED = Wordings(
    train="Please {verb} the {noun} {args}|{Verb} the {noun} {args}|{Verb} a {noun} {args}|I want to {verb} the {noun} {args}|Can you {verb} the {noun} {args}?|{Verb} {noun} {args}|Use {tool} {args}|Call {tool} {args}".split(
        "|"
    ),
    held_out="Could you {verb} the {noun} {args}?|I need to {verb} the {noun} {args}|Go and {verb} the {noun} {args}|Run {tool} {args}".split(
        "|"
    ),
    more="I would like to {verb} the {noun} {args}|It is time to {verb} the {noun} {args}|Let us {verb} the {noun} {args}|We must {verb} the {noun} {args}|Use the tool {tool} {args}|Start {tool} {args}|Execute {tool} {args}|Make a call to {tool} {args}|I ask you to {verb} a {noun} {args}|Help me to {verb} the {noun} {args}|Would you {verb} the {noun} {args}?|{Verb} my {noun} {args}|{Verb} this {noun} {args}|{Verb} one {noun} {args}|I have to {verb} the {noun} {args}|I need you to {verb} the {noun} {args}|I need to {verb} a {noun} {args}|I should {verb} the {noun} {args}|I'd like to {verb} the {noun} {args}|I'd like you to {verb} a {noun} {args}|We need to {verb} the {noun} {args}|We want to {verb} a {noun} {args}|Someone should {verb} the {noun} {args}|The {noun} needs to be handled: {verb} it {args}|There is a {noun} to {verb} {args}|Now {verb} the {noun} {args}|Go on and {verb} the {noun} {args}|Try to {verb} the {noun} {args}|Do {verb} the {noun} {args}|Could you please {verb} the {noun} {args}?|Could you {verb} a {noun} {args}?|Can you {verb} a {noun} {args}?|Can you {verb} my {noun} for me {args}?|Will you {verb} the {noun} {args}?|May I ask you to {verb} the {noun} {args}?|Run the tool {tool} {args}|Run {tool} now {args}|Do {tool} {args}|Try {tool} {args}|Please call {tool} {args}|Please use {tool} {args}|Please run {tool} for me {args}|I want {tool} {args}|I need {tool} {args}|{tool} {args}|{tool}: {args}|Invoke {tool} {args}|Launch {tool} {args}|Go {tool} {args}|Now {tool} {args}|Could you run {tool} {args}?|Can you call {tool} {args}?".split(
        "|"
    ),
)
NO_TOOL = "None of my tools can do that."


def _schema(parameters: dict[str, str], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {k: {"type": v} for k, v in parameters.items()},
        "required": required,
    }


def _tool(name: str, purpose: str, parameters: dict[str, str]) -> Tool:
    function: dict[str, Any] = {"name": name, "parameters": _schema(parameters, list(parameters))}
    if purpose:
        function = {"name": name, "description": purpose, "parameters": function["parameters"]}
    return {"type": "function", "function": function}


def call(name: str, arguments: dict[str, Any]) -> Message:
    """The model's message that calls a tool."""
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }


@dataclass(frozen=True)
class Request:
    """A tool, a way to ask for it, and the arguments that are right."""

    tool: Tool
    ask: str
    arguments: dict[str, Any]

    @property
    def name(self) -> str:
        """The tool's name."""
        return str(self.tool["function"]["name"])


def everyday(source: Source) -> Request:
    """A request for one of the everyday tools."""
    task = source.pick(TASKS)
    names = [source.pick(slot.names) for slot in task.slots]
    values = [slot.make(source) for slot in task.slots]
    purpose = source.pick(task.purposes) if source.chance(0.8) else ""
    tool = _tool(
        source.pick(task.names), purpose, {n: slot.kind for n, slot in zip(names, task.slots, strict=True)}
    )
    asks = source.pick(OTHERS[task.names[0]]) if source.others else source.phrase(task.asks)
    ask = asks.format(*values)
    if source.chance(0.12):
        ask = ask.rstrip(".?")
    return Request(tool, ask, dict(zip(names, values, strict=True)))


VALUES: tuple[tuple[str, Callable[[Source], Any]], ...] = (
    ("string", lambda s: word(s)),
    ("string", lambda s: name(s)),
    ("string", lambda s: city(s)),
    ("string", lambda s: path(s)),
    ("string", lambda s: few_words(s)),
    ("integer", lambda s: s.number(0, 10 ** s.number(1, 5))),
    ("number", lambda s: s.number(0, 999) / 10),
    ("boolean", lambda s: s.chance(0.5)),
)


def _spoken(key: str, value: Any, source: Source) -> str:
    shown = json.dumps(value) if isinstance(value, bool) else str(value)
    key = key.replace("_", " ")
    return source.pick((f"{key} {shown}", f"with {key} {shown}", f"{key}: {shown}", f"{key} = {shown}"))


def invented_tool(source: Source) -> Request:
    """A request for a tool that exists nowhere else."""
    verb, noun = source.pick(VERBS_NOW), source.pick(NOUNS) if source.chance(0.6) else invented(source)
    tool_name = source.pick(
        (
            f"{verb}_{noun}",
            f"{verb}_{noun}",
            f"{noun}_{verb}",
            f"{verb}{noun.capitalize()}",
            f"{invented(source, 1, 1)}_{noun}",
        )
    )
    purpose = source.pick(
        (f"{verb.capitalize()} a {noun}.", f"{verb.capitalize()} the {noun}.", f"Can {verb} a {noun}.", "")
    )
    parameters, arguments, spoken = {}, {}, []
    for _ in range(source.likely(((1, 0), (5, 1), (4, 2), (1.5, 3)))):
        key = source.pick(
            (
                source.pick(NOUNS),
                source.pick(("name", "id", "size", "count", "mode", "label", "value", "target", "limit")),
                invented(source, 1, 2),
                f"{source.pick(ADJECTIVES)}_{source.pick(NOUNS)}",
            )
        )
        kind, make = source.pick(VALUES)
        parameters[key], arguments[key] = kind, make(source)
    for key, value in arguments.items():
        spoken.append(_spoken(key, value, source))
    if source.chance(0.3):
        source.rng.shuffle(spoken)
    said = source.pick((", ", " and ", ", ")).join(spoken)
    ask = source.phrase(ASK_INVENTED).format(
        verb=verb, Verb=verb.capitalize(), noun=noun, args=said, tool=tool_name
    )
    return Request(_tool(tool_name, purpose, parameters), ask.replace(" ?", "?").strip(), arguments)


def request(source: Source) -> Request:
    """Any request."""
    return everyday(source) if source.chance(0.6) else invented_tool(source)


def offered(source: Source, wanted: list[Tool], others: int) -> list[Tool]:
    """*wanted* and up to *others* more, in random order, no name twice."""
    tools = {tool["function"]["name"]: tool for tool in wanted}
    for _ in range(others):
        tool = request(source).tool
        if not _similar(tool, wanted):
            tools.setdefault(tool["function"]["name"], tool)
    return source.shuffled(list(tools.values()))


def _family(tool: Tool) -> object:
    name = tool["function"]["name"]
    return next((task.names for task in TASKS if name in task.names), name)


RIVALS = (
    {"get_weather", "get_forecast"},
    {"send_message", "send_email"},
    {"read_file", "list_files"},
    {"set_timer", "set_alarm"},
    {"turn_on", "set_light"},
)


def _similar(tool: Tool, wanted: list[Tool]) -> bool:
    """Whether *tool* could answer for one of *wanted* too."""
    return any(_family(tool) == _family(other) for other in wanted)


# What tools answer -------------------------------------------------------------------------------------------------


def _result(source: Source) -> tuple[str, str, tuple[str, ...]]:
    """A tool's answer, what the model makes of it, and the words that must not get lost."""
    kind = source.number(0, 9)
    if kind < 3:
        values = {_result_key(source): _value(source) for _ in range(source.number(1, 3))}
        shown = ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in values.items())
        return json.dumps(values), f"Here is the result: {shown}.", tuple(_plain(v) for v in values.values())
    if kind < 5:
        text = f"{source.number(-9, 35)} {source.pick(('degrees', 'C', 'degrees Celsius'))}, {source.pick(('sunny', 'cloudy', 'rain', 'snow', 'windy', invented(source)))}"
    elif kind == 5:
        text = str(source.number(-50, 10 ** source.number(1, 6)))
    elif kind == 6:
        text = source.pick((clock(source), "ok", "done", "sent", "true", "saved", invented(source)))
    elif kind == 7:
        text = f"error: {source.pick(('not found', 'no permission', 'timeout', f'no {source.pick(NOUNS)}', 'bad request'))}"
        return text, f"The tool reported an {text}.", (text.removeprefix("error: "),)
    else:
        text = sentence(source).rstrip(".") if source.chance(0.6) else few_words(source)
    return text, f"Here is the result: {text}.", (text,)


RESULT_KEYS = (
    "temperature weather city time status count price name result humidity wind unit country total message date "
    "answer value id size text day"
).split()
"""What real tools call their results; only later parts of the training use them, so that the first stay as they were."""


def _result_key(source: Source) -> str:
    if source.broad and source.chance(0.6):
        return source.pick(RESULT_KEYS)
    return source.pick((source.pick(NOUNS), invented(source)))


def _value(source: Source) -> Any:
    return source.pick(
        (source.number(0, 999), word(source), city(source), source.number(0, 999) / 10, source.pick(COLOURS))
    )


def _plain(value: Any) -> str:
    return str(value)


def result_message(content: str) -> Message:
    """A tool's answer."""
    return {"role": "tool", "tool_call_id": "call_1", "content": content}


# Skills ------------------------------------------------------------------------------------------------------------


def tool_call(source: Source) -> Conversation:
    """One request, one call."""
    wanted = request(source)
    tools = offered(source, [wanted.tool], source.likely(((3, 0), (4, 1), (4, 2), (1, 3))))
    return Conversation("tool_call", [user(wanted.ask), call(wanted.name, wanted.arguments)], tools)


def everyday_call(source: Source) -> Conversation:
    """An everyday tool, mostly among others."""
    wanted = everyday(source)
    tools = offered(source, [wanted.tool], source.number(0, 2))
    return Conversation("tool_call", [user(wanted.ask), call(wanted.name, wanted.arguments)], tools)


def tool_result(source: Source) -> Conversation:
    """A call, its result, the answer; sometimes a second request of the same or another kind."""
    first = tool_call(source)
    content, answer, keywords = _result(source)
    messages = [*first.messages, result_message(content), assistant(answer)]
    return Conversation("tool_result", messages, first.tools, keywords=keywords)


def tool_again(source: Source) -> Conversation:
    """Two requests in one conversation, each with call, result and answer."""
    first, second = request(source), request(source)
    while _similar(second.tool, [first.tool]):
        second = request(source)
    tools = offered(source, [first.tool, second.tool], source.number(0, 1))
    messages: list[Message] = []
    for wanted in (first, second):
        content, answer, keywords = _result(source)
        messages += [
            user(wanted.ask),
            call(wanted.name, wanted.arguments),
            result_message(content),
            assistant(answer),
        ]
    return Conversation("tool_result", messages, tools, keywords=keywords)


# The model answers these without a tool, so they are no example of a request that it must turn down.
ANSWERED_ANYWAY = {n for task in TASKS if task.names[0] in ("add", "multiply", "list_models") for n in task.names}


def no_fitting_tool(source: Source) -> Conversation:
    """A request for which the tools on offer are of no use."""
    wanted = everyday(source)
    while wanted.tool["function"]["name"] in ANSWERED_ANYWAY:
        wanted = everyday(source)
    tools = offered(source, [wanted.tool], source.number(2, 3))
    tools = [t for t in tools if "search_web" not in _names_like(t)]
    rivals = [group for group in RIVALS if any(task_name in group for task_name in _names_like(wanted.tool))]
    tools = [t for t in tools if t is not wanted.tool and not any(set(_names_like(t)) & group for group in rivals)]
    if not tools:
        return no_fitting_tool(source)
    return Conversation(
        "no_tool", [user(wanted.ask), assistant(NO_TOOL)], tools[:3], keywords=("None of my tools",)
    )


def _names_like(tool: Tool) -> tuple[str, ...]:
    family = _family(tool)
    return family if isinstance(family, tuple) else (str(family),)
