"""Body keypoints to the picture the pose guider is shown: coloured limbs and joints on black (Cao et al. 2019)."""

from __future__ import annotations

import colorsys
import math

import numpy as np

LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""Pairs of OpenPose's 18 body points: nose, neck, right shoulder, elbow, wrist, left ones, right hip, knee, ankle, left ones,
right eye, left eye, right ear, left ear."""

EYE_POINTS = (14, 15, 16, 17)
"""Left out in cross-reenactment, with their limbs: they carry the driver's face shape (paper 3.5)."""


def draw_body(keypoints: np.ndarray, size: int, *, kept: np.ndarray | None = None, threshold: float = 0.3) -> np.ndarray:
    """(size, size, 3) uint8 RGB on black.

    Args:
        keypoints: (18, 3) x and y in pixels and a confidence 0..1.
        kept: (17,) bool, which of `LIMBS` to draw; a joint without any is not drawn either. None draws all.
        threshold: points below this confidence do not count.
    """
    import cv2

    picture = np.zeros((size, size, 3), np.uint8)
    width = max(size / 128, 1.0)
    shown: set[int] = set()
    for number, (first, second) in enumerate(LIMBS):
        if (kept is not None and not kept[number]) or min(keypoints[first, 2], keypoints[second, 2]) < threshold:
            continue
        shown |= {first, second}
        ends = np.array([keypoints[first, :2], keypoints[second, :2]])
        (x, y), (dx, dy) = ends.mean(0), ends[1] - ends[0]
        axes = (round(math.hypot(dx, dy) / 2), max(round(width), 1))
        outline = cv2.ellipse2Poly((round(float(x)), round(float(y))), axes, round(math.degrees(math.atan2(dy, dx))), 0, 360, 1)
        cv2.fillConvexPoly(picture, np.asarray(outline), [round(0.6 * part) for part in _colour(number, len(LIMBS))])
    for point in sorted(shown):
        at = (round(float(keypoints[point, 0])), round(float(keypoints[point, 1])))
        cv2.circle(picture, at, max(round(width), 1), _colour(point, len(keypoints)), -1)
    return picture


def _colour(number: int, count: int) -> list[int]:
    """Colours round the wheel."""
    return [round(255 * part) for part in colorsys.hsv_to_rgb(number / count, 1, 1)]
