"""Motion intensity of a chunk of frames from five landmarks (paper eq. 2-3, and the rule of the released weights)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hp_core.config import MotionConfig
from hp_core.errors import FaceError

if TYPE_CHECKING:
    import numpy as np

NOSE_TIP = 2  # row of the five points: left eye, right eye, nose tip, left and right mouth corner
# The intensities that the levels divide (the paper gives no range): with d = 128 these are the released scales 1024 and 256.
EXPRESSION_RANGE, HEAD_RANGE = 0.125, 0.5


def chunk_intensity(points: np.ndarray, rule: str) -> tuple[float, float]:
    """(expression, head) intensity of one chunk, relative to the face's size in its first frame.

    Args:
        points: (frames, 5, 2) pixels.
        rule: `released` takes means of distances, `paper` root mean squares (eq. 3).

    Raises:
        FaceError: the first frame's points coincide or a coordinate is not finite, so there is no scale.
    """
    import numpy as np

    points = np.asarray(points, dtype=np.float64)
    nose = points[:, NOSE_TIP]  # l_{k,c}: (frames, 2)
    centred = points - nose[:, None]  # e_{k,j}: (frames, 5, 2)
    scale = float(np.linalg.norm(centred[0].max(0) - centred[0].min(0)))  # s, eq. 2
    if not np.isfinite(points).all() or scale == 0:
        raise FaceError(f"The five points of a chunk's first frame span {scale:g} pixels, so motion has no scale. Detect the face again.")
    deviation = np.linalg.norm(centred - centred.mean(0), axis=-1)  # (frames, 5)
    path = np.linalg.norm(nose - nose.mean(0), axis=-1)  # (frames,)
    if rule == "paper":
        return float(np.sqrt((deviation**2).mean(1)).mean() / scale), float(np.sqrt((path**2).mean()) / scale)
    return float(deviation.mean() / scale), float(path.mean() / scale)


def quantise(intensity: np.ndarray, value_range: float, levels: int) -> np.ndarray:
    """Discrete levels 0..``levels - 1`` of intensities over 0..``value_range``: truncated, and clamped above (int64, same shape)."""
    import numpy as np

    return np.clip((intensity / value_range * levels).astype(np.int64), 0, levels - 1)


def estimate(points: np.ndarray, config: MotionConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Intensity over consecutive chunks of ``config.chunk`` frames (the last may be shorter).

    Args:
        points: (frames, 5, 2) pixels of the source frame.

    Returns:
        expression and head intensity (chunks,) float64, then their levels (chunks,) int64.
    """
    import numpy as np

    pairs = [chunk_intensity(points[i : i + config.chunk], config.intensity) for i in range(0, len(points), config.chunk)]
    expression, head = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    return (
        expression,
        head,
        quantise(expression, EXPRESSION_RANGE, config.levels),
        quantise(head, HEAD_RANGE, config.levels),
    )
