"""Train the chat model: conversations made on the fly, packed whole into rows, loss mainly on what it must say.

    python -m models.train --steps 4500

Seeded, so that the same machine gives the same weights; the schedule runs by steps, not by time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its name everywhere

from models import tokens
from models.muon import Muon
from models.network import Llama, Shape
from models.places import BUILD

TOKENS_A_STEP = 4096
ROW, LONG_ROW = 256, 640
"""Tokens in a row; the last fifth of the steps uses longer rows, so that long conversations are seen too."""
QUIET = 0.1
"""Weight in the loss of tokens that others say."""
IGNORED = -100


@dataclass
class Batch:
    """Rows of packed conversations.

    Attributes:
        ids, targets, weights: shape (rows, length); targets are the next tokens.
        mask: shape (rows, 1, length, length), true where a token may look: back, within its conversation.
    """

    ids: Tensor
    targets: Tensor
    weights: Tensor
    mask: Tensor


def encoded(tokenizer: Tokenizer, seed: int) -> Iterator[tuple[list[int], list[bool]]]:
    """Conversations as tokens, and which of those the model says."""
    for text in tokens.texts(seed):
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
    targets = torch.full((len(rows), length), IGNORED)
    weights = torch.zeros(len(rows), length)
    owner = torch.zeros(len(rows), length, dtype=torch.long)
    for r, row in enumerate(rows):
        at = 0
        for number, (coded, said) in enumerate(row, 1):
            end = at + len(coded) - 1
            ids[r, at:end] = torch.tensor(coded[:-1])
            targets[r, at:end] = torch.tensor(coded[1:])
            weights[r, at:end] = torch.where(torch.tensor(said[1:]), 1.0, QUIET)
            owner[r, at:end] = number
            at = end
    same = owner[:, :, None] == owner[:, None, :]
    mask = same & torch.ones(length, length, dtype=torch.bool).tril()
    return Batch(ids, targets, weights, mask[:, None])


def loss_of(model: Llama, batch: Batch) -> Tensor:
    """Weighted cross-entropy per token."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.logits(model(batch.ids, batch.mask))
    each = F.cross_entropy(
        logits.float().flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    weights = batch.weights.flatten()
    return (each * weights).sum() / weights.sum()


def rate_at(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 1 % of the steps, then linear decay to nothing."""
    return peak * min((step + 1) / (steps * 0.01), 1 - step / steps)


def train(steps: int, seed: int, threads: int, peak: float, save_every: int) -> None:
    """Train, saving a checkpoint now and then."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    BUILD.mkdir(parents=True, exist_ok=True)
    vocabulary = BUILD / "tokenizer.json"
    if not vocabulary.exists():
        tokens.trained().save(str(vocabulary))
    tokenizer = tokens.load(vocabulary)
    model = Llama(Shape(tokenizer.get_vocab_size()))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if not any(p is m for m in matrices)]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, peak),
        torch.optim.AdamW(others, peak, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    samples = encoded(tokenizer, seed)
    short, long = batches(samples, ROW), batches(samples, LONG_ROW)
    began, seen, smooth = time.monotonic(), 0, 0.0
    for step in range(steps):
        batch = next(short if step < steps * 0.8 else long)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, steps, peak)
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seen += batch.ids.numel()
        smooth = loss.item() if not step else 0.98 * smooth + 0.02 * loss.item()
        if step % 50 == 0:
            speed = seen / (time.monotonic() - began)
            print(f"step {step} loss {smooth:.4f} {speed:,.0f} tokens/s", flush=True)
        if step % save_every == save_every - 1 or step == steps - 1:
            torch.save({"shape": asdict(model.shape), "weights": model.state_dict()}, BUILD / "chat.pt")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--save-every", type=int, default=250)
    given = parser.parse_args()
    train(given.steps, given.seed, given.threads, given.rate, given.save_every)


if __name__ == "__main__":
    main()
