"""What a reader sees in every frame of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from hp_core.evaluation.readings import FullReading

VALUES = ("yaw", "pitch", "roll", "jaw", "smile", "pucker", "brows", "blink_left", "blink_right", "gaze_x", "gaze_y")
"""The numbers of a `Reading` that are followed."""
LANDMARKS, BLENDSHAPES = 478, 52
_FIVE_POINTS = [468, 473, 1, 61, 291]  # irises, nose tip, mouth corners in MediaPipe's numbering, image left first


class Reader(Protocol):
    """`hp_core.evaluation.readings.MotionReader`, or anything that reads like it."""

    def read(self, frame: np.ndarray) -> FullReading | None:
        """The face in ``frame`` (H, W, 3) uint8, None where there is none."""
        ...


@dataclass(frozen=True, eq=False)
class ClipReadings:
    """A clip of F frames as read; NaN where no face was found.

    Attributes:
        found: (F,) bool.
        landmarks: (F, 478, 2) float64 pixels.
        values: (F,) float64 for each of `VALUES`, in the units of `Reading`.
        blendshapes: (F, 52) float64 in 0..1.
    """

    found: np.ndarray
    landmarks: np.ndarray
    values: dict[str, np.ndarray]
    blendshapes: np.ndarray

    @property
    def five_points(self) -> np.ndarray:
        """(F, 5, 2) pixels: left eye, right eye, nose tip, left and right mouth corner, image left first."""
        return self.landmarks[:, _FIVE_POINTS]


def read_clip(reader: Reader, frames: np.ndarray) -> ClipReadings:
    """Read every frame of ``frames`` (F, H, W, 3) uint8 on its own; a frame equal to the one before it is read once."""
    readings: list[FullReading | None] = []
    for index, frame in enumerate(frames):
        again = index > 0 and np.array_equal(frame, frames[index - 1])
        readings.append(readings[-1] if again else reader.read(frame))
    absent, unread = np.full((LANDMARKS, 2), np.nan), np.full(BLENDSHAPES, np.nan)
    return ClipReadings(
        found=np.array([reading is not None for reading in readings]),
        landmarks=np.stack([absent if reading is None else np.asarray(reading.landmarks, np.float64)[:, :2] for reading in readings]),
        values={name: np.array([np.nan if reading is None else float(getattr(reading, name)) for reading in readings]) for name in VALUES},
        blendshapes=np.stack([unread if reading is None else np.asarray(reading.blendshapes, np.float64) for reading in readings]),
    )
