"""Landmark distance: how far the result's face points lie from the truth's, in percent of the face width."""

from __future__ import annotations

import numpy as np


def frame_landmark_distance(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean Euclidean distance over the landmarks of each frame, (F,) float64, in percent of the truth's face width.

    Both are read by one detector in their own pictures, nothing is aligned: a head in the wrong place counts. The width is the
    horizontal extent of the truth's landmarks, the mean over the clip, so that a turned head is not judged by a smaller unit.

    Args:
        result, truth: (F, n, 2) pixels; NaN where the face was not found, which gives NaN. See the share of detection beside it.
    """
    seen = np.isfinite(truth).all(axis=(1, 2))
    if not seen.any():
        return np.full(len(truth), np.nan)
    width = np.ptp(truth[seen, :, 0], axis=1).mean()
    return 100 * np.linalg.norm(result - truth, axis=2).mean(axis=1) / width
