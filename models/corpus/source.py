"""Where every random choice of the corpus comes from, and how training and held-out wordings are kept apart.

A skill lists its phrases as :class:`Wordings`: one list for training, another that only the evaluation may use.
A :class:`Source` draws from the one or from the other, so that a skill is written once and serves both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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

    def __post_init__(self) -> None:
        ALL_WORDINGS.append(self)


class Source:
    """Seeded choices; *held_out* selects the wordings that training never sees."""

    def __init__(self, seed: int, *, held_out: bool = False) -> None:
        self.rng = random.Random(seed)
        self.held_out = held_out

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
        return self.pick(wordings.held_out if self.held_out else wordings.train)

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
