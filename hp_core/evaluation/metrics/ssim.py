"""Structural similarity (Wang et al. 2004), frame by frame."""

from __future__ import annotations

import numpy as np

from hp_core.evaluation.metrics.base import FrameMetric, Part

WINDOW = 11
"""Pixels of a side; smaller pictures have no SSIM."""


def frame_ssim(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean SSIM of each frame, (F,) float64, at most 1.

    Settings of the paper, by scikit-image: Gaussian window of 11 x 11 pixels, sigma 1.5, K1 0.01, K2 0.03, range 255, covariance
    over N; the mean leaves out the 5 pixels at the border where the window is not whole, and is over the three RGB channels.

    Args:
        result, truth: (F, H, W, 3) uint8, H and W at least 11.
    """
    from skimage.metrics import structural_similarity

    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "channel_axis": -1}
    return np.array([structural_similarity(a, b, **settings) for a, b in zip(truth, result, strict=True)], np.float64)


def ssim() -> FrameMetric:
    """SSIM of whole frames as a metric; pictures smaller than the window have none."""

    def compute(part: Part) -> np.ndarray:
        truth = part.clips["truth"]
        if min(truth.shape[1:3]) < WINDOW:
            return np.full(len(truth), np.nan)
        return frame_ssim(part.clips["result"], truth)

    return FrameMetric(
        name="ssim",
        title="SSIM",
        better="higher",
        inputs=("result", "truth"),
        settings={
            "window": "11x11 Gaussian, sigma 1.5",
            "k1": 0.01,
            "k2": 0.03,
            "range": 255,
            "channels": "mean of RGB",
            "border": "left out",
        },
        compute=compute,
        why=f"the pictures are smaller than the window of {WINDOW} pixels",
    )
