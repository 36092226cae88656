"""The training text of the built-in chat model: conversations made from templates, every sentence our own.

Pure Python without dependencies: the same seed gives the same conversations on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from models.corpus.about import about
from models.corpus.arithmetic import arithmetic
from models.corpus.asking import about_in_other_words
from models.corpus.extract import extract
from models.corpus.notes import notes
from models.corpus.repeat import repeat
from models.corpus.smalltalk import (
    farewell,
    greeting,
    introduction,
    summary,
    thanks,
    unknown,
    unknown_question,
)
from models.corpus.source import Conversation, Skill, Source, assistant, user
from models.corpus.system import first_word, last_word, own_name, plain
from models.corpus.toolcalls import (
    NO_TOOL,
    everyday_call,
    invented_tool,
    no_fitting_tool,
    offered,
    tool_again,
    tool_call,
    tool_result,
)

TALK: tuple[tuple[float, Skill], ...] = (
    (26, about),
    (3, greeting),
    (2, thanks),
    (1.5, farewell),
    (4, introduction),
    (9, unknown),
    (15, repeat),
    (16, arithmetic),
    (18, extract),
    (4, summary),
)
TOOLS: tuple[tuple[float, Skill], ...] = (
    (12, tool_call),
    (6, tool_result),
    (2, tool_again),
    (4, no_fitting_tool),
)
SHORT: tuple[tuple[float, Skill], ...] = tuple(row for row in TALK if row[1] not in (summary, introduction))


def talk(source: Source) -> Conversation:
    """A conversation of one to four questions without tools."""
    if source.chance(0.02):
        return own_name(source)
    first = source.likely(TALK)(source)
    if source.chance(0.62):
        return first
    return chain(source, first, source.number(1, 3))


def chain(source: Source, first: Conversation, more: int) -> Conversation:
    """*first*, and *more* questions of other kinds after it."""
    messages, last = list(first.messages), first
    for _ in range(more):
        last = source.likely(SHORT)(source)
        messages += [m for m in last.messages if m["role"] != "system"]
    return replace(last, messages=messages)


def talk_beside_tools(source: Source) -> Conversation:
    """Tools are on offer, and nobody needs them."""
    tools = offered(source, [], source.number(1, 3)) or [invented_tool(source).tool]
    if source.chance(0.25):
        tools = [invented_tool(source).tool for _ in range(source.number(1, 3))]
        question = user(unknown_question(source))
        return Conversation("no_tool", [question, assistant(NO_TOOL)], tools, keywords=("None of my tools",))
    inner = source.likely(((6, about), (3, greeting), (3, thanks), (2, farewell), (2, introduction), (2, repeat)))(
        source
    )
    return replace(inner, skill="no_tool", tools=tools)


def with_tools(source: Source) -> Conversation:
    """A conversation in which tools are on offer."""
    if source.chance(0.22):
        return talk_beside_tools(source)
    first = source.likely(TOOLS)(source)
    if source.chance(0.8):
        return first
    after = source.likely(((3, thanks), (2, about), (1, greeting)))(source)
    if source.chance(0.5) and first.skill == "tool_result":
        return replace(after, messages=[*first.messages, *after.messages], tools=first.tools)
    return replace(first, messages=[*after.messages, *first.messages])


def conversation(source: Source) -> Conversation:
    """Any conversation of the corpus."""
    made = with_tools(source) if source.chance(0.34) else talk(source)
    if made.messages[0]["role"] == "system" or source.chance(0.72):
        return made
    if made.tools or source.chance(0.6):
        return plain(source, made)
    if made.skill in ("json", "repeat"):
        return made
    return source.pick((first_word, last_word))(source, made)


def drill(source: Source) -> Conversation:
    """Several small tasks of one kind in a row: much practice in few tokens."""
    skill = source.likely(((6, arithmetic), (2, repeat), (2, about_in_other_words)))
    first = skill(source)
    messages, last = list(first.messages), first
    for _ in range(source.number(2, 6)):
        last = skill(source)
        messages += last.messages
    return replace(last, messages=messages)


def pleasantries(source: Source) -> Conversation:
    """Small talk, several turns of it."""
    kinds: tuple[Skill, ...] = (greeting, thanks, farewell, introduction, unknown)
    messages, last = [], None
    for kind in source.some(kinds, source.number(1, 3)):
        last = kind(source)
        messages += last.messages
    assert last
    return replace(last, messages=messages)


# What each part of the training is made of: first everything, then more and more of what is hard.
PARTS: dict[int, tuple[tuple[float, Skill], ...]] = {
    2: (
        (48, conversation),
        (16, about_in_other_words),
        (24, drill),
        (4, extract),
        (3, no_fitting_tool),
        (5, tool_call),
    ),
    3: (
        (36, conversation),
        (9, about_in_other_words),
        (12, drill),
        (10, extract),
        (4, no_fitting_tool),
        (10, everyday_call),
        (3, tool_call),
        (8, pleasantries),
        (5, own_name),
        (6, notes),
    ),
    4: (
        (30, conversation),
        (8, about_in_other_words),
        (10, drill),
        (14, extract),
        (10, no_fitting_tool),
        (12, everyday_call),
        (8, tool_call),
        (5, tool_result),
        (5, pleasantries),
        (3, own_name),
        (4, notes),
    ),
    5: (
        (24, conversation),
        (6, about_in_other_words),
        (8, drill),
        (11, extract),
        (10, no_fitting_tool),
        (24, everyday_call),
        (10, tool_call),
        (4, tool_result),
        (2, tool_again),
        (4, pleasantries),
        (2, own_name),
        (3, notes),
    ),
}


def conversations(seed: int, *, held_out: bool = False, part: int = 1) -> Iterator[Conversation]:
    """Endless conversations for a part of the training; the same *seed* gives the same ones."""
    source = Source(seed, held_out=held_out, broad=part > 2)
    while True:
        yield conversation(source) if part == 1 else source.likely(PARTS[part])(source)
