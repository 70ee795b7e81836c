"""The crops of every frame of a clip: by one square, or by squares that follow the face, smoothed over time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from hp_core.checks import check_choice, check_range
from hp_core.config import FaceConfig
from hp_core.face.analyzer import Face
from hp_core.face.crop import crop_square, head_crop, motion_crop, square_box, square_following
from hp_core.values import Square

CROPS = ("face", "whole", "follow")
STIFFNESS = 12  # frames, half a second of film
MAX_STIFFNESS = 250  # as many whole frames wait in memory


@dataclass(frozen=True)
class CroppedFrame:
    """One frame's share of a track.

    Attributes:
        face: in the pixels of the frame.
        found: False where the face was filled in.
        square: x1, y1, x2, y2 of the head crop in the frame.
        head, motion: (S, S, 3) uint8.
    """

    face: Face
    found: bool
    square: Square
    head: np.ndarray
    motion: np.ndarray


class Cropper:
    """Crops frame after frame; under `follow` a frame waits until ``stiffness`` later ones are known.

    Args:
        crop, stiffness: see `hp_core.face.track.FaceTracker`.

    Raises:
        OptionError: an unknown ``crop``, or a stiffness out of range.
    """

    def __init__(self, config: FaceConfig, crop: str, stiffness: int):
        check_choice("crop", crop, CROPS)
        check_range("stiffness", stiffness, 0, MAX_STIFFNESS)
        self.config, self.crop = config, crop
        self._first_box: np.ndarray | None = None
        self._smoother = BoxSmoother(stiffness) if crop == "follow" else None
        self._waiting: deque[tuple[np.ndarray, Face, bool]] = deque()

    def add(self, image: np.ndarray, face: Face, found: bool) -> list[CroppedFrame]:
        """Take the next frame; returns those that can be cropped by now, in order."""
        if self._smoother is None:
            self._first_box = face.box if self._first_box is None else self._first_box
            return [self._cropped(image, face, found, self._first_box)]
        self._waiting.append((image, face, found))
        return self._ready(self._smoother.add(face.box))

    def finish(self) -> list[CroppedFrame]:
        """The frames still waiting, at the clip's end."""
        return [] if self._smoother is None else self._ready(self._smoother.finish())

    def _ready(self, boxes: list[np.ndarray]) -> list[CroppedFrame]:
        return [self._cropped(*self._waiting.popleft(), box) for box in boxes]

    def _cropped(self, image: np.ndarray, face: Face, found: bool, box: np.ndarray) -> CroppedFrame:
        """Cut around ``box``: the first frame's as released, or the smoothed one, so that the motion crop follows as well."""
        height, width = image.shape[:2]
        # The largest square of the picture is that around a face which has grown beyond all bounds.
        growth = max(height, width) if self.crop == "whole" else self.config.square_growth
        if self._smoother is None:
            square = square_box(box, (height, width), growth=growth)
        else:
            self._first_box = box if self._first_box is None else self._first_box
            square = square_following(box, self._first_box, (height, width), growth=growth)
        head = head_crop(crop_square(image, square, self.config.image_size), self.config)
        return CroppedFrame(face, found, square, head, motion_crop(image, face.five_points, box, self.config))


class BoxSmoother:
    """Smooths boxes over time without lag: centre and size become means over a Hann window around their frame.

    The window reaches ``radius`` frames to both sides. Toward the clip's ends it narrows, so that it stays symmetric and steady
    motion stays as it is; the first and the last box are kept.
    """

    def __init__(self, radius: int):
        self.radius = radius
        self._boxes: deque[np.ndarray] = deque()  # from ``radius`` frames before the next one to come out
        self._before = 0  # how many of them lie before it

    def add(self, box: np.ndarray) -> list[np.ndarray]:
        """Take the next frame's box (4,); returns the smoothed boxes, (4,) float64, that are final now."""
        self._boxes.append(np.asarray(box, np.float64))
        return [self._next()] if len(self._boxes) - self._before > self.radius else []

    def finish(self) -> list[np.ndarray]:
        """The smoothed boxes of the frames that waited for more."""
        return [self._next() for _ in range(len(self._boxes) - self._before)]

    def _next(self) -> np.ndarray:
        boxes, at = np.array(self._boxes), self._before
        radius = min(self.radius, at, len(boxes) - 1 - at)
        offsets = np.arange(-radius, radius + 1)
        weights = np.cos(np.pi / 2 * offsets / (radius + 1)) ** 2
        # As a shift from the frame's own box: where nothing moves it is exactly zero.
        shift = weights @ (boxes[at - radius : at + radius + 1] - boxes[at]) / weights.sum()
        self._before += 1
        if self._before > self.radius:
            self._boxes.popleft()
            self._before -= 1
        return np.asarray(boxes[at] + shift)
