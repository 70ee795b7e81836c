"""Gaze error: the angle between where the eyes of driver and result look, relative to their heads."""

from __future__ import annotations

import numpy as np

from hp_core.evaluation.metrics.base import FACE_RULE, NO_FACE, FrameMetric, Part

EYES = (  # in MediaPipe's numbering: corners from image left to right, lids, iris centre, its ends left and right
    ((33, 133), (159, 145), 468, (469, 471)),
    ((362, 263), (386, 374), 473, (474, 476)),
)
IRIS = 11.7
"""Diameter of the visible iris in mm, nearly the same in every adult: the ruler in the picture."""
EYEBALL = 12.0
"""Radius of the eyeball in mm."""
CLOSED = 0.12
"""Opening of the lids, of the distance of the corners, below which an eye is closed and looks nowhere."""


def eye_directions(landmarks: np.ndarray) -> np.ndarray:
    """Where each eye looks, relative to the line through its corners: unit vectors (F, 2, 3), x right, y down, z into the picture.

    The iris lies on a ball of `EYEBALL` mm whose middle is behind the middle between the corners; what it is off that
    middle, measured in irises of `IRIS` mm, is the sine of the angle. Head roll cancels, yaw and pitch do not: compare heads that
    turn alike. Offsets beyond the ball are taken as at its rim.

    Args:
        landmarks: (F, 478, 2) pixels; NaN where no face was found, which gives NaN, as does a closed eye (`CLOSED`).
    """
    both = []
    for corners, lids, iris, ends in EYES:
        left, right = landmarks[:, corners[0]], landmarks[:, corners[1]]
        across = right - left
        width = np.linalg.norm(across, axis=1, keepdims=True)
        along = across / width
        down = np.stack([-along[:, 1], along[:, 0]], axis=1)
        off = landmarks[:, iris] - (left + right) / 2
        pixels = np.linalg.norm(landmarks[:, ends[0]] - landmarks[:, ends[1]], axis=1)
        sines = np.stack([(off * along).sum(1), (off * down).sum(1)], axis=1) / pixels[:, None] * (IRIS / EYEBALL)
        sines /= np.maximum(np.linalg.norm(sines, axis=1, keepdims=True), 1)
        direction = np.concatenate([sines, np.sqrt(np.maximum(1 - (sines**2).sum(1, keepdims=True), 0))], axis=1)
        opening = np.linalg.norm(landmarks[:, lids[0]] - landmarks[:, lids[1]], axis=1) / width[:, 0]
        direction[opening < CLOSED] = np.nan
        both.append(direction)
    return np.stack(both, axis=1)


def frame_gaze_error(result: np.ndarray, driving: np.ndarray) -> np.ndarray:
    """Angle in degrees, (F,) float64, mean over the eyes that are open in both; landmarks as `eye_directions` takes them."""
    one, other = eye_directions(result), eye_directions(driving)
    angles = np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other), axis=2), (one * other).sum(axis=2)))
    seen = np.isfinite(angles)
    return np.where(seen.any(axis=1), np.where(seen, angles, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1), np.nan)


def gaze() -> FrameMetric:
    """Gaze error against the driver as a metric. Not the number of papers that use a trained gaze network."""

    def compute(part: Part) -> np.ndarray:
        return frame_gaze_error(part.read("result").landmarks, part.read("driving").landmarks)

    return FrameMetric(
        name="gaze",
        title="gaze error (degrees)",
        better="lower",
        inputs=("result", "driving"),
        settings={
            "estimator": "MediaPipe's iris on a ball",
            "iris_mm": IRIS,
            "eyeball_mm": EYEBALL,
            "closed_eyes": f"left out below an opening of {CLOSED} of the width",
            "faces": FACE_RULE,
        },
        compute=compute,
        faces=True,
        why=f"{NO_FACE}, with an open eye",
    )
