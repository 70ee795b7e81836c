"""Pose Align: the pictures the pose guider is shown (paper 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor

from hp_core.config import POSE_MODES, check_choice, check_range
from hp_core.values import FaceTrack, PoseMaps


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


def align_pose(driving: FaceTrack, portrait: FaceTrack, *, mode: str = "released") -> PoseMaps:
    """One map for each frame of ``driving``, of the size of the portrait's square crop.

    Args:
        mode: `released` is black.

    Raises:
        OptionError: an unknown mode.
    """
    check_choice("mode", mode, POSE_MODES)
    height, width = portrait.portrait_crop.shape[:2]
    return black_pose(len(driving), (height, width))


def preview(pose: PoseMaps) -> Tensor:
    """The distinct maps as pictures, (maps, height, width, 3) float32 in 0..1."""
    maps = pose.maps.float() / 255 if pose.maps.dtype == torch.uint8 else pose.maps.float()
    return maps.permute(0, 2, 3, 1).contiguous()
