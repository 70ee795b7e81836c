"""An exponential average of the weights, which samples better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def averaged_tensors(model: nn.Module) -> list[Tensor]:
    """What is averaged: trained parameters, and numbers that follow them, such as the statistics of batch norms."""
    return [p for p in model.parameters() if p.requires_grad] + [b for b in model.buffers() if b.is_floating_point()]


class Ema:
    """The average of ``tensors``, in float32.

    Args:
        decay: of the average, 0..1; it begins lower, at (1 + step) / (10 + step), so that a short run is not its first weights.
    """

    def __init__(self, tensors: Sequence[Tensor], decay: float) -> None:
        self.decay = decay
        self.shadow: list[Tensor] = [tensor.detach().clone().float() for tensor in tensors]

    @torch.no_grad()
    def update(self, tensors: Sequence[Tensor], step: int) -> None:
        """Take in the weights after ``step``."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        # Each process's own part: buffers are not shared out, and the two kinds cannot be mixed.
        torch._foreach_lerp_([_local(average) for average in self.shadow], [_local(tensor.detach()).float() for tensor in tensors], share)

    @contextmanager
    def applied(self, tensors: Sequence[Tensor]) -> Iterator[None]:
        """The average in the tensors' place while the block runs."""
        kept = [tensor.detach().clone() for tensor in tensors]
        _assign(tensors, self.shadow)
        try:
            yield
        finally:
            _assign(tensors, kept)

    def state(self) -> list[Tensor]:
        """The average, for `load`; of a sharded model this process's part."""
        return [_local(tensor).cpu() for tensor in self.shadow]

    def load(self, state: list[Tensor]) -> None:
        """Restore what `state` gave."""
        for tensor, value in zip(self.shadow, state, strict=True):
            _local(tensor).copy_(value)


@torch.no_grad()
def _assign(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def _local(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor, else the tensor itself."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
