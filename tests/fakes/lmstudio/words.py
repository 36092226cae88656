"""What the fake's models say: the same words for the same request, whichever route it came by.

They repeat what they were told. `count to 5` makes them say five words, for long answers; a tool that they may
call is called with the words said, unless these begin with `no tool`; its result is then repeated.
"""

from __future__ import annotations

import json
import secrets
import string
from typing import Any

from msgspec import Struct
from tests.fakes.lmstudio.models import Body
from tests.fakes.lmstudio.runtime import FakeInstance

THOUGHTS = ["Let ", "me ", "think. "]
ALPHABET = string.digits + string.ascii_lowercase


class Ask(Struct):
    """A request in the words of none of the routes.

    Attributes:
        text: the last thing the user said. told: what a tool gave, if that came last.
        words: of everything in the prompt; each counts as a token.
        tools: names of those that may be called. choice: `none`, `auto` or `required`.
        schema: what the answer must look like. limit: most tokens of it.
    """

    text: str
    words: int
    told: str | None = None
    images: int = 0
    tools: tuple[str, ...] = ()
    choice: str = "auto"
    schema: Body | None = None
    limit: int | None = None
    stop: tuple[str, ...] = ()
    think: bool = False
    mute: bool = False


class Said(Struct):
    """An answer: thoughts, then words or tool calls (name and arguments), and why it ended."""

    thoughts: list[str]
    words: list[str]
    calls: list[tuple[str, str]]
    reason: str
    prompt_tokens: int

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def thought(self) -> str:
        return "".join(self.thoughts)

    @property
    def tokens(self) -> int:
        """What it cost. One too few at the limit, as was seen there."""
        made = len(self.thoughts) + len(self.words) + sum(len(given.split()) for _, given in self.calls)
        return made - 1 if self.reason == "length" else made


def answer(ask: Ask, instance: FakeInstance) -> Said:
    """What a model says to that."""
    thoughts = list(THOUGHTS) if ask.think else []
    prompt = ask.words + 5
    if ask.mute:
        return Said([], [], [], "stop", prompt)
    calls = _calls(ask)
    if calls:
        return Said(thoughts, [], calls, "tool_calls", prompt)
    words = _words(ask)
    for stop in ask.stop:
        text = "".join(words)
        if stop in text:
            words = _split(text.partition(stop)[0])
    room = instance.context_length - prompt
    limit = room if ask.limit is None or ask.limit < 0 else min(ask.limit, room)
    if len(thoughts) + len(words) >= limit > 0:
        thoughts = thoughts[:limit]
        return Said(thoughts, words[: limit - len(thoughts)], [], "length", prompt)
    return Said(thoughts, words, [], "stop", prompt)


def _calls(ask: Ask) -> list[tuple[str, str]]:
    if not ask.tools or ask.choice == "none":
        return []
    if ask.choice != "required" and (ask.told is not None or ask.text.startswith("no tool")):
        return []
    names = ask.tools[:2] if ask.text.startswith("both tools") else ask.tools[:1]
    return [(name, json.dumps({"text": ask.text}, ensure_ascii=False)) for name in names]


def _words(ask: Ask) -> list[str]:
    if ask.schema is not None:
        return _split(json.dumps(_fitting(ask.schema)))
    if ask.told is not None:
        return _split(f"The tool said: {ask.told}")
    begin, _, number = ask.text.partition("count to ")
    if not begin and number.isdigit():
        return [f"{k} " for k in range(1, int(number) + 1)]
    seen = f" ({ask.images} images)" if ask.images else ""
    return _split(f"You said: {ask.text}{seen}")


def _split(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


def _fitting(schema: Any) -> Any:
    """The plainest value that a schema allows."""
    if not isinstance(schema, dict):
        return "yes"
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return _fitting(schema[several][0])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            return {name: _fitting(each) for name, each in schema.get("properties", {}).items()}
        case "array":
            return [_fitting(schema.get("items"))]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "yes"


def random_id(prefix: str, length: int = 21) -> str:
    """An id as the server makes them."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(length))


def response_id() -> str:
    """The id of a stored answer."""
    return f"resp_{secrets.token_hex(24)}"


def call_id() -> str:
    """The id of a tool call: nine digits."""
    return "".join(secrets.choice(string.digits) for _ in range(9))
