"""Keypoints to the picture the pose guider is shown: coloured limbs and joints on black (Cao et al. 2019), in two known styles.

Which of them the released weights saw is not public.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from hp_core.config import PoseStyle
from hp_core.pose.keypoints import BODY, FACE, HANDS, LEFT_EAR, LEFT_EYE, RIGHT_EAR, RIGHT_EYE, VISIBLE

if TYPE_CHECKING:
    from hp_core.values import PoseMaps

LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""Pairs of OpenPose's 18 body points: nose, neck, right shoulder, elbow, wrist, left ones, right hip, knee, ankle, left ones,
right eye, left eye, right ear, left ear."""

EYE_POINTS = (RIGHT_EYE, LEFT_EYE, RIGHT_EAR, LEFT_EAR)
"""Left out in cross-reenactment, with their limbs: they carry the driver's face shape (paper 3.5)."""

_FACE_EYES = slice(36, 48)  # of the 68 face points; left out with those of the body
_FINGERS = tuple((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21))
_DIMMED = (np.arange(256) * 0.6).astype(np.uint8)
_FINE = 2160  # short side at which MimicMotion draws before it shrinks
_REFERENCE = 512  # size at which strokes have the widths below, and at which smaller maps are drawn: joints lie on whole pixels
_STICK, _JOINT, _FACE_DOT, _FINGER = 4, 4, 3, 2


def draw_skeleton(points: np.ndarray, size: int, style: PoseStyle = PoseStyle(), *, kept: np.ndarray | None = None) -> np.ndarray:
    """(size, size, 3) uint8 RGB on black.

    Args:
        points: (128, 3), or the body's (18, 3): x and y in pixels and a confidence 0..1.
        style: how, and which parts.
        kept: (17,) bool, which of `LIMBS` to draw; a joint without any is not drawn either. None draws all.
    """
    import cv2

    fine = style.drawing == "mimicmotion"
    side = max(size, _FINE if fine else _REFERENCE)
    scaled = points.astype(np.float64)
    scaled[(scaled[:, :2] <= 0).any(-1), 2] = 0  # both styles skip what lies outside to the left and above
    middle = 0.0 if fine else 0.5  # of a pixel, which a whole number names
    scaled[:, :2] = (scaled[:, :2] + middle) * (side / size) - middle
    canvas = _Canvas(side, by_confidence=fine)
    if style.body:
        canvas.body(scaled[BODY], kept, eyes=style.eyes)
    if style.hands and len(points) > BODY.stop:
        for hand in np.split(scaled[HANDS], 2):
            canvas.hand(hand)
    if style.face and len(points) > BODY.stop:
        canvas.dots(scaled[FACE] if style.eyes else np.delete(scaled[FACE], _FACE_EYES, axis=0), _FACE_DOT, (255, 255, 255))
    picture = canvas.picture if side == size else cv2.resize(canvas.picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture[..., ::-1]) if fine else picture  # this style comes with red and blue exchanged


def distinct_maps(pose: PoseMaps, frames: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The distinct maps of ``frames``, (n, 3, height, width) in 0..1, and each frame's row among them (frames,).

    Skeletons are drawn here, for the frames at hand: a minute of drawn maps would fill a gigabyte.
    """
    rows, inverse = torch.unique(pose.index[list(frames)], return_inverse=True)
    if pose.skeletons is None:
        maps = pose.maps[rows]
    else:
        size = int(pose.maps.shape[-1])
        drawn = np.stack([draw_skeleton(pose.skeletons[row], size, PoseStyle.parse(pose.style)) for row in rows.tolist()])
        maps = rearrange(torch.from_numpy(drawn), "n h w c -> n c h w")
    return (maps / 255 if maps.dtype == torch.uint8 else maps), inverse


class _Canvas:
    """A black picture to draw on; strokes keep their share of the side.

    Args:
        by_confidence: colours and dots are as bright as their points are sure.
    """

    def __init__(self, side: int, *, by_confidence: bool) -> None:
        self.picture, self.by_confidence = np.zeros((side, side, 3), np.uint8), by_confidence
        self.unit = side / (_FINE if by_confidence else _REFERENCE)

    def body(self, points: np.ndarray, kept: np.ndarray | None, *, eyes: bool) -> None:
        import cv2

        shown: set[int] = set()
        for number, (first, second) in enumerate(LIMBS):
            dropped = (kept is not None and not kept[number]) or (not eyes and {first, second} & set(EYE_POINTS))
            if dropped or min(points[first, 2], points[second, 2]) < VISIBLE:
                continue
            shown |= {first, second}
            ends = points[[first, second], :2]
            (x, y), (dx, dy) = ends.mean(0), ends[1] - ends[0]
            axes = (round(math.hypot(dx, dy) / 2), self._width(_STICK))
            outline = cv2.ellipse2Poly((round(x), round(y)), axes, round(math.degrees(math.atan2(dy, dx))), 0, 360, 1)
            cv2.fillConvexPoly(self.picture, np.asarray(outline), self._shade(_hue(number / 18), points[first, 2] * points[second, 2]))
        cv2.LUT(self.picture, _DIMMED, dst=self.picture)  # limbs are dimmed, joints are not
        for joint in sorted(shown):
            self._dot(points[joint], _JOINT, _hue(joint / 18))

    def hand(self, points: np.ndarray) -> None:
        import cv2

        for number, (first, second) in enumerate(_FINGERS):
            if min(points[first, 2], points[second, 2]) >= VISIBLE:
                start, end = ((round(x), round(y)) for x, y in points[[first, second], :2].tolist())
                colour = self._shade(_hue(number / 20), points[first, 2] * points[second, 2])
                cv2.line(self.picture, start, end, colour, self._width(_FINGER))
        self.dots(points, _JOINT, (0, 0, 255))

    def dots(self, points: np.ndarray, radius: int, colour: tuple[int, int, int]) -> None:
        for point in points:
            if point[2] >= VISIBLE:
                self._dot(point, radius, colour)

    def _dot(self, point: np.ndarray, radius: int, colour: tuple[int, int, int]) -> None:
        import cv2

        cv2.circle(self.picture, (round(point[0]), round(point[1])), self._width(radius), self._shade(colour, point[2]), -1)

    def _width(self, width: int) -> int:
        return max(round(width * self.unit), 1)

    def _shade(self, colour: tuple[int, int, int], confidence: float) -> tuple[int, ...]:
        return tuple(int(part * min(float(confidence), 1.0)) for part in colour) if self.by_confidence else colour


def _hue(part: float) -> tuple[int, int, int]:
    """A full colour on the wheel."""
    red, green, blue = (int(255 * value + 1e-6) for value in colorsys.hsv_to_rgb(part, 1, 1))
    return red, green, blue
