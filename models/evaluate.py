"""Measure the model files that ship, in the real engine, on wordings and words that training never saw.

    python -m models.evaluate --save

Every answer is the most likely one (temperature 0). The scores go to ``models/scores.json``, and from there into
the model card.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.corpus import SHORT, chain, talk_beside_tools
from models.corpus.about import TOPICS, about
from models.corpus.arithmetic import arithmetic, difference, product, total
from models.corpus.extract import extract
from models.corpus.notes import notes
from models.corpus.repeat import repeat
from models.corpus.smalltalk import farewell, greeting, introduction, summary, thanks, unknown
from models.corpus.source import Conversation, Message, Source, assistant, user
from models.corpus.system import first_word, last_word, own_name, plain
from models.corpus.toolcalls import everyday_call, no_fitting_tool, tool_again, tool_call, tool_result
from models.embed_evaluate import embedding_scores
from models.engine import Engine, EngineError, running
from models.places import CHAT_MODEL, EMBEDDING_MODEL

SEED = 987_654
SCORES = Path(__file__).with_name("scores.json")


@dataclass(frozen=True)
class Verdict:
    """What came of one task."""

    right: bool
    stopped: bool
    called: str = ""
    answer: str = ""


def facts(source: Source) -> Iterator[Conversation]:
    """Every topic with every wording that was held out."""
    for topic in TOPICS:
        for question in topic.asks.held_out:
            yield Conversation(
                "about", [user(question), assistant(source.pick(topic.answers))], keywords=topic.keywords
            )


def several_turns(source: Source) -> Conversation:
    """Two to four questions of different kinds, the last one judged."""
    while True:
        made = chain(source, source.likely(SHORT)(source), source.number(1, 3))
        if made.skill in ("about", "arithmetic", "repeat"):
            return made


def remembered(source: Source) -> Conversation:
    """The name that the user gave some turns ago."""
    while True:
        made = introduction(source)
        if len(made.messages) > 2:
            return made


def obeyed(source: Source) -> Conversation:
    """A system prompt that asks for something."""
    kind = source.pick((first_word, last_word, None))
    return kind(source, source.pick((about, greeting, arithmetic))(source)) if kind else own_name(source)


def undisturbed(source: Source) -> Conversation:
    """A system prompt that asks for nothing."""
    return plain(source, source.pick((about, arithmetic, repeat))(source))


def small_talk(source: Source) -> Conversation:
    """Greeting, thanks, farewell."""
    return source.pick((greeting, thanks, farewell))(source)


def second_call(source: Source) -> Conversation:
    """The second request of a conversation, after a call and its result."""
    made = tool_again(source)
    return replace(made, skill="tool_call", messages=made.messages[:6])


def in_others_words(source: Source) -> Conversation:
    """A request for an everyday tool as somebody else would word it."""
    return everyday_call(Source(source.number(0, 2**30), others=True))


CATEGORIES: dict[str, tuple[int, Callable[[Source], Conversation]]] = {
    "sums, exact": (120, total),
    "differences, exact": (120, difference),
    "products, exact": (100, product),
    "repeating, exact": (150, repeat),
    "JSON through the grammar, all values exact": (150, extract),
    "tool call, invented and everyday tools": (200, tool_call),
    "tool call, everyday tools, up to three on offer": (100, everyday_call),
    "tool call, everyday tools in somebody else's words": (200, in_others_words),
    "second tool call of a conversation": (60, second_call),
    "answer from a tool's result": (100, tool_result),
    "no tool fits: says so": (80, no_fitting_tool),
    "tools on offer, none needed": (100, talk_beside_tools),
    "last of 2-4 turns": (100, several_turns),
    "remembers the user's name": (60, remembered),
    "system prompt obeyed (name, first or last word)": (80, obeyed),
    "system prompt that asks for nothing": (60, undisturbed),
    "small talk": (50, small_talk),
    "unknown question: standard reply": (80, unknown),
    "summary of notes (keeps the first sentence)": (40, notes),
    "summary of nonsense sentences (keeps the first)": (40, summary),
}


def wanted_call(message: Message) -> dict[str, Any] | None:
    """The function that *message* calls."""
    calls = message.get("tool_calls")
    return calls[0]["function"] if calls else None


def same_call(wanted: dict[str, Any], got: dict[str, Any] | None) -> bool:
    """Whether *got* names the same tool with the same arguments."""
    if got is None or got["name"] != wanted["name"]:
        return False
    try:
        return bool(json.loads(got["arguments"]) == wanted["arguments"])
    except ValueError:
        return False


def is_right(made: Conversation, answer: Message) -> bool:
    """Whether *answer* is what *made* ends with: the same call, the same JSON, its keywords, or the same words."""
    expected, text = made.messages[-1], answer.get("content") or ""
    call = wanted_call(expected)
    if call:
        return same_call(call, wanted_call(answer))
    if answer.get("tool_calls"):
        return False
    if made.schema:
        try:
            return bool(json.loads(text) == json.loads(expected["content"]))
        except ValueError:
            return False
    if made.keywords:
        return all(word.lower() in text.lower() for word in made.keywords)
    return bool(text == expected["content"])


def played(engine: Engine, made: Conversation) -> list[Message]:
    """Everything before the last answer; earlier answers are the model's own unless tools are involved."""
    history = made.messages[:-1]
    if made.tools:
        return history
    own: list[Message] = []
    for message in history:
        own.append(assistant(engine.chat(own)["content"]) if message["role"] == "assistant" else message)
    return own


def judge(engine: Engine, made: Conversation) -> Verdict:
    """Let the model answer, and compare."""
    try:
        answer = engine.chat(played(engine, made), tools=made.tools, schema=made.schema)
    except EngineError as error:
        return Verdict(right=False, stopped=False, answer=str(error))
    call = wanted_call(answer)
    return Verdict(
        is_right(made, answer),
        answer["finish_reason"] != "length",
        call["name"] if call else "",
        json.dumps(call) if call else answer["content"],
    )


@dataclass
class Tally:
    """Counts of one category."""

    tasks: int = 0
    right: int = 0
    stopped: int = 0
    chosen: int = 0
    calls: int = 0

    def add(self, made: Conversation, verdict: Verdict) -> None:
        """Count one task."""
        self.tasks += 1
        self.right += verdict.right
        self.stopped += verdict.stopped
        call = wanted_call(made.messages[-1])
        if call:
            self.calls += 1
            self.chosen += verdict.called == call["name"]


def tasks(category: str, count: int, seed: int = SEED) -> Iterator[Conversation]:
    """*count* held-out tasks of a category."""
    source = Source(seed, held_out=True)
    for _ in range(count):
        yield CATEGORIES[category][1](source)


def measure(engine: Engine, made: Iterator[Conversation], wrong: list[str]) -> Tally:
    """Judge every task; what went wrong is added to *wrong*, for people to read."""
    tally = Tally()
    for each in made:
        verdict = judge(engine, each)
        tally.add(each, verdict)
        if not verdict.right:
            wrong.append(
                f"{each.messages[-2]['content']!r}\n   wanted {_shown(each)}\n   got    {verdict.answer!r}"
            )
    return tally


def _shown(made: Conversation) -> str:
    return json.dumps(wanted_call(made.messages[-1]) or made.keywords or made.messages[-1]["content"])


def chat_scores(model: Path, share: float = 1.0, log: Path | None = None) -> dict[str, dict[str, int]]:
    """Counts by category for a chat model; *share* of the usual number of tasks."""
    scores: dict[str, dict[str, int]] = {}
    lines: list[str] = []
    with running(model) as engine:
        work = {"facts about lmbridge (keywords)": facts(Source(SEED, held_out=True))}
        work |= {name: tasks(name, max(1, int(count * share))) for name, (count, _) in CATEGORIES.items()}
        for name, made in work.items():
            lines.append(f"\n== {name}")
            tally = measure(engine, made, lines)
            scores[name] = {"tasks": tally.tasks, "right": tally.right, "stopped": tally.stopped}
            if tally.calls:
                scores[name] |= {"chosen": tally.chosen}
            print(f"{name}: {scores[name]}", flush=True)
    if log:
        log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return scores


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chat", type=Path, default=CHAT_MODEL)
    parser.add_argument("--embed", type=Path, default=EMBEDDING_MODEL)
    parser.add_argument("--share", type=float, default=1.0, help="part of the tasks, for a quick look")
    parser.add_argument("--log", type=Path, help="write the wrong answers here")
    parser.add_argument("--save", action="store_true", help="write the scores to models/scores.json")
    given = parser.parse_args()
    scores = {"chat": chat_scores(given.chat, given.share, given.log), "embed": embedding_scores(given.embed)}
    if given.save:
        SCORES.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
