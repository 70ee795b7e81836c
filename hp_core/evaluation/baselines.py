"""What is to be beaten: the portrait standing still, and the portrait warped by the driver's landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hp_core.evaluation.case import Answer, Case

if TYPE_CHECKING:
    from hp_core.evaluation.clip_readings import Reader

_OVAL = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
]  # fmt: skip
"""The outline of the face in MediaPipe's numbering."""
_RING = 1.3
"""The ring of points outside the face, in distances from its middle: about where the hair ends."""
_EMPTY = 1e-3
"""Twice the area in square pixels below which a triangle covers nothing."""
_FINE = 8
"""Triangles are drawn so much larger and every so many-th pixel is kept: OpenCV also covers the pixels an edge only touches."""
_BORDER = 9
"""Fixed points along each side of the picture, corners included."""


def still(portrait: np.ndarray, driving: np.ndarray, seed: int) -> np.ndarray:
    """The portrait for every frame: what a system scores that does nothing. Has the signature of `Animate`."""
    del seed
    return np.repeat(portrait[None], len(driving), axis=0)


def staring(case: Case) -> Answer:
    """The exact truth of the drawn world with eyes that look straight ahead: a control, which tells what a reading of the gaze is worth."""
    from hp_core.demo.world import HeldOutPair

    return Answer(HeldOutPair(case.index).truth_staring(len(case.truth), case.truth.shape[1]))


class LandmarkWarp:
    """The portrait's pixels moved piecewise linearly by what the driver's landmarks moved. A `System`.

    What it gets, which no trained system does: the driver in the very pose of the portrait (`Case.driver_portrait`), so that
    what the landmarks moved since is exact whatever the clip begins with.

    The driver's landmarks are brought to the portrait's by the scale and the translation that fit the two poses best; what they
    move is added to the portrait's landmarks. A ring of points outside the face goes along with its outline, points on the
    border of the picture stay. All are joined to triangles once, in the portrait (Delaunay). Each pixel of a frame is taken from
    the portrait through the triangle that covers it, bilinearly; triangles turned inside out lie under the others. So hair, neck and
    clothes only stretch, and nothing appears that the portrait does not show: teeth, a turned cheek, the background behind.

    A frame without the driver's face keeps the warp before it, at the start none; where the portrait or the driver's portrait
    shows no face, all frames do. They count as held.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __call__(self, case: Case) -> Answer:
        portrait, rest = (self._landmarks(picture) for picture in (case.portrait, case.driver_portrait))
        if portrait is None or rest is None:
            return Answer(still(case.portrait, case.driving, case.index), held=len(case.driving))
        mesh, scale = _Mesh(case.portrait, portrait), _scale(rest, portrait)
        frames, held, frame = [], 0, case.portrait
        for picture in case.driving:
            moved = self._landmarks(picture)
            if moved is None:
                held += 1
            else:
                frame = mesh.warped(portrait + scale * (moved - rest))
            frames.append(frame)
        return Answer(np.stack(frames), held)

    def _landmarks(self, picture: np.ndarray) -> np.ndarray | None:
        reading = self.reader.read(picture)
        return None if reading is None else np.asarray(reading.landmarks, np.float64)


class _Mesh:
    """Triangles over a picture (S, S, 3) uint8 with a face at ``landmarks`` (478, 2) pixels."""

    def __init__(self, picture: np.ndarray, landmarks: np.ndarray) -> None:
        from scipy.spatial import Delaunay

        self.picture, self.border = picture, _border(picture.shape[0])
        points = self._with_ring(landmarks)
        self.triangles = Delaunay(points).simplices
        self.corners = points[self.triangles]

    def warped(self, landmarks: np.ndarray) -> np.ndarray:
        """The picture with its landmarks at ``landmarks`` (478, 2), uint8."""
        import cv2

        target, size = self._with_ring(landmarks)[self.triangles], self.picture.shape[0]
        turn = _area(target) * np.sign(_area(self.corners))
        order = np.argsort(turn > 0, kind="stable")  # those inside out first, so that they come to lie underneath
        fine = np.full((_FINE * size, _FINE * size), -1, np.int32)
        for index in order[np.abs(turn[order]) > _EMPTY]:
            cv2.fillConvexPoly(fine, np.round(target[index] * _FINE * 16).astype(np.int32), int(index), cv2.LINE_8, 4)
        covered = fine[::_FINE, ::_FINE]
        rows, columns = np.nonzero(covered >= 0)
        triangle = covered[rows, columns]
        weights = _barycentric(target, triangle, np.stack([columns, rows], axis=1))
        source = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float32)
        source[rows, columns] = np.einsum("nc,ncd->nd", weights, self.corners[triangle])
        x, y = source[..., 0].copy(), source[..., 1].copy()
        return np.asarray(cv2.remap(self.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def _with_ring(self, landmarks: np.ndarray) -> np.ndarray:
        """The landmarks, the ring around them and the border; the centre of the first pixel lies at 0."""
        outline, last = landmarks[_OVAL], self.border.max()
        middle = outline.mean(axis=0)
        # The border must stay outermost: a ring beyond it would turn the triangles between them inside out.
        ring = np.clip(middle + _RING * (outline - middle), 0.03 * last, 0.97 * last)
        return np.concatenate([landmarks - 0.5, ring - 0.5, self.border])


def _border(size: int) -> np.ndarray:
    along = np.linspace(0, size - 1, _BORDER)
    low, high = np.zeros(_BORDER), np.full(_BORDER, size - 1.0)
    sides = [(along, low), (along, high), (low[1:-1], along[1:-1]), (high[1:-1], along[1:-1])]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def _scale(source: np.ndarray, target: np.ndarray) -> float:
    """The scale that, with a translation, brings ``source`` (n, 2) to ``target`` best."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    return float((a * b).sum() / (a * a).sum())


def _area(corners: np.ndarray) -> np.ndarray:
    """Twice the signed areas of triangles (n, 3, 2)."""
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]


def _barycentric(corners: np.ndarray, triangle: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Weights (n, 3) of the corners (m, 3, 2) of each point's ``triangle`` (n,), for ``points`` (n, 2).

    A point a little outside gets the nearest edge: beyond a thin triangle lies the other side of the portrait.
    """
    used, row = np.unique(triangle, return_inverse=True)
    inverse = np.linalg.inv(np.concatenate([corners[used], np.ones((len(used), 3, 1))], axis=2))
    weights = np.einsum("ni,nij->nj", np.c_[points, np.ones(len(points))], inverse[row]).clip(0)
    return weights / weights.sum(axis=1, keepdims=True)
