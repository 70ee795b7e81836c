"""The mouth and the beard around it."""

from __future__ import annotations

import numpy as np

from hp_core.demo.colour import Colour, Ramp, mix, scale
from hp_core.demo.drawing import compose, fill, fill_convex, ribbon, soft
from hp_core.demo.geometry import CHIN, Head, facets


class _Lips:
    """Lines along the lips: (25, 2) pixels each, from image left to right."""

    def __init__(self, head: Head) -> None:
        self._head, now, pucker, u = head, head.now, head.now["pucker"], np.linspace(-1, 1, 25)
        self._x, self._line = head.mouth(u)
        self.opening = 0.6 * now["jaw"] + 0.02 * pucker + 0.04 * max(now["smile"] - 0.3, 0)
        self.arch = (1 - u * u) ** (0.72 - 0.22 * pucker)
        self.thick = head.identity.lip_thickness * (1 - 0.15 * now["smile"]) * (1 + 0.55 * pucker)
        self._bump, rise = (0.05 + 0.1 * pucker) * self.arch, (0.06 * self.opening + 0.02 * pucker) * self.arch
        self.upper, self.lower = self.above(rise), self.below(1.0)
        self.top = self.above(rise + 0.095 * self.thick * self.arch * (1 - 0.3 * np.exp(-((u / 0.13) ** 2))))
        self.bottom = self.below(1.0, 0.12)

    def above(self, rise: np.ndarray | float, drop: np.ndarray | float = 0.0) -> np.ndarray:
        """The line ``rise`` above that of the closed mouth, lowered by ``drop``."""
        return self._head.on_face(self._x, self._line - rise, self._bump, drop)

    def below(self, part: float, lip: float = 0.0) -> np.ndarray:
        """The line as low as ``part`` of the opening, and ``lip`` thicknesses further down."""
        return self.above(-lip * self.thick * self.arch, part * self.opening * self.arch)


def mouth_outline(head: Head) -> np.ndarray:
    """Outline (n, 2) in pixels of the lips and what is between them."""
    lips = _Lips(head)
    return np.concatenate([lips.top, lips.bottom[::-1]])


def paint_mouth(head: Head, picture: np.ndarray, skin: Ramp) -> None:
    """Lips, and between them teeth and tongue."""
    who, lips = head.identity, _Lips(head)

    def between(top: np.ndarray, bottom: np.ndarray, colour: Colour, part: slice = slice(None)) -> None:
        fill(picture, np.concatenate([top[part], bottom[part][::-1]]), colour)

    if lips.opening > 0.012:
        between(lips.upper, lips.lower, (66, 20, 26))
        between(lips.below(0.7), lips.lower, (150, 58, 66), slice(6, 19))  # tongue
        teeth = min(0.045, 0.6 * lips.opening) * (1 - 0.6 * head.now["pucker"]) * lips.arch
        between(lips.upper, lips.above(0.0, teeth), (246, 242, 234), slice(2, 23))
    between(lips.lower, lips.bottom, who.lip)
    between(lips.below(1.0, 0.035), lips.below(1.0, 0.062), mix(who.lip, (255, 236, 230), 0.3), slice(8, 15))
    between(lips.top, lips.upper, scale(who.lip, 0.86))
    seam = ribbon(lips.upper, head.unit * (0.01 + 0.013 * lips.arch))
    fill(picture, seam, mix(scale(who.lip, 0.5), skin[0], 0.2))


def paint_beard(head: Head, picture: np.ndarray, hair: np.ndarray, face: np.ndarray) -> None:
    """The beard the person wears, if any, in the lit hair colours of ``hair`` (size, size, 3); ``face`` is where there is skin."""
    if head.identity.beard != "none":
        part = 0.3 if head.identity.beard == "stubble" else 0.92
        compose(picture, hair, (beard_mask(head, face) * part).astype(np.uint8))


def beard_mask(head: Head, face: np.ndarray) -> np.ndarray:
    """(size, size) uint8: 255 where the beard is thickest; ``face`` is where there is skin."""
    kind, mask = head.identity.beard, np.zeros((head.size,) * 2, np.uint8)
    if kind in ("stubble", "full"):
        fill_convex(mask, _jaw_quads(head, 0.05 if kind == "full" else 0.0), 255)
    if kind in ("moustache", "full"):
        fill(mask, _moustache(head), 255)
    return np.minimum(soft(mask, (0.025 if kind == "moustache" else 0.05) * head.unit), np.maximum(mask, face))


def _jaw_quads(head: Head, out: float) -> np.ndarray:
    """(n, 4, 2) pixels: the visible facets of cheeks and chin below the line of the beard."""
    angle, part = np.radians(np.linspace(-84, 84, 25)), np.linspace(0, 1, 6)[:, None]
    degrees = np.degrees(np.abs(angle))
    top = np.interp(degrees, (0, 12, 26, 40, 56, 70, 84), (0.7, 0.68, 0.74, 0.82, 0.66, 0.42, 0.1))
    bottom = np.interp(degrees, (0, 50, 70, 84), (0.995 * CHIN, 0.995 * CHIN, 0.8 * CHIN, 0.3 * CHIN))
    y = top + (bottom - top) * part
    thickness = out * np.sin(np.pi / 2 * np.broadcast_to(part, y.shape)) * np.clip((84 - degrees) / 30, 0, 1)
    points = head.around(np.broadcast_to(angle, y.shape).ravel(), y.ravel(), thickness.ravel())
    quads, in_front = facets(head.place(points).reshape(*y.shape, 2))
    return np.asarray(quads[in_front])


def _moustache(head: Head) -> np.ndarray:
    """Outline (n, 2) in pixels, from corner to corner above the upper lip."""
    u = np.linspace(-1, 1, 21)
    (x, line), arch = head.mouth(1.08 * u), 1 - np.abs(u) ** 1.6
    top, bottom = line - 0.07 - 0.16 * arch * (1 - 0.2 * np.exp(-((u / 0.15) ** 2))), line - 0.02 - 0.07 * arch
    return np.concatenate([head.on_face(x, top, 0.07), head.on_face(x, bottom, 0.07)[::-1]])
