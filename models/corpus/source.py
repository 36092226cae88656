"""Where every random choice of the corpus comes from, and how training and held-out wordings are kept apart.

A skill lists its phrases as :class:`Wordings`: one list for training, another that only the evaluation may use.
A :class:`Source` draws from the one or from the other, so that a skill is written once and serves both.
"""

# Lists of words are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: SIM905

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
Message = dict[str, Any]
Tool = dict[str, Any]

ALL_WORDINGS: list[Wordings] = []  # every list ever made, so that a test can prove them disjoint


@dataclass(frozen=True)
class Wordings:
    """Phrases for training, and others that the model must never have seen when it is measured."""

    train: Sequence[str]
    held_out: Sequence[str]
    more: Sequence[str] = ()  # for training too, in its last part

    def __post_init__(self) -> None:
        ALL_WORDINGS.append(self)


# What may stand before a request in the last part of the training.
ORDERS = (
    "Please |Could you |Can you |I want you to |Now |Would you |Go ahead and |Kindly |Then |Hey, |Task: "
).split("|")
QUESTIONS = "Hey, |So, |Quick: |Question: |Just asking: |Well, |Hi, |Next: |And ".split("|")
IMPERATIVES = frozenset(
    (
        "Give Extract Return Write Put Fill Find List Turn Make Classify Repeat Say Echo Copy Type Print "
        "Calculate Add Subtract Multiply Compute Count Summarise Summarize Sum Shorten Tell Get Check Show "
        "Send Message Text Let Email Mail Read Open Save Create Search Look Set Start Wake Convert Change "
        "Translate Schedule Plan Play Switch Roll Throw Book Reserve Explain Describe Draw Recommend Solve "
        "Compose Use Call"
    ).split(" ")
)


@cache
def held_out_phrases() -> frozenset[str]:
    """What only the evaluation may say, in small letters."""
    return frozenset(phrase.lower().strip(" .?!") for wordings in ALL_WORDINGS for phrase in wordings.held_out)


class Source:
    """Seeded choices.

    *held_out* selects the wordings that training never sees, *others* those for everyday
    tools that somebody else wrote, *broad* more variety in training.
    """

    def __init__(self, seed: int, *, held_out: bool = False, others: bool = False, broad: bool = False) -> None:
        self.rng = random.Random(seed)
        self.held_out = held_out or others
        self.others = others
        self.broad = broad

    def pick(self, options: Sequence[T]) -> T:
        """One of *options*."""
        return options[self.rng.randrange(len(options))]

    def some(self, options: Sequence[T], count: int) -> list[T]:
        """*count* different ones of *options*, in random order."""
        return self.rng.sample(list(options), min(count, len(options)))

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """All of *options* in random order."""
        return self.some(options, len(options))

    def number(self, low: int, high: int) -> int:
        """A whole number from *low* to *high*, both included."""
        return self.rng.randint(low, high)

    def chance(self, share: float) -> bool:
        """True in this *share* of cases (0 to 1)."""
        return self.rng.random() < share

    def phrase(self, wordings: Wordings) -> str:
        """A phrase of the side that this source may use."""
        if not self.broad or self.held_out:
            return self.pick(wordings.held_out if self.held_out else wordings.train)
        phrase = self.pick([*wordings.train, *wordings.more])
        framed = self._framed(phrase) if self.chance(0.3) else phrase
        return phrase if framed.lower().strip(" .?!") in held_out_phrases() else framed

    def _framed(self, phrase: str) -> str:
        """*phrase* with something polite or idle before it, as fits its first word."""
        first = phrase.split(" ")[0]
        if not first.isalpha() or not first[0].isupper():
            return phrase
        lead = self.pick(ORDERS if first in IMPERATIVES else QUESTIONS)
        return lead + phrase[0].lower() + phrase[1:] if lead[-2:] != ": " else lead + phrase

    def likely(self, choices: Sequence[tuple[float, T]]) -> T:
        """One of *choices* by weight."""
        return self.rng.choices([c for _, c in choices], [w for w, _ in choices])[0]


@dataclass(frozen=True)
class Conversation:
    """Messages with the answers we want, and what is needed to measure them."""

    skill: str
    messages: list[Message]
    tools: list[Tool] = field(default_factory=list)
    schema: dict[str, Any] | None = None  # what the engine's grammar is made from; the model does not see it
    keywords: tuple[str, ...] = ()  # what a right answer must contain, where it need not be equal


Skill = Callable[[Source], Conversation]


def user(text: str) -> Message:
    """A message of the user."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    """An answer of the model."""
    return {"role": "assistant", "content": text}
