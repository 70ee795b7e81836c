"""Augmentations of what the encoders see: colours that say nothing about motion, crops that sit askew, skeletons with gaps."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

_LUMA = torch.tensor([0.299, 0.587, 0.114])


def colour_jitter(images: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue changed at random, each image by itself (paper 3.5).

    Args:
        images: (n, 3, height, width) in 0..1.
        strength: 0 changes nothing, 1 lets brightness, contrast and saturation range over 0..2 and the hue turn all the way.
    """
    count = len(images)
    low, high = max(1 - strength, 0.0), 1 + strength
    brightness, contrast, saturation = (_column(rng.uniform(low, high, count)) for _ in range(3))
    mixing = _hue_rotations(rng.uniform(-np.pi, np.pi, count) * strength)
    out = images * brightness
    mean = out.mean(dim=(1, 2, 3), keepdim=True)
    out = (out - mean) * contrast + mean
    grey = (out * _LUMA[None, :, None, None]).sum(1, keepdim=True)
    out = grey + (out - grey) * saturation
    return torch.einsum("nij,njhw->nihw", mixing, out).clamp(0, 1)


def crop_jitter(images: Tensor, *, shift: float, stretch: float, rng: np.random.Generator) -> Tensor:
    """Each image (n, 3, height, width) moved by up to ``shift`` of its side and each of its axes stretched by up to ``stretch``.

    A face's proportions are its owner's: stretched ones teach the encoder to read the motion alone (MegaPortraits).
    """
    count = len(images)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0] = torch.from_numpy(rng.uniform(1 - stretch, 1 + stretch, count)).float()
    matrix[:, 1, 1] = torch.from_numpy(rng.uniform(1 - stretch, 1 + stretch, count)).float()
    matrix[:, :, 2] = torch.from_numpy(rng.uniform(-2 * shift, 2 * shift, (count, 2))).float()
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def to_batch(crops: Tensor) -> Tensor:
    """(n, height, width, 3) uint8 -> (n, 3, height, width) in 0..1."""
    return rearrange(crops, "n h w c -> n c h w").float() / 255


def _column(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).float()[:, None, None, None]


def _hue_rotations(angles: np.ndarray) -> Tensor:
    """(n, 3, 3) rotations of RGB about the grey axis by ``angles`` (n,) radians."""
    from scipy.spatial.transform import Rotation

    return torch.from_numpy(Rotation.from_rotvec(angles[:, None] * np.full(3, 3**-0.5)).as_matrix()).float()
