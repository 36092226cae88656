"""The network: a plain Llama decoder, small enough to be trained on one CPU core.

Rotary embedding turns neighbouring pairs (0,1), (2,3), ... as llama.cpp does for architecture ``llama``, so the
export needs no permutation. Input embedding and output projection share one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- its name everywhere


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; everything the export writes into the model file's header."""

    vocabulary: int
    width: int = 256
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    feed_forward: int = 704
    context: int = 2048
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head_size(self) -> int:
        """Elements per attention head."""
        return self.width // self.heads


class Norm(nn.Module):
    """Root-mean-square normalisation with a learnt gain."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """*x*, normalised."""
        return F.rms_norm(x, (x.shape[-1],), self.gain.to(x.dtype), self.epsilon)


def rotation(shape: Shape, length: int) -> Tensor:
    """The rotary embedding as complex numbers of length one, ``(length, head_size / 2)``."""
    steps = torch.arange(0, shape.head_size, 2).float() / shape.head_size
    angles = torch.outer(torch.arange(length).float(), shape.rope_base**-steps)
    return torch.polar(torch.ones_like(angles), angles)


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn neighbouring pairs of the last axis of *x* ``(batch, length, heads, head_size)``."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn[:, None]).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    """Grouped-query attention."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_size
        self.q = nn.Linear(shape.width, shape.width, bias=False)
        self.k = nn.Linear(shape.width, kv_width, bias=False)
        self.v = nn.Linear(shape.width, kv_width, bias=False)
        self.output = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, turn: Tensor, mask: Tensor) -> Tensor:
        """What each token gathers from those that *mask* lets it see."""
        batch, length, width = x.shape
        size = self.shape.head_size
        q = rotate(self.q(x).view(batch, length, -1, size), turn).transpose(1, 2)
        k = rotate(self.k(x).view(batch, length, -1, size), turn).transpose(1, 2)
        v = self.v(x).view(batch, length, -1, size).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        return self.output(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """Attention, then a gated feed-forward layer, each behind a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attn_norm = Norm(shape.width, shape.epsilon)
        self.attn = Attention(shape)
        self.ffn_norm = Norm(shape.width, shape.epsilon)
        self.gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, turn: Tensor, mask: Tensor) -> Tensor:
        """One layer."""
        x = x + self.attn(self.attn_norm(x), turn, mask)
        y = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    """Token ids in, hidden states out; :meth:`logits` projects them onto the vocabulary."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.epsilon)
        self.apply(self._start)
        for block in self.blocks:
            for last in (block.attn.output, block.down):
                nn.init.normal_(last.weight, std=0.02 / (2 * shape.layers) ** 0.5)

    @staticmethod
    def _start(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Hidden states ``(batch, length, width)`` of *ids*; *mask* is true where a token may look."""
        turn = rotation(self.shape, ids.shape[1])
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, turn, mask)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary."""
        return F.linear(hidden, self.embedding.weight)
