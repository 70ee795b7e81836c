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
NOSE = (0.5, 0.27)  # height of the tip, and how far it stands out
_UNIT = 0.195  # fraction of the image side that one head unit takes at scale 1
_EYE = (0.41, 0.06)
_MOUTH = 0.80


class Head:
    """One frame's head: where its points lie in the picture."""

    def __init__(self, identity: Identity, performance: Performance, index: int, size: int) -> None:
        self.identity, self.size = identity, size
        self.now = {field.name: float(getattr(performance, field.name)[index]) for field in fields(performance)}
        self.unit = _UNIT * size * self.now["scale"]
        self.centre = size * np.array([0.5 + self.now["shift_x"], 0.5 + self.now["shift_y"]])
        angles = np.radians([self.now["yaw"], self.now["pitch"], self.now["roll"]])
        (a, b, c), (p, q, r) = np.cos(angles), np.sin(angles)
        nod, turn = np.array([[1, 0, 0], [0, b, q], [0, -q, b]]), np.array([[a, 0, p], [0, 1, 0], [-p, 0, a]])
        self.rotation = np.array([[c, -r, 0], [r, c, 0], [0, 0, 1]]) @ turn @ nod

    def place(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) head units -> (n, 2) pixels. The head turns on the top of the neck; slight perspective."""
        pivot = np.array([0.0, 0.8, -0.35])
        turned = (points * (self.identity.face_width, self.identity.face_length, 1.0) - pivot) @ self.rotation.T + pivot
        return self.centre + self.unit * turned[:, :2] * (9.0 / (9.0 - turned[:, 2:]))

    def profile(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Half width and half depth of the head at the heights ``y``."""
        v = np.clip(np.abs(y) / CHIN, 0, 1)
        return (1 - v ** np.where(y > 0, 1.85 * self.identity.jaw_width, 2.4)) ** 0.54, 1.05 * (1 - v**3) ** 0.5

    def around(self, angle: np.ndarray, y: np.ndarray, outward: np.ndarray | float = 0.0) -> np.ndarray:
        """(n, 3) points on the head at ``angle`` (radians, 0 in front, positive at the image right) and height ``y``."""
        (width, depth), sine, cosine = self.profile(y), np.sin(angle), np.cos(angle)
        x = (width + outward) * np.sign(sine) * np.abs(sine) ** 0.85
        z = (depth + outward) * np.sign(cosine) * np.abs(cosine) ** 0.85 * np.where(cosine < 0, 1.12, 1.0)
        chin = np.clip((y - 0.6) / 0.5, 0, 1)
        return np.stack([x, y + 0.26 * self.now["jaw"] * chin * chin * (3 - 2 * chin), z], axis=1)

    def outline(self) -> np.ndarray:
        """Silhouette (n, 2) in pixels."""
        angle, y = np.meshgrid(np.linspace(0, 2 * np.pi, 60), -CHIN * np.cos(np.linspace(0, np.pi, 41)))
        return hull(self.place(self.around(angle.ravel(), y.ravel())))

    def on_face(self, x: np.ndarray | Sequence[float], y: np.ndarray | Sequence[float], bump: np.ndarray | float = 0.0) -> np.ndarray:
        """Pixels (n, 2) of the face points at (x, y), standing ``bump`` out of the surface."""
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        width, depth = self.profile(y)
        z = depth * (1 - np.clip(np.abs(x) / np.maximum(width, 1e-6), 0, 1) ** 2.35) ** (1 / 2.35)
        return self.place(np.stack([x, y, z + bump], axis=1))

    def eye(self, side: int) -> tuple[float, float]:
        """Face x and y of the middle of the eye on ``side`` (-1 image left, 1 right)."""
        return side * _EYE[0] * self.identity.eye_spacing, _EYE[1]

    def mouth(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Face x and y of the line between the lips for ``u`` from -1 (left corner) to 1."""
        smile, jaw = self.now["smile"], self.now["jaw"]
        half = 0.37 * self.identity.mouth_width * (1 + 0.13 * smile - 0.1 * jaw)
        return half * u, _MOUTH + 0.03 * smile + (0.06 * jaw - 0.02 - 0.11 * smile) * u * u

    def five_points(self) -> np.ndarray:
        """(5, 2) pixels, as `hp_core.demo.render.five_points` orders them."""
        eyes = np.array([self.eye(-1), self.eye(1)])
        nose = self.on_face([0.0], [NOSE[0]], NOSE[1] * self.identity.nose_size)
        return np.concatenate([self.on_face(eyes[:, 0], eyes[:, 1]), nose, self.on_face(*self.mouth(np.array([-1.0, 1.0])))])
