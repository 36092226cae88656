"""Train the chat model: conversations made on the fly, packed whole into rows, loss mainly on what it must say.

    python -m models.train --part 1

The first part learns to speak and to copy; the others go on from there with more ways to ask and more practice,
while the rate falls to nothing in each. Seeded, so that the same machine gives the same weights; it runs by
steps, not by time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- its name everywhere

from models import tokens
from models.muon import Muon
from models.network import Llama, Shape
from models.places import BUILD

TOKENS_A_STEP = 4096
ROW, LONG_ROW = 256, 640
"""Tokens in a row; the last steps use longer rows, so that long conversations are seen too."""


@dataclass(frozen=True)
class Part:
    """A part of the training.

    Attributes:
        steps: taken in this part.
        span: steps over which the rate falls to nothing; the first part ends long before.
        quiet: weight in the loss of tokens that others say.
        long: share of the steps before longer rows begin.
    """

    steps: int
    span: int
    rate: float
    seed: int
    quiet: float
    long: float = 0.8


PARTS = {
    1: Part(steps=1250, span=4500, rate=4e-3, seed=1, quiet=0.1),
    2: Part(steps=1400, span=1400, rate=2.8e-3, seed=2, quiet=0.0),
    3: Part(steps=800, span=800, rate=1.5e-3, seed=3, quiet=0.0),
    4: Part(steps=1300, span=1300, rate=2.4e-3, seed=4, quiet=0.0, long=0.85),
    5: Part(steps=1900, span=1900, rate=2.2e-3, seed=5, quiet=0.0, long=0.88),
}


@dataclass
class Batch:
    """Rows of packed conversations.

    Attributes:
        ids, targets: shape (rows, length); targets are the next tokens.
        said: shape (rows, length), true where the target is the model's own word.
        used: shape (rows, length), true where there is a token at all.
        mask: shape (rows, 1, length, length), true where a token may look: back, within its conversation.
    """

    ids: Tensor
    targets: Tensor
    said: Tensor
    used: Tensor
    mask: Tensor


def encoded(tokenizer: Tokenizer, seed: int, part: int) -> Iterator[tuple[list[int], list[bool]]]:
    """Conversations as tokens, and which of those the model says."""
    for text in tokens.texts(seed, part):
        yield tokens.encode(tokenizer, text)


def batches(samples: Iterator[tuple[list[int], list[bool]]], length: int) -> Iterator[Batch]:
    """Endless batches of whole conversations; what is longer than a row is left out."""
    rows = TOKENS_A_STEP // length
    waiting: list[tuple[list[int], list[bool]]] = []
    while True:
        filled = []
        for _ in range(rows):
            row: list[tuple[list[int], list[bool]]] = []
            left = length
            while True:
                fits = next((i for i, w in enumerate(waiting) if len(w[0]) - 1 <= left), None)
                if fits is None and len(waiting) < 12:
                    waiting.append(next(samples))
                    if len(waiting[-1][0]) - 1 > length:
                        waiting.pop()
                    continue
                if fits is None:
                    break
                row.append(waiting.pop(fits))
                left -= len(row[-1][0]) - 1
            filled.append(row)
        yield packed(filled, length)


def packed(rows: list[list[tuple[list[int], list[bool]]]], length: int) -> Batch:
    """Tensors of rows of conversations."""
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    targets = torch.zeros(len(rows), length, dtype=torch.long)
    spoken = torch.zeros(len(rows), length, dtype=torch.bool)
    owner = torch.zeros(len(rows), length, dtype=torch.long)
    for r, row in enumerate(rows):
        at = 0
        for number, (coded, said) in enumerate(row, 1):
            end = at + len(coded) - 1
            ids[r, at:end] = torch.tensor(coded[:-1])
            targets[r, at:end] = torch.tensor(coded[1:])
            spoken[r, at:end] = torch.tensor(said[1:])
            owner[r, at:end] = number
            at = end
    same = owner[:, :, None] == owner[:, None, :]
    mask = same & torch.ones(length, length, dtype=torch.bool).tril()
    return Batch(ids, targets, spoken, owner > 0, mask[:, None])


def loss_of(model: Llama, batch: Batch, quiet: float) -> Tensor:
    """Weighted cross-entropy per token; tokens without weight cost no time."""
    chosen = batch.used if quiet else batch.said
    weights = torch.where(batch.said[chosen], 1.0, quiet)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.logits(model(batch.ids, batch.mask)[chosen])
    each = F.cross_entropy(logits.float(), batch.targets[chosen], reduction="none")
    return (each * weights).sum() / weights.sum()


def rate_at(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 1 % of the steps, then linear decay to nothing."""
    return peak * min((step + 1) / (steps * 0.01), 1 - step / steps)


def prepared(number: int) -> tuple[Tokenizer, Llama]:
    """The tokenizer and the model to begin a part with: new ones for the first."""
    BUILD.mkdir(parents=True, exist_ok=True)
    vocabulary = BUILD / "tokenizer.json"
    if number == 1:
        tokens.trained().save(str(vocabulary))
        tokenizer = tokens.load(vocabulary)
        return tokenizer, Llama(Shape(tokenizer.get_vocab_size()))
    saved = torch.load(checkpoint(number - 1), weights_only=True)
    model = Llama(Shape(**saved["shape"]))
    model.load_state_dict(saved["weights"])
    return tokens.load(vocabulary), model


def checkpoint(number: int) -> Path:
    """Where a part keeps its weights."""
    return BUILD / f"chat-{number}.pt"


def optimizers(model: Llama, rate: float) -> tuple[list[nn.Parameter], list[torch.optim.Optimizer]]:
    """Muon for the matrices, AdamW for the rest, which is also returned."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if not any(p is m for m in matrices)]
    return others, [Muon(matrices, rate), torch.optim.AdamW(others, rate, betas=(0.9, 0.95), weight_decay=0.0)]


def train(number: int, part: Part, save_every: int) -> None:
    """Train a part, saving a checkpoint now and then."""
    torch.manual_seed(part.seed)
    tokenizer, model = prepared(number)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    others, steppers = optimizers(model, part.rate)
    samples = encoded(tokenizer, part.seed, number)
    short, long = batches(samples, ROW), batches(samples, LONG_ROW)
    began, seen, smooth = time.monotonic(), 0, 0.0
    for step in range(part.steps):
        batch = next(short if step < part.span * part.long else long)
        loss = loss_of(model, batch, part.quiet)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for stepper in steppers:
            for group in stepper.param_groups:
                group["lr"] = rate_at(step, part.span, part.rate)
            stepper.step()
            stepper.zero_grad()
        seen += batch.ids.numel()
        smooth = 0.98 * smooth + 0.02 * loss.item() if step else loss.item()
        if step % 50 == 0:
            speed = seen / (time.monotonic() - began)
            print(f"step {step} loss {smooth:.4f} {speed:,.0f} tokens/s", flush=True)
        if step % save_every == save_every - 1 or step == part.steps - 1:
            torch.save({"shape": asdict(model.shape), "weights": model.state_dict()}, checkpoint(number))


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", type=int, choices=sorted(PARTS), required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=250)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    train(given.part, PARTS[given.part], given.save_every)


if __name__ == "__main__":
    main()
