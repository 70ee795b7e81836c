"""The head as a solid: where its points lie in the picture.

Points are in head units: x to the right, y down, z towards the viewer; 1 is half the width of an average face, the origin lies
between the ears. Features are outlines laid on the surface of the head, turned with it and projected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from hp_core.demo.drawing import hull
from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance

CHIN = 1.32  # crown and chin lie this far above and below the origin
_NOSE = (0.5, 0.31)
_UNIT = 0.245  # fraction of the image side that one head unit takes at scale 1
_EYE = (0.43, 0.06)
_MOUTH = 0.80
_PIVOT = np.array([0.0, 0.8, -0.35])


class Head:
    """One frame's head: where its points lie in the picture."""

    def __init__(self, identity: Identity, performance: Performance, index: int, size: int) -> None:
        self.identity, self.size = identity, size
        self.nose = _NOSE[0] + 0.03 * identity.nose_tip, _NOSE[1] * identity.nose_size
        """Height of the tip of the nose, and how far it stands out."""
        self.now = {field.name: float(getattr(performance, field.name)[index]) for field in fields(performance)}
        self.unit = _UNIT * size * self.now["scale"]
        self.centre = size * np.array([0.5 + self.now["shift_x"], 0.5 + self.now["shift_y"]])
        self._proportions = np.array([identity.face_width, identity.face_length, 1.0])
        self.rotation = rotation_of(self.now["yaw"], self.now["pitch"], self.now["roll"])

    def place(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) head units -> (n, 2) pixels. The head turns on the top of the neck; slight perspective."""
        turned = (points * self._proportions - _PIVOT) @ self.rotation.T + _PIVOT
        return self.centre + self.unit * turned[:, :2] * (9.0 / (9.0 - turned[:, 2:]))

    def profile(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Half width and half depth of the head at the heights ``y``."""
        v = np.minimum(np.abs(y) / CHIN, 1)
        return (1 - v ** np.where(y > 0, 1.85 * self.identity.jaw_width, 2.4)) ** 0.54, 1.05 * (1 - v**3) ** 0.5

    def around(self, angle: np.ndarray, y: np.ndarray, outward: np.ndarray | float = 0.0) -> np.ndarray:
        """(n, 3) points on the head at ``angle`` (radians, 0 in front, positive at the image right) and height ``y``."""
        (width, depth), sine, cosine = self.profile(y), np.sin(angle), np.cos(angle)
        x = (width + outward) * np.sign(sine) * np.abs(sine) ** 0.85
        z = (depth + outward) * np.sign(cosine) * np.abs(cosine) ** 0.85 * np.where(cosine < 0, 1.12, 1.0)
        return np.stack([x, y + self.drop(y), z], axis=1)

    def drop(self, y: np.ndarray) -> np.ndarray:
        """How far the open jaw lowers the heights ``y``."""
        chin = np.clip((y - 0.6) / 0.5, 0, 1)
        return 0.34 * self.now["jaw"] * chin * chin * (3 - 2 * chin)

    def outline(self) -> np.ndarray:
        """Silhouette (n, 2) in pixels."""
        angle, y = np.meshgrid(np.linspace(0, 2 * np.pi, 40), -CHIN * np.cos(np.linspace(0, np.pi, 33)))
        return hull(self.place(self.around(angle.ravel(), y.ravel())))

    def on_face(
        self,
        x: np.ndarray | Sequence[float],
        y: np.ndarray | Sequence[float],
        bump: np.ndarray | float = 0.0,
        drop: np.ndarray | float = 0.0,
    ) -> np.ndarray:
        """Pixels (n, 2) of the face points at (x, y), standing ``bump`` out of the surface and moved down by ``drop`` from there."""
        points = np.empty((max(np.size(x), np.size(y)), 3))
        points[:, 0], points[:, 1] = x, y
        width, depth = self.profile(points[:, 1])
        z = depth * (1 - np.minimum(np.abs(points[:, 0]) / np.maximum(width, 1e-6), 1) ** 2.35) ** (1 / 2.35)
        points[:, 1] += drop
        points[:, 2] = z + bump
        return self.place(points)

    def eye(self, side: int) -> tuple[float, float]:
        """Face x and y of the middle of the eye on ``side`` (-1 image left, 1 right)."""
        return side * _EYE[0] * self.identity.eye_spacing, _EYE[1]

    def mouth(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Face x and y of the line between the lips for ``u`` from -1 (left corner) to 1."""
        smile, jaw, pucker = self.now["smile"], self.now["jaw"], self.now["pucker"]
        half = 0.37 * self.identity.mouth_width * (1 + 0.26 * smile - 0.08 * jaw) * (1 - 0.5 * pucker)
        bend = 0.06 * jaw - 0.02 - (0.125 if smile > 0 else 0.09) * smile * (1 - 0.5 * pucker)
        return half * u, _MOUTH + 0.02 * smile + bend * u * u

    def five_points(self) -> np.ndarray:
        """(5, 2) pixels, as `hp_core.demo.render.five_points` orders them."""
        eyes = np.array([self.eye(-1), self.eye(1)])
        nose = self.on_face([0.0], [self.nose[0]], self.nose[1])
        return np.concatenate([self.on_face(eyes[:, 0], eyes[:, 1]), nose, self.on_face(*self.mouth(np.array([-1.0, 1.0])))])


def facets(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells of a surface's ``grid`` (n, m, 2) in pixels: corners (n - 1, m - 1, 4, 2), and which of them face the viewer."""
    quads = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], axis=2)
    one, other = quads[:, :, 2] - quads[:, :, 0], quads[:, :, 3] - quads[:, :, 1]  # the diagonals
    return quads, one[..., 0] * other[..., 1] > one[..., 1] * other[..., 0]


def rotation_of(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3): turns points of the head to the picture's axes (right, down, towards the viewer); angles in degrees."""
    angles = np.radians([yaw, pitch, roll])
    (a, b, c), (p, q, r) = np.cos(angles), np.sin(angles)
    nod, turn = np.array([[1, 0, 0], [0, b, q], [0, -q, b]]), np.array([[a, 0, p], [0, 1, 0], [-p, 0, a]])
    return np.array([[c, -r, 0], [r, c, 0], [0, 0, 1]]) @ turn @ nod
