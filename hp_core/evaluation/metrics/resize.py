"""Pictures brought to the size a network wants."""

from __future__ import annotations

import numpy as np


def squashed(frames: np.ndarray, size: int) -> np.ndarray:
    """(F, H, W, 3) uint8 to (F, size, size, 3) uint8 by Pillow's antialiased bicubic, whatever the proportions."""
    from PIL import Image

    if frames.shape[1:3] == (size, size):
        return frames
    return np.stack([np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC)) for frame in frames])


def centre_cut(frames: np.ndarray, size: int) -> np.ndarray:
    """(F, H, W, 3) uint8 to (F, size, size, 3) float32 in 0..255: shorter side to ``size``, bilinear without antialiasing, middle."""
    import torch
    from torch.nn import functional

    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    height, width = images.shape[2:]
    scale = size / min(height, width)
    # The longer side is rounded up, so that the square always fits.
    target = (size, int(np.ceil(width * scale))) if height < width else (int(np.ceil(height * scale)), size)
    images = functional.interpolate(images, size=target, mode="bilinear", align_corners=False)
    top, left = (target[0] - size) // 2, (target[1] - size) // 2
    return np.asarray(images[:, :, top : top + size, left : left + size].permute(0, 2, 3, 1).numpy())
