"""Pictures compared as the expression encoder sees them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hp_core.motion.encoders import ExpressionEncoder
from hp_core.training.regions import face_extent

_STAGES = 0.5, 0.3, 0.2, 0.15, 0.06
"""Weights of the stem and the four stages: those whose gradients are largest count least."""

_DESCRIPTOR = 0.08  # and of the expression descriptor
_REACH = 1.25  # half the side of the crop, in distances of the eyes


class PerceptualLoss(nn.Module):
    """How far apart faces are in what a frozen expression encoder makes of them: its activations at every place, each of length one
    as in LPIPS (Zhang et al. 2018, eq. 1, without its learned weights), and its descriptor.

    A squared error of pixels hardly counts lips and irises, and where it is unsure of them it blurs. This asks that they be there.

    Args:
        encoder: trained on crops of this face's kind; frozen here.
        size: side of its crops, pixels.
    """

    def __init__(self, encoder: ExpressionEncoder, size: int) -> None:
        super().__init__()
        self.network = encoder.resnet50.requires_grad_(False).eval()
        self.size = size

    def forward(self, pictures: Tensor, truth: Tensor, points: Tensor) -> Tensor:
        """pictures, truth (n, 3, S, S) in -1..1; points (n, 5, 2) of ``truth``, pixels -> (n,), 0 where they are alike."""
        found = self.network.activations(self._crops(pictures, points))
        with torch.no_grad():
            wanted = self.network.activations(self._crops(truth, points))
            descriptor = self.network.head(wanted[-1]).float()
        loss = (self.network.head(found[-1]).float() - descriptor).square().mean(1) / descriptor.square().mean(1)
        loss = _DESCRIPTOR * loss
        for weight, one, other in zip(_STAGES, found, wanted, strict=True):
            loss = loss + weight * (_directions(one) - _directions(other)).square().sum(1).mean((1, 2))
        return loss

    def _crops(self, pictures: Tensor, points: Tensor) -> Tensor:
        """(n, 3, S, S) in -1..1 -> (n, 3, size, size) in 0..1 about the faces."""
        side = pictures.shape[-1]
        middle, span = face_extent(points.to(pictures.dtype))
        step = (torch.arange(self.size, device=pictures.device, dtype=pictures.dtype) + 0.5) / self.size * 2 - 1
        at = (middle[:, None] + _REACH * span[:, None] * step[:, None]) / side * 2 - 1  # (n, size, 2): x and y of each column and row
        x, y = at[:, None, :, 0], at[:, :, None, 1]
        grid = torch.stack(torch.broadcast_tensors(x, y), dim=-1)  # (n, size, size, 2)
        return F.grid_sample((pictures + 1) / 2, grid, align_corners=False)


def _directions(x: Tensor) -> Tensor:
    """(n, c, h, w) with channels of length one at every place."""
    x = x.float()
    return x / (x.square().sum(1, keepdim=True) + 1e-4).sqrt()
