"""Muon: momentum whose update is made orthogonal. It trains matrices faster than Adam does at this size."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonal(gradient: Tensor, rounds: int = 5) -> Tensor:
    """Nearest orthogonal matrix to *gradient*, by Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (gradient / (gradient.norm() + 1e-7)).bfloat16()
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    for _ in range(rounds):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x if wide else x.T).to(gradient.dtype)


class Muon(torch.optim.Optimizer):
    """Steps of the same size for every matrix: ``rate`` times 0.2 root-mean-square."""

    def __init__(self, matrices: Iterable[nn.Parameter], rate: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": rate, "momentum": momentum, "weight_decay": 0.05})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step from the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self._move(parameter, group["lr"], group["momentum"], group["weight_decay"])

    def _move(self, parameter: nn.Parameter, rate: float, momentum: float, decay: float) -> None:
        assert parameter.grad is not None
        memory = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
        memory.lerp_(parameter.grad, 1 - momentum)
        update = orthogonal(parameter.grad.lerp(memory, momentum))
        parameter.mul_(1 - rate * decay)
        parameter.add_(update, alpha=-rate * 0.2 * max(parameter.shape) ** 0.5)
