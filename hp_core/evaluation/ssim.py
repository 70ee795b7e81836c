"""Structural similarity (Wang et al. 2004), frame by frame."""

from __future__ import annotations

import numpy as np


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
