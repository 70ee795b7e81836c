"""Peak signal-to-noise ratio in dB, frame by frame."""

from __future__ import annotations

import numpy as np

from hp_core.evaluation.metrics.base import FrameMetric

CEILING = 100.0
"""dB given to frames that are equal, or differ by less than a mean squared error of 1e-10 of the range squared."""


def frame_psnr(result: np.ndarray, truth: np.ndarray, boxes: np.ndarray | None = None) -> np.ndarray:
    """PSNR of each frame, (F,) float64, at most `CEILING`.

    Settings: range 255, one mean squared error over all pixels and the three RGB channels of a frame. A clip's PSNR is the mean
    over its frames, not the PSNR of its mean error.

    Args:
        result, truth: (F, H, W, 3) uint8.
        boxes: (F, 4) int x1, y1, x2, y2, the last two exclusive; None compares whole frames. A frame with an empty box is NaN.
    """
    error = (result.astype(np.float64) - truth) / 255
    height, width = truth.shape[1:3]
    windows = [(0, 0, width, height)] * len(truth) if boxes is None else boxes
    mean_squares = []
    for frame, (x1, y1, x2, y2) in zip(error, windows, strict=True):
        part = frame[y1:y2, x1:x2]
        mean_squares.append(np.mean(part * part) if part.size else np.nan)
    return -10 * np.log10(np.maximum(mean_squares, 10 ** (-CEILING / 10)))


def psnr() -> FrameMetric:
    """PSNR of whole frames as a metric."""
    return FrameMetric(
        name="psnr",
        title="PSNR (dB)",
        better="higher",
        inputs=("result", "truth"),
        settings={"range": 255, "channels": "RGB, one mean squared error", "ceiling": CEILING, "clip": "mean over frames"},
        compute=lambda part: frame_psnr(part.clips["result"], part.clips["truth"]),
    )
