"""Filters that calm a motion over time (`hp_core.motion.edit.smoothed`)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_POLYNOMIAL = 2  # degree of the Savitzky-Golay fit: keeps the height of a blink that the window sees whole
_BLOCK = 64  # frames that are smoothed at once
_BETA = 0.05  # One-Euro: how far the cutoff rises with speed, per deviation of the channel


def savgol(flat: Tensor, width: int) -> Tensor:
    """Savitzky-Golay over the frames of (frames, channels), ``width`` odd, 3 or more, at most the frames there are.

    The filter is linear: what it does to the unit pulses of a clip of ``width`` frames says how every frame is weighed, those at
    the ends by the parabola through the first or the last ``width``.
    """
    import numpy as np
    import torch
    from scipy.signal import savgol_filter

    frames, half = len(flat), width // 2
    degree = min(_POLYNOMIAL, width - 2)  # a parabola goes through three points and calms nothing
    pulses = savgol_filter(np.eye(width), width, degree, axis=0, mode="interp")
    weights = torch.from_numpy(pulses).to(flat.dtype)  # (width, width): of the frames seen, for each frame
    out = torch.empty_like(flat)
    out[:half], out[frames - half :] = weights[:half] @ flat[:width], weights[half + 1 :] @ flat[frames - width :]
    # The frames between by products with a band of weights: adding up shifted clips would read all of them once for each weight.
    band = torch.zeros(_BLOCK, _BLOCK + width - 1, dtype=flat.dtype)
    for row in range(_BLOCK):
        band[row, row : row + width] = weights[half]
    for first in range(0, frames - 2 * half, _BLOCK):
        seen = flat[first : first + _BLOCK + width - 1]
        rows = len(seen) - width + 1
        out[first + half : first + half + rows] = band[:rows, : len(seen)] @ seen
    return out


def one_euro(flat: Tensor, width: int) -> Tensor:
    """Casiez et al. 2012 over the frames of (frames, channels), on time in frames: the cutoff of a low pass rises with the speed of the
    signal; ``1 / width`` cycles a frame is that of what stands still.

    Each channel's speed is measured in its own deviations, so that degrees and features are calmed alike.
    """
    import torch

    kind, flat = flat.dtype, flat.to(torch.promote_types(flat.dtype, torch.float32))  # half has no number that small
    deviation = flat.std(dim=0, correction=0).clamp(min=1e-9)
    out, speed = flat.clone(), torch.zeros_like(deviation)
    for i in range(1, len(flat)):
        speed.lerp_((flat[i] - flat[i - 1]).div_(deviation), _share(0.2))
        cutoff = speed.abs().mul_(_BETA).add_(1 / width)
        share = cutoff.mul_(-2 * math.pi).expm1_().neg_()
        torch.lerp(out[i - 1], flat[i], share, out=out[i])
    return out.to(kind)


def _share(cutoff: float) -> float:
    """Weight of the newest sample in a low pass of ``cutoff`` cycles a frame."""
    return -math.expm1(-2 * math.pi * cutoff)
