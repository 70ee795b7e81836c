"""Muon: momentum whose matrices are made orthogonal before they are stepped along (Jordan et al. 2024).

torch's own works in bfloat16 and on matrices alone; on a CPU without bfloat16 units that is eight times slower, and most of this
model's weights are convolutions.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest at zero of the polynomials that keep singular values within 0.7..1.2 (Jordan et al.)
_NARROWEST = 64  # sides of a matrix; narrower ones, such as the UNet's last layer, are left to AdamW


class Muon(torch.optim.Optimizer):
    """Steps as long as AdamW's would be (0.2 a weight, Liu et al. 2025), so that one learning rate serves both.

    Args:
        params: weights of at least two dimensions, the first of them the outputs.
        momentum: of the gradients, Nesterov's.
        weight_decay: decoupled, times the learning rate.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the gradients as they are."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                direction = orthogonal(weight.grad.lerp(state["momentum"], group["momentum"]).flatten(1))  # (out, in * kernel)
                length = 0.2 * max(direction.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction.view_as(weight), alpha=-group["lr"] * length)


def orthogonal(matrix: Tensor, *, rounds: int = 5) -> Tensor:
    """``matrix`` (m, n) with its singular values brought near one, in float32 by Newton and Schulz's iteration."""
    a, b, c = _QUINTIC
    x = matrix.float()
    x = x / x.norm().clamp(min=1e-7)
    wide = x if x.shape[0] <= x.shape[1] else x.T
    for _ in range(rounds):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide if x.shape[0] <= x.shape[1] else wide.T).to(matrix.dtype)


def matrices(model: nn.Module) -> list[Tensor]:
    """The trained weights that Muon is for: those of linear layers and convolutions; embeddings, norms and memories are not."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    weights = {id(layer.weight): layer.weight for layer in model.modules() if isinstance(layer, kinds) and layer.weight.requires_grad}
    return [weight for weight in weights.values() if min(weight.shape[0], weight[0].numel()) >= _NARROWEST]
