"""Group norms kept free of spikes.

A place much stronger than the rest of its group makes the norm scale the rest down: with one, a network says how strong the picture as
a whole shall be, and it shows as a drop (Karras et al. 2020, StyleGAN2, section 2). Where the spike is lost, the picture's colours are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from einops import rearrange
from torch import Tensor, nn


@contextmanager
def spikes_seen(network: nn.Module, limit: float) -> Iterator[list[Tensor]]:
    """While the context is open, `spikes_of` what enters each of the network's group norms, one value for each norm that runs."""
    seen: list[Tensor] = []

    def look(norm: nn.GroupNorm, args: tuple[Tensor, ...]) -> None:
        seen.append(spikes_of(args[0], norm.num_groups, limit))

    handles = [module.register_forward_pre_hook(look) for module in network.modules() if isinstance(module, nn.GroupNorm)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def spikes_of(x: Tensor, groups: int, limit: float) -> Tensor:
    """By how much values of x (n, c, ...) lie further than ``limit`` standard deviations from the mean of their group: summed over each
    group, in standard deviations, and averaged over groups and pictures; a number."""
    each = rearrange(x.float(), "n (g c) ... -> n g (c ...)", g=groups)
    variance, mean = torch.var_mean(each, dim=-1, keepdim=True)
    distance = (each - mean).abs() * (variance + 1e-6).rsqrt()
    return (distance - limit).clamp(min=0).sum(-1).mean()
