"""Filters that calm a motion over time (`hp_core.motion.edit.smoothed`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_POLYNOMIAL = 2  # degree of the Savitzky-Golay fit: keeps the height of a blink that the window sees whole
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
    middle = out[half : frames - half].zero_()
    for seen, weight in enumerate(pulses[half].tolist()):
        middle.add_(flat[seen : seen + len(middle)], alpha=weight)
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
