"""Filters that calm a motion over time (`hp_core.motion.edit.smoothed`)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_POLYNOMIAL = 2  # degree of the Savitzky-Golay fit: keeps the height of a blink that the window sees whole
_BLOCK = 64  # frames that are smoothed at once
_SPEED_CUTOFF = 0.2  # One-Euro: of the low pass of the speed, in cycles a frame
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
    import numpy as np
    import torch

    # By NumPy and in place: torch would wake its threads for each of these small steps, and fresh memory would cost more than they do.
    values = flat.to(torch.promote_types(flat.dtype, torch.float32)).numpy()  # half has no number as small as the least deviation
    deviation = np.maximum(values.std(axis=0), 1e-9)
    out, speed, step, kept = values.copy(), np.zeros_like(deviation), np.empty_like(deviation), np.empty_like(deviation)
    steady = 1 - math.exp(-2 * math.pi * _SPEED_CUTOFF)
    for i in range(1, len(values)):
        np.subtract(values[i], values[i - 1], out=step)
        step /= deviation
        step -= speed
        step *= steady
        speed += step
        # What a low pass keeps of the last value: the less, the higher its cutoff, _BETA * |speed| + 1 / width.
        np.abs(speed, out=kept)
        kept *= -2 * math.pi * _BETA
        kept -= 2 * math.pi / width
        np.exp(kept, out=kept)
        np.subtract(out[i - 1], out[i], out=step)
        step *= kept
        out[i] += step
    return torch.from_numpy(out).to(flat.dtype)
