"""Detection: whether a face detector still sees a face in the result."""

from __future__ import annotations

import numpy as np


def detection_share(found: np.ndarray) -> float:
    """Share of frames, 0..1, in which the detector found a face; ``found`` is (F,) bool. The truth's own share is its ceiling."""
    return float(np.mean(found))
