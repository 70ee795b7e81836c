"""Colours compared apart from brightness and from edges."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from hp_core.training.regions import region_weight

_LUMA = 0.299, 0.587, 0.114  # of red, green and blue (ITU-R BT.601)
_NEIGHBOURHOOD = 3
"""Side in pixels of the square over which a colour is the mean."""


def colour_loss(pictures: Tensor, truth: Tensor, points: Tensor, *, face: float, features: float) -> Tensor:
    """How far the colours of two pictures are apart: the mean absolute difference of red and blue against brightness.

    A squared error of pixels is nearly all brightness, at edges that are misplaced; beside these an iris of the wrong colour hardly
    counts, small as it is.

    Args:
        pictures, truth: (n, 3, S, S) in -1..1.
        points: (n, 5, 2) of ``truth``, pixels.
        face, features: see `region_weight`; the weights' sum does not count.

    Returns:
        (n,), 0 where they are alike, in units of the pictures.
    """
    side = pictures.shape[-1]
    weight = region_weight(points.to(pictures.dtype), side, side, face=face, features=features)
    apart = (_chroma(pictures) - _chroma(truth)).abs().mean(1, keepdim=True)
    return (apart * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))


def _chroma(pictures: Tensor) -> Tensor:
    """(n, 3, h, w) -> (n, 2, h, w), red and blue less the brightness, averaged; at the border by what lies inside."""
    luma = torch.tensor(_LUMA, device=pictures.device, dtype=pictures.dtype)
    brightness = rearrange(torch.einsum("nchw,c->nhw", pictures, luma), "n h w -> n 1 h w")
    return F.avg_pool2d(pictures[:, ::2] - brightness, _NEIGHBOURHOOD, stride=1, padding=_NEIGHBOURHOOD // 2, count_include_pad=False)
