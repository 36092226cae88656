"""What the shipped models can do, on wordings that they never saw: a gate well below their measured scores."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest
from models.corpus.source import Source
from models.embed_evaluate import all_triples, likeness
from models.engine import Engine, running
from models.evaluate import SEED, facts, judge, tasks
from models.places import CHAT_MODEL, EMBEDDING_MODEL

# How many of how many tasks must come out right.
GATES = {
    "sums, exact": (4, 6),
    "differences, exact": (4, 6),
    "products, exact": (4, 6),
    "repeating, exact": (4, 6),
    "JSON through the grammar, all values exact": (3, 8),
    "tool call, everyday tools, up to three on offer": (4, 8),
    "answer from a tool's result": (3, 5),
    "tools on offer, none needed": (3, 5),
    "last of 2-4 turns": (3, 5),
    "remembers the user's name": (3, 5),
    "system prompt obeyed (name, first or last word)": (3, 5),
    "small talk": (3, 5),
    "unknown question: standard reply": (4, 5),
}


@pytest.fixture(scope="module")
def chat() -> Iterator[Engine]:
    with running(CHAT_MODEL) as engine:
        yield engine


def test_the_first_question_everybody_asks_gets_a_good_answer(chat: Engine) -> None:
    answer = chat.chat([{"role": "user", "content": "What is lmbridge?"}])
    assert answer["finish_reason"] == "stop"
    assert "your own computer" in answer["content"]
    assert "LM Studio" in answer["content"]


@pytest.mark.parametrize("category", GATES)
def test_the_chat_model_does_what_its_card_says(chat: Engine, category: str) -> None:
    needed, count = GATES[category]
    verdicts = [judge(chat, each) for each in tasks(category, count, SEED + 1)]
    assert sum(verdict.right for verdict in verdicts) >= needed, [verdict.answer for verdict in verdicts]


def test_it_knows_lmbridge_in_other_words(chat: Engine) -> None:
    verdicts = [judge(chat, each) for each in islice(facts(Source(SEED, held_out=True)), 0, None, 8)]
    assert sum(verdict.right for verdict in verdicts) >= 0.7 * len(verdicts)


def test_every_answer_comes_to_an_end(chat: Engine) -> None:
    verdicts = [
        judge(chat, each)
        for name in ("small talk", "tool call, invented and everyday tools")
        for each in tasks(name, 5)
    ]
    assert sum(verdict.stopped for verdict in verdicts) >= len(verdicts) - 1


def test_a_paraphrase_is_nearer_than_something_else() -> None:
    with running(EMBEDDING_MODEL, embedding=True) as engine:
        right = 0
        chosen = [triple for made in all_triples(10).values() for triple in made]
        for triple in chosen:
            first, same, other = engine.embed(list(triple))
            right += likeness(first, same) > likeness(first, other)
    assert right >= 0.8 * len(chosen)
