"""Flicker: what changes from frame to frame where nothing should."""

from __future__ import annotations

import numpy as np


def still_flicker(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean absolute change of the result from each frame to the next, in grey levels 0..255, (F - 1,) float64.

    Only pixels count whose three channels are equal in the two frames of the truth: there every change is an error. NaN where
    the truth has no such pixel. A picture that never moves has no flicker, so this says something only beside PSNR.

    Args:
        result, truth: (F, H, W, 3) uint8.
    """
    changes = []
    for index in range(1, len(truth)):
        still = (truth[index] == truth[index - 1]).all(axis=2)
        change = np.abs(result[index].astype(np.int16) - result[index - 1])[still]
        changes.append(change.mean() if change.size else np.nan)
    return np.array(changes, np.float64)
