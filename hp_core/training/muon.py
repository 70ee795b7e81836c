"""Muon: momentum whose matrices are made orthogonal before they are stepped along (Jordan et al. 2024).

torch's own takes matrices alone, and most of this model's weights are convolutions; and it works in bfloat16 whatever the machine,
which on a CPU without bfloat16 units is eight times slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest at zero of the polynomials that keep singular values within 0.7..1.2 (Jordan et al.)
_NARROWEST = 64  # sides of a matrix; narrower ones are left to AdamW


class Muon(torch.optim.AdamW):
    """Muon for ``matrices``, AdamW for ``rest``; a matrix's step is as long as AdamW's would be (0.2 a weight, Liu et al. 2025), so
    that one learning rate serves both. Several processes share out the matrices, whose gradients are alike in all of them.

    Args:
        matrices: weights of at least two dimensions, the first of them the outputs.
        momentum: of the matrices' gradients, Nesterov's.
        work: type in which the matrices are made orthogonal, which need not be exact.
        weight_decay: decoupled, times the learning rate.
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        rest: Sequence[Tensor] = (),
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        work: torch.dtype = torch.float32,
    ) -> None:
        groups: list[dict[str, Any]] = [{"params": list(matrices), "momentum": momentum}, {"params": list(rest), "momentum": None}]
        super().__init__([group for group in groups if group["params"]], lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
        self.work = work
        self._step_supports_amp_scaling = False  # the matrices want gradients whose scale is taken off already

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the gradients as they are."""
        groups = [group for group in self.param_groups if group["momentum"] is not None]
        due = [(weight, group) for group in groups for weight in group["params"] if weight.grad is not None]
        gradients = [weight.grad for weight, _ in due]
        directions = self._orthogonal([self._momentum(weight, group["momentum"]).flatten(1) for weight, group in due])
        for (weight, group), direction in zip(due, directions, strict=True):
            length = 0.2 * max(direction.shape) ** 0.5  # of a direction (out, in * kernel)
            weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction.view_as(weight), alpha=-group["lr"] * length)
            weight.grad = None  # what has no gradient AdamW leaves alone
        super().step()
        for (weight, _), gradient in zip(due, gradients, strict=True):
            weight.grad = gradient

    def _momentum(self, weight: Tensor, momentum: float) -> Tensor:
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        if not state:  # by AdamW's names, which loading expects
            state["step"], state["exp_avg"] = torch.zeros((), dtype=torch.float32, device=weight.device), torch.zeros_like(weight)
        state["step"] += 1
        state["exp_avg"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["exp_avg"], momentum)

    def _orthogonal(self, matrices: list[Tensor]) -> list[Tensor]:
        processes = distributed.get_world_size() if distributed.is_initialized() else 1
        if processes == 1 or not matrices:
            return [orthogonal(matrix, work=self.work) for matrix in matrices]
        costs = [matrix.numel() * min(matrix.shape) for matrix in matrices]
        together = torch.zeros(sum(matrix.numel() for matrix in matrices), device=matrices[0].device)
        parts = [part.view_as(matrix) for part, matrix in zip(together.split([m.numel() for m in matrices]), matrices, strict=True)]
        for number in shares(costs, processes)[distributed.get_rank()]:
            parts[number].copy_(orthogonal(matrices[number], work=self.work))
        distributed.all_reduce(together)  # the others' parts are zero here
        return parts


def orthogonal(matrix: Tensor, *, rounds: int = 5, work: torch.dtype = torch.float32) -> Tensor:
    """``matrix`` (m, n) with its singular values brought near one, by Newton and Schulz's iteration in ``work``."""
    a, b, c = _QUINTIC
    x = matrix.float()
    x = (x / x.norm().clamp(min=1e-7)).to(work)
    wide = x if x.shape[0] <= x.shape[1] else x.T
    for _ in range(rounds):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide if x.shape[0] <= x.shape[1] else wide.T).to(matrix.dtype)


def shares(costs: Sequence[int], count: int) -> list[list[int]]:
    """The numbers of ``costs`` in ``count`` lists of about the same sum: the dearest first, each to who has least."""
    lists: list[list[int]] = [[] for _ in range(count)]
    sums = [0] * count
    for number in sorted(range(len(costs)), key=lambda number: -costs[number]):
        least = sums.index(min(sums))
        lists[least].append(number)
        sums[least] += costs[number]
    return lists


def matrices(model: nn.Module) -> list[Tensor]:
    """The trained weights that Muon is for: those of linear layers and convolutions but the last (diffusers' ``conv_out``), whose
    outputs are channels of unlike size; embeddings, norms and memories are not."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    layers = [layer for name, layer in model.named_modules() if isinstance(layer, kinds) and name.rpartition(".")[2] != "conv_out"]
    weights = {id(layer.weight): layer.weight for layer in layers if layer.weight.requires_grad}
    return [weight for weight in weights.values() if min(weight.shape[0], weight[0].numel()) >= _NARROWEST]
