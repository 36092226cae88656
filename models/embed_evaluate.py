"""Measure the embedding model: is another wording of the same closer than something else of the same field?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.corpus.about import TOPICS
from models.corpus.everyday import TASKS
from models.corpus.extract import ASK, ASK_LIST, ASK_MOOD
from models.corpus.repeat import ASK as ASK_REPEAT
from models.corpus.sentences import another, happening
from models.corpus.smalltalk import ASK_NAME, BYE, HELLO, SUMMARISE, THANKS
from models.corpus.source import Source, Wordings
from models.corpus.words import word
from models.engine import running
from models.phrases import filled

SEED = 4321
FIELDS: dict[str, list[Wordings]] = {
    "questions about lmbridge": [topic.asks for topic in TOPICS],
    "requests to everyday tools": [task.asks for task in TASKS],
    "other requests": [HELLO, THANKS, BYE, ASK_NAME, SUMMARISE, ASK_REPEAT, ASK, ASK_LIST, ASK_MOOD],
}
Triple = tuple[str, str, str]


def triples(field: str, count: int, seed: int = SEED) -> Iterator[Triple]:
    """A sentence, the same in other words, and something else of its field; held-out wordings throughout.

    The words filled in are the same in all three, so that they give no hint.
    """
    source = Source(seed, held_out=True)
    for _ in range(count):
        same, other = source.some([w for w in FIELDS[field] if len(w.held_out) > 1], 2)
        words = [word(source) for _ in range(4)]
        one, two = source.some(same.held_out, 2)
        yield filled(one, words), filled(two, words), filled(source.pick(other.held_out), words)


def told_twice(count: int, seed: int = SEED) -> Iterator[Triple]:
    """A happening, the same told in another form, and another one that shares a part with it."""
    source = Source(seed, held_out=True)
    for _ in range(count):
        first = happening(source)
        yield first.told(source), first.told(source), another(source, first).told(source)


def all_triples(count: int) -> dict[str, list[Triple]]:
    """*count* triples of every field."""
    made = {field: list(triples(field, count)) for field in FIELDS}
    return made | {"plain sentences, one part shared": list(told_twice(count))}


def likeness(one: list[float], other: list[float]) -> float:
    """Cosine of two unit vectors."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def embedding_scores(model: Path, count: int = 300) -> dict[str, dict[str, int]]:
    """Triples told apart, by field."""
    scores = {}
    with running(model, embedding=True) as engine:
        for field, made in all_triples(count).items():
            right = 0
            for triple in made:
                first, same, other = engine.embed(list(triple))
                right += likeness(first, same) > likeness(first, other)
            scores[field] = {"tasks": count, "right": right}
            print(f"{field}: {scores[field]}", flush=True)
    return scores
