"""Pose guider: a light convolutional net whose features join the UNet's first layer (Hu et al. 2024; paper 3.5)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from hp_core.config import PoseConfig


class PoseGuider(nn.Module):
    """3x3 convolutions with SiLU; each pair keeps the size, then halves it."""

    def __init__(self, config: PoseConfig, *, out_channels: int):
        super().__init__()
        channels = config.channels
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in pairwise(channels):
            self.blocks.append(nn.Conv2d(narrow, narrow, 3, padding=1))
            self.blocks.append(nn.Conv2d(narrow, wide, 3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(channels[-1], out_channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, 3, height, width) in 0..1 -> (n, out_channels, height / 8, width / 8) with the published four entries of ``channels``."""
        x = F.silu(self.conv_in(maps))
        for block in self.blocks:
            x = F.silu(block(x))
        return self.conv_out(x)
