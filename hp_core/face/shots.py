"""Where another shot begins in a video."""

from __future__ import annotations

import numpy as np

CUT = 27.0
"""Mean change of hue, saturation and value (0..255 each, hue 0..179) between two frames from which on it is another shot: the usual
threshold of PySceneDetect's content rule."""


class Shots:
    """Watches a video frame by frame for cuts."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None  # the last frame, small, in HSV

    def change(self, image: np.ndarray) -> float:
        """How much the next frame, (height, width, 3) uint8 RGB, differs from the last one; `CUT` and more is a cut."""
        import cv2

        small = cv2.cvtColor(cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2HSV).astype(np.float32)
        before, self._before = self._before, small
        if before is None:
            return 0.0
        apart = np.abs(small - before)
        apart[..., 0] = np.minimum(apart[..., 0], 180 - apart[..., 0])  # hues lie on a circle
        return float(apart.mean())
