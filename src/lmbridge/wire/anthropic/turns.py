"""The turns of an Anthropic conversation as core's messages.

Anthropic's user turns hold the results of tools, and its assistant turns thoughts and calls, each as a block among
others; elsewhere results are messages of a role of their own. `fields.TRANSLATED` says what becomes of what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, takewhile
from typing import Final, TypeAlias

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart, Message, Part, TextPart, ToolCall
from lmbridge.wire.anthropic.blocks import (
    Block,
    DocumentBlock,
    ImageBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    Shown,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from lmbridge.wire.anthropic.parts import GAP, joined, to_parts
from lmbridge.wire.anthropic.requests import CountTokensBody, Turn

_Placed: TypeAlias = tuple[str, Block]
"""A block and where it stands in the request."""

REMINDER: Final = "<system-reminder>\n{}\n</system-reminder>"
"""Around instructions in the midst of a conversation: so Claude Code marked them before the API had turns for
them, and models know it."""

BILLING: Final = re.compile(r"x-anthropic-billing-header:[^\n]*")
"""Claude Code's first line of instructions, meant for Anthropic's accounts. It differs in every request, so that
no engine could use what it remembers of the prompt behind it; see `fields.IGNORED`."""


def to_messages(body: CountTokensBody) -> tuple[Message, ...]:
    """The conversation, instructions first.

    Raises:
        InvalidRequest: a turn that cannot be, such as an assistant's with a picture; `param` names it.
        UnsupportedParameter: a block that cannot be honoured.
    """
    turns = list(enumerate(body.messages))
    leading = list(takewhile(lambda each: each[1].role == "system", turns))
    first = [body.system] if isinstance(body.system, str) else [block.text for block in body.system or ()]
    first = [text for text in first if not BILLING.fullmatch(text)]
    first += [_instructions(_blocks(*each)) for each in leading]
    messages: list[Message] = []
    for answers, group in groupby(turns[len(leading) :], key=lambda each: each[1].role == "assistant"):
        blocks = [block for each in group for block in _said(*each)]
        messages += [_assistant(blocks)] if answers else _user(blocks)
    messages = _ended(messages)
    if system := GAP.join(text for text in first if text):
        messages.insert(0, Message("system", system))
    return tuple(messages)


def _said(position: int, turn: Turn) -> Iterator[_Placed]:
    """The blocks of a turn; instructions after the first turn as words of the user's, in their place.

    Claude Code puts such between the turns of nearly every request, and most templates know instructions at the
    beginning only. Moved there, each new one would make the engine read the whole conversation again.
    """
    blocks = _blocks(position, turn)
    if turn.role != "system":
        yield from blocks
    elif text := _instructions(blocks):
        yield f"messages[{position}].content", TextBlock(REMINDER.format(text))


def _blocks(position: int, turn: Turn) -> Iterator[_Placed]:
    where = f"messages[{position}].content"
    if isinstance(turn.content, str):
        yield where, TextBlock(turn.content)
        return
    if not turn.content and turn.role != "assistant":
        raise InvalidRequest(f"`{where}` is empty.", param=where)
    for number, block in enumerate(turn.content):
        yield f"{where}[{number}]", block


def _ended(messages: list[Message]) -> list[Message]:
    """The turns, made sure that something can be said after the last of them."""
    last = messages[-1] if messages else None
    if last is not None and last.role == "assistant":
        if last.tool_calls:
            raise InvalidRequest(
                "The last turn calls tools, and nobody told their results.",
                hint="Add a user turn with a `tool_result` for each call.",
                param="messages",
            )
        if not last.text:
            return _ended(messages[:-1])  # nothing to go on from
    if last is None:
        raise InvalidRequest("There is nothing to answer.", hint="Send a turn of the user.", param="messages")
    return messages


def _instructions(blocks: Iterable[_Placed]) -> str:
    texts = []
    for where, block in blocks:
        if not isinstance(block, TextBlock):
            raise _misplaced(where, block, "system")
        texts.append(block.text)
    return GAP.join(texts)


def _user(blocks: Sequence[_Placed]) -> list[Message]:
    """The results of tools first, each a message; then what the user says and shows."""
    results: list[Message] = []
    parts: list[Part] = []
    for where, block in blocks:
        match block:
            case ToolResultBlock():
                shown = [part for inner in _inside(where, block) for part in to_parts(*inner)]
                results.append(_result(block, shown))
                parts += [part for part in shown if isinstance(part, ImagePart)]
            case TextBlock() | ImageBlock() | DocumentBlock() | SearchResultBlock():
                parts += to_parts(where, block)
            case _:
                raise _misplaced(where, block, "user")
    content = joined(parts)
    if blocks and not content and not results:
        where = blocks[0][0]
        raise InvalidRequest(f"`{where}` is empty.", param=where)
    return [*results, Message("user", content)] if content else results


def _inside(where: str, block: ToolResultBlock) -> Iterator[tuple[str, Shown]]:
    if isinstance(block.content, str):
        yield where, TextBlock(block.content)
        return
    for number, inner in enumerate(block.content or ()):
        yield f"{where}.content[{number}]", inner


def _result(block: ToolResultBlock, shown: Sequence[Part]) -> Message:
    texts = [part.text for part in shown if isinstance(part, TextPart)]
    if not texts and shown:
        texts = ["See the picture that follows."]
    text = GAP.join(texts)
    if block.is_error:
        text = f"Error: {text}".rstrip()
    return Message("tool", text, tool_call_id=block.tool_use_id)


def _assistant(blocks: Sequence[_Placed]) -> Message:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for where, block in blocks:
        match block:
            case TextBlock(text):
                texts.append(text)
            case ThinkingBlock(thought):
                thoughts.append(thought)
            case RedactedThinkingBlock():
                pass
            case ToolUseBlock(call_id, name, given):
                calls.append(ToolCall(call_id, name, as_json(given)))
            case _:
                raise _misplaced(where, block, "assistant")
    text = GAP.join(text for text in texts if text)
    reasoning = GAP.join(thought for thought in thoughts if thought)
    return Message(
        "assistant", text if text or not calls else None, reasoning=reasoning or None, tool_calls=tuple(calls)
    )


def _misplaced(where: str, block: Block, role: str) -> InvalidRequest:
    kind = type(block).__struct_config__.tag
    return InvalidRequest(f"`{where}`: a turn of the role {role!r} holds no block {kind!r}.", param=where)


def as_json(given: dict[str, object]) -> str:
    """JSON text as models write it."""
    try:
        return json.dumps(given, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The `input` of a tool is nested too deeply.", param="messages") from error
