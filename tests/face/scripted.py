"""Faces that are found where a script says."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from hp_core.config import FaceConfig
from hp_core.face.analyzer import Face
from hp_core.face.track import FaceTracker
from hp_core.values import FaceTrack

CONFIG = FaceConfig(image_size=128, head_size=64, motion_size=64)
FIVE = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])


def face(x: float, y: float, side: float, **options: Any) -> Face:
    """A face whose box starts at (x, y)."""
    return Face(np.array([x, y, x + side, y + side], np.float32), (FIVE * side + (x, y)).astype(np.float32), score=0.9, **options)


class Scripted:
    """An analyzer that reports what a script says, frame by frame, and one face filling any crop."""

    name, threshold = "scripted", 0.5

    def __init__(self, frames: Iterable[list[Face]]):
        self.frames = iter(frames)

    def detect(self, image: np.ndarray) -> list[Face]:
        if image.shape[0] == CONFIG.image_size:
            return [face(43, 43, 42)]
        return sorted(next(self.frames), key=lambda f: -f.area)

    def close(self) -> None:
        pass


def track(frames: list[list[Face]], size: tuple[int, int] = (300, 400), **options: Any) -> FaceTrack:
    """The track of a clip of pictures (height, width), each of one grey level: its number."""
    tracker = FaceTracker(Scripted(frames), CONFIG, **options)
    for i in range(len(frames)):
        tracker.add(np.full((*size, 3), i, np.uint8))
    return tracker.finish(Fraction(30))
