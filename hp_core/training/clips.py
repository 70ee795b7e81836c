"""What every training stage learns from: a clip of one person, with the crops the encoders see and what is known about it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Clip:
    """One face through consecutive frames; F frames, all arrays of that length.

    Attributes:
        key: unique in its source; letters, digits, ``-`` and ``_``.
        person: clips of one name show one person; the file's name where nothing better is known.
        fps: frames a second.
        frames: (F, S, S, 3) uint8 RGB square crops, what the model learns to draw.
        motion_crops: (F, M, M, 3) uint8 RGB, the expression encoder's images. They show the same performance; in a rendered
            world it may be given by somebody else, which is what cross-reenactment asks for.
        head_crops: (F, H, H, 3) uint8 RGB, the head-pose encoder's images, of whoever ``motion_crops`` shows.
        five_points: (F, 5, 2) float32, landmarks in pixels of the video that ``motion_crops`` come from (intensity).
        crop_points: (F, 5, 2) float32, landmarks in pixels of ``frames`` (identity alignment).
        rotation: (F, 3) float32 yaw, pitch, roll in degrees as `hp_core.demo.performance.Performance` counts them, or None.
        landmarks: (F, n, 2) float32 dense landmarks in pixels of ``frames``, or None.
        keypoints: (F, 18, 3) float32 body points in OpenPose's order, x and y in pixels of ``frames`` and a confidence 0..1, or None.
        labels: further truths, each (F,) or (F, n) float32; a rendered world knows them, a real video does not.
    """

    key: str
    person: str
    fps: Fraction
    frames: np.ndarray
    motion_crops: np.ndarray
    head_crops: np.ndarray
    five_points: np.ndarray
    crop_points: np.ndarray
    rotation: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    labels: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)


class ClipSource(Protocol):
    """Where clips come from: shards on disk or a renderer.

    Attributes:
        keys: of its clips, in order.
        skipped: what could not be read since the last start of reading: key of the clip, or name of the shard -> reason.
    """

    keys: list[str]
    skipped: dict[str, str]

    def read(self, keys: Collection[str]) -> Iterator[Clip]:
        """The clips of these keys in the source's order, less those that cannot be read; nothing is spent on the others."""
        ...
