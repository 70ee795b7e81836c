"""An exponential average of the weights, which samples better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """The average of ``parameters``, in float32.

    Args:
        decay: of the average, 0..1; it begins lower, at (1 + step) / (10 + step), so that a short run is not its first weights.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.shadow: list[Tensor] = [p.detach().clone().float() for p in parameters if p.requires_grad]

    @torch.no_grad()
    def update(self, parameters: Iterable[nn.Parameter], step: int) -> None:
        """Take in the weights after ``step``."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        now = [p.detach().float() for p in parameters if p.requires_grad]
        torch._foreach_lerp_(self.shadow, now, share)

    @contextmanager
    def applied(self, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
        """The average in the parameters' place while the block runs."""
        trained = [p for p in parameters if p.requires_grad]
        kept = [p.detach().clone() for p in trained]
        _assign(trained, self.shadow)
        try:
            yield
        finally:
            _assign(trained, kept)

    def state(self) -> list[Tensor]:
        """The average, for `load`; of a sharded model this process's part."""
        return [_local(tensor).cpu() for tensor in self.shadow]

    def load(self, state: list[Tensor]) -> None:
        """Restore what `state` gave."""
        for tensor, value in zip(self.shadow, state, strict=True):
            _local(tensor).copy_(value)


@torch.no_grad()
def _assign(parameters: list[nn.Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


def _local(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor, else the tensor itself."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
