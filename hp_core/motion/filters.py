"""Filters that calm a motion over time (`hp_core.motion.edit.smoothed`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_POLYNOMIAL = 2  # degree of the Savitzky-Golay fit: keeps the height of a blink that the window sees whole
_BLOCK = 32  # frames smoothed at once
_BETA = 0.05  # One-Euro: how far the cutoff rises with speed, per deviation of the channel


def savgol(flat: Tensor, width: int) -> Tensor:
    """Savitzky-Golay over the frames of (frames, channels), ``width`` odd and 3 or more.

    The filter is linear over the frames: its matrix is found once, and multiplied where it is not zero.
    """
    import numpy as np
    import torch
    from scipy.signal import savgol_filter

    frames = len(flat)
    degree = min(_POLYNOMIAL, width - 2)  # a parabola goes through three points and calms nothing
    matrix = torch.from_numpy(savgol_filter(np.eye(frames), width, degree, axis=0, mode="interp")).to(flat.dtype)
    out = torch.empty_like(flat)
    for start in range(0, frames, _BLOCK):
        rows = slice(start, min(start + _BLOCK, frames))
        reach = slice(max(0, rows.start - width), min(frames, rows.stop + width))
        torch.mm(matrix[rows, reach], flat[reach], out=out[rows])
    return out


def one_euro(flat: np.ndarray, width: int) -> np.ndarray:
    """Casiez et al. 2012, on time in frames: the cutoff of a low pass rises with the speed of the signal.

    Each channel's speed is measured in its own deviations, so that degrees and features are calmed alike.
    """
    import numpy as np

    deviation = np.maximum(flat.std(axis=0), 1e-9)
    still = 1.0 / width  # cutoff of what does not move, in cycles a frame
    out, speed = flat.copy(), np.zeros_like(deviation)
    for i in range(1, len(flat)):
        speed += _share(0.2) * ((flat[i] - flat[i - 1]) / deviation - speed)
        out[i] = out[i - 1] + _share(still + _BETA * np.abs(speed)) * (flat[i] - out[i - 1])
    return out


def _share(cutoff: np.ndarray | float) -> np.ndarray | float:
    """Weight of the newest sample in a low pass of ``cutoff`` cycles a frame."""
    import numpy as np

    return 1 - np.exp(-2 * np.pi * np.asarray(cutoff))
