"""Light, shade and the materials they fall on, computed on a coarse grid that is then stretched over the picture."""

from __future__ import annotations

import cv2
import numpy as np

from hp_core.demo.colour import Colour, Ramp
from hp_core.demo.drawing import fill, ribbon, ring
from hp_core.demo.geometry import NOSE, Head

GRID = 128  # light is computed on so many points each way, whatever the size: it has no edges to lose


def light_on(head: Head) -> np.ndarray:
    """(GRID, GRID) float32, about 0..1: light from the upper left on an ellipsoid in the head's place."""
    roll, middle = np.radians(head.now["roll"]), head.place(np.zeros((1, 3)))[0]
    at = ((np.arange(GRID, dtype=np.float32) + 0.5) * head.size / GRID)[:, None]
    dx, dy = (at.T - middle[0]) / head.unit, (at - middle[1]) / head.unit
    x, y = (dx * np.cos(roll) + dy * np.sin(roll)) / 1.15, (dy * np.cos(roll) - dx * np.sin(roll)) / 1.5
    facing = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    return (0.28 + 0.52 * facing - 0.32 * dx - 0.16 * dy).clip(0.02, 1).astype(np.float32)


def relief_of(head: Head) -> np.ndarray:
    """Soft light and shade of the features, to be added to the light of the head; (GRID, GRID) float32."""
    relief, t, (tip, out) = np.full((GRID, GRID), 128, np.uint8), np.linspace(0, 1, 9), NOSE
    k, smile, corner = head.identity.nose_size, max(head.now["smile"], 0.0), float(head.mouth(np.ones(1))[0][0])

    def lay(points: np.ndarray, amount: float) -> None:
        fill(relief, points * (GRID / head.size), round(128 * (1 + amount)))

    for x, y, rx, ry, amount in (
        (-0.2, -0.5, 0.42, 0.2, 0.07), (-0.52, 0.4, 0.2, 0.13, 0.12), (0.5, 0.4, 0.17, 0.12, 0.08),
        (-0.41, 0.0, 0.3, 0.19, -0.13), (0.41, 0.0, 0.3, 0.19, -0.15), (0, 1.04, 0.2, 0.06, -0.2), (0, 1.2, 0.16, 0.08, 0.08),
    ):  # fmt: skip
        lay(head.on_face(*ring(x, y, rx, ry)), amount)
    for side in (-1, 1):
        crease = head.on_face(side * (0.22 + (corner - 0.12) * t), 0.5 + 0.32 * t - 0.05 * np.sin(np.pi * t))
        lay(ribbon(crease, np.full(9, 0.05 * head.unit)), -0.1 - 0.16 * smile)
    lay(head.on_face(0.2 * k * (2 * t - 1), 0.58 + 0.36 * t * (1 - t), 0.05), -0.3)
    for x, amount in ((0.19, -0.34), (-0.19, -0.14)):
        outline = k * np.array([0.02, 0.35 * x, x, x, 0.3 * x]), np.array([-0.08, 0.1, tip - 0.05, tip + 0.07, tip + 0.03])
        lay(head.on_face(*outline, np.array([0.02, 0.08, 0.05, 0.05, 0.9 * out * k])), amount)
    ridge = head.on_face(np.full(3, -0.02), np.array([-0.1, 0.2, tip - 0.02]), np.array([0.03, 0.13, out * k]))
    lay(ribbon(ridge, np.array([0.05, 0.06, 0.12]) * head.unit), 0.2)
    return _blur(relief, 0.055 * head.unit * GRID / head.size) / 128 - 1


def blush_of(head: Head) -> np.ndarray:
    """(GRID, GRID) float32, 0..1: how red the cheeks are."""
    blush = np.zeros((GRID, GRID), np.uint8)
    for side in (-1, 1):
        fill(blush, head.on_face(*ring(0.53 * side, 0.46, 0.2, 0.15)) * (GRID / head.size), 120)
    return _blur(blush, 0.12 * head.unit * GRID / head.size) / 255


def shadow_of(mask: np.ndarray, distance: float) -> np.ndarray:
    """(GRID, GRID) float32, 0..1: soft shadow that ``mask`` throws ``distance`` pixels down."""
    small = cv2.resize(mask, (GRID, GRID), interpolation=cv2.INTER_AREA)
    step = max(round(distance * GRID / len(mask)), 1)
    return _blur(np.concatenate([np.zeros_like(small[:step]), small[:-step]]), 0.4 * step + 0.5) / 255


def tint(light: np.ndarray, ramp: Ramp, size: int, stain: Colour = (0, 0, 0), amount: np.ndarray | None = None) -> np.ndarray:
    """(size, size, 3) uint8: the material ``ramp`` in ``light``, with ``amount`` (0..1) of ``stain``; both are (GRID, GRID)."""
    dark, bright = (np.asarray(colour, np.float32) for colour in ramp)
    layer = dark + np.clip(light, -0.1, 1.1)[..., None] * (bright - dark)
    if amount is not None:
        layer += amount[..., None] * (np.asarray(stain, np.float32) - layer)
    return cv2.resize(layer.clip(0, 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_LINEAR)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.float32)
