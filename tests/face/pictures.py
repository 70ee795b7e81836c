"""Pictures without a face."""

from __future__ import annotations

import numpy as np

BACKGROUND = (90, 110, 130)


def blank(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), BACKGROUND, np.uint8)
