"""Classifier-free guidance with two scales: one for appearance, one for motion (released-model, Sampling).

Three branches, `v0` (nothing), `v1` (appearance), `v2` (appearance and motion), combine to
`v0 + g_a (v1 - v0) + g_m (v2 - v1)`. Written as a weighted sum, a branch of weight zero need not be evaluated: with equal
scales the middle one cancels, with both scales one only `v2` is left.
"""

from __future__ import annotations

import numpy as np


def scale_ramp(scales: tuple[float, float], steps: int) -> list[float]:
    """Guidance scale of each step, linear from the first to the last, both included."""
    return [float(s) for s in np.linspace(*scales, steps)]


def branch_weights(appearance_scale: float, motion_scale: float) -> tuple[float, float, float]:
    """Weights of `v0`, `v1`, `v2`; they sum to one."""
    return 1.0 - appearance_scale, appearance_scale - motion_scale, motion_scale
