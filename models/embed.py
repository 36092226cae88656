"""Train the embedding model: two ways to say the same thing come out close, other things do not.

    python -m models.embed

It is the chat model's architecture, smaller, with the mean of the last layer as its vector. Its sentences are
those of the corpus: every list of wordings is one meaning.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its name everywhere

from models import tokens
from models.corpus.about import FRAMES, TOPICS
from models.corpus.asking import WAYS
from models.corpus.notes import LINES
from models.corpus.sentences import FORMS, two_alike
from models.corpus.source import ALL_WORDINGS, Source
from models.corpus.words import word
from models.network import Llama, Shape
from models.phrases import filled
from models.places import BUILD
from models.train import rate_at

SMALLEST_LIST = 4
TEMPERATURE = 0.05


def shape(vocabulary: int) -> Shape:
    """The embedding model's sizes."""
    return Shape(vocabulary, width=192, layers=2, heads=6, kv_heads=3, feed_forward=384, context=512)


@dataclass(frozen=True)
class Meaning:
    """Phrases that all say the same."""

    phrases: Sequence[str]

    def two(self, source: Source, shared: Sequence[str]) -> tuple[str, str]:
        """Two of them; half of the time with *shared* words, so that words alone do not tell the meaning."""
        words = shared if source.chance(0.5) else [word(source) for _ in shared]
        one, other = source.some(self.phrases, 2)
        return filled(one, words), filled(other, words)


def meanings() -> list[Meaning]:
    """Every list of wordings that is long enough to learn from; questions about lmbridge in all their forms."""
    topics = {id(topic.asks): (topic, more) for topic, more in zip(TOPICS, WAYS, strict=True)}
    found = []
    for wordings in ALL_WORDINGS:
        if id(wordings) in topics:
            topic, more = topics[id(wordings)]
            found.append(Meaning([*wordings.train, *topic.answers, *more]))
        elif len(wordings.train) >= SMALLEST_LIST and wordings not in (FORMS, FRAMES, LINES):
            found.append(Meaning(wordings.train))
    return found


def roughened(text: str, rng: random.Random) -> str:
    """What people type: without capitals, without the question mark, with a word before or after."""
    if rng.random() < 0.3:
        text = text.lower()
    if rng.random() < 0.3:
        text = text.rstrip("?.!")
    if rng.random() < 0.15:
        text = rng.choice(("Please: ", "Hey, ", "Hello, ", "Quick question: ", "I want to know: ")) + text
    return text


def pairs(source: Source, count: int, known: Sequence[Meaning]) -> list[tuple[str, str]]:
    """*count* pairs of sentences that mean the same, no two pairs the same thing; a third tell of happenings."""
    shared = [word(source) for _ in range(4)]
    found = [meaning.two(source, shared) for meaning in source.some(known, 2 * count // 3)]
    found += [two_alike(source) for _ in range(count - len(found))]
    return [(roughened(one, source.rng), roughened(other, source.rng)) for one, other in found]


def vectors(model: Llama, tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Unit vectors, shape (texts, width): the mean over each text's tokens."""
    coded = [c.ids for c in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    length = max(map(len, coded))
    ids = torch.tensor([c + [0] * (length - len(c)) for c in coded])
    real = torch.tensor([[True] * len(c) + [False] * (length - len(c)) for c in coded])
    mask = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(ids, mask) * real[..., None]
    return F.normalize(hidden.float().sum(1) / real.sum(1, keepdim=True), dim=-1)


def loss_of(model: Llama, tokenizer: Tokenizer, found: list[tuple[str, str]]) -> Tensor:
    """Each sentence must find its own among the others."""
    every = vectors(model, tokenizer, [a for a, _ in found] + [b for _, b in found])
    scores = every[: len(found)] @ every[len(found) :].T / TEMPERATURE
    own = torch.arange(len(found))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def train(steps: int, seed: int, threads: int, peak: float, size: int) -> None:
    """Train and save a checkpoint."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    tokenizer, source, known = tokens.load(BUILD / "tokenizer.json"), Source(seed), meanings()
    model = Llama(shape(tokenizer.get_vocab_size()))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(known)} meanings", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), peak, betas=(0.9, 0.95), weight_decay=0.1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps, peak)
        loss = loss_of(model, tokenizer, pairs(source, size, known))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            print(f"step {step} loss {loss.item():.3f}", flush=True)
    torch.save({"shape": asdict(model.shape), "weights": model.state_dict()}, BUILD / "embed.pt")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--size", type=int, default=96)
    given = parser.parse_args()
    train(given.steps, given.seed, given.threads, given.rate, given.size)


if __name__ == "__main__":
    main()
