"""Pose Align: the pictures the pose guider is shown (paper 3.5)."""

from __future__ import annotations

import torch

from hp_core.config import check_range
from hp_core.values import PoseMaps


def black_pose(frames: int, size: tuple[int, int]) -> PoseMaps:
    """The released inference's pose: all black, one map for every frame.

    Args:
        frames: length of the clip.
        size: (height, width) in pixels.

    Raises:
        OptionError: no frames.
    """
    check_range("frames", frames, 1)
    return PoseMaps(torch.zeros(1, 3, *size, dtype=torch.uint8), torch.zeros(frames, dtype=torch.long), "black")
