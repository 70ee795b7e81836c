"""Light, shade and the materials they fall on, computed on a coarse grid that is then stretched over the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hp_core.demo.colour import Colour, Ramp
from hp_core.demo.drawing import fill, ribbon, ring
from hp_core.demo.geometry import Head


def grid_of(size: int) -> int:
    """Points each way that light is computed on for pictures of ``size``: it has no edges to lose."""
    return min(size // 2, 128)


@dataclass(frozen=True)
class Light:
    """Light on the parts of a portrait, (grid, grid) float32 each, about 0..1, and how red the cheeks are."""

    hair: np.ndarray
    face: np.ndarray
    neck: np.ndarray
    cloth: np.ndarray
    blush: np.ndarray


def daylight(head: Head, face: np.ndarray, fringe: np.ndarray) -> Light:
    """Light from the upper left, with the shadows that ``face`` and ``fringe`` (size, size) uint8 throw."""
    light, grid = light_on(head), grid_of(head.size)
    return Light(
        hair=light,
        face=light + relief_of(head) - 0.4 * shadow_of(fringe, 0.1 * head.unit),
        neck=light - 0.5 * shadow_of(face, 0.3 * head.unit),
        cloth=np.broadcast_to((1.05 - 0.7 * np.linspace(0, 1, grid)).astype(np.float32), (grid, grid)),
        blush=blush_of(head),
    )


def even_light(size: int) -> Light:
    """The same light everywhere."""
    full = np.full((grid_of(size),) * 2, 1.0, np.float32)
    return Light(hair=0.6 * full, face=0.8 * full, neck=0.55 * full, cloth=0.75 * full, blush=0 * full)


def light_on(head: Head) -> np.ndarray:
    """(grid, grid) float32, about 0..1: light from the upper left on an ellipsoid in the head's place."""
    grid = grid_of(head.size)
    roll, middle = np.radians(head.now["roll"]), head.place(np.zeros((1, 3)))[0]
    at = ((np.arange(grid, dtype=np.float32) + 0.5) * head.size / grid)[:, None]
    dx, dy = (at.T - middle[0]) / head.unit, (at - middle[1]) / head.unit
    x, y = (dx * np.cos(roll) + dy * np.sin(roll)) / 1.15, (dy * np.cos(roll) - dx * np.sin(roll)) / 1.5
    facing = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    return (0.28 + 0.52 * facing - 0.32 * dx - 0.16 * dy).clip(0.02, 1).astype(np.float32)


def relief_of(head: Head) -> np.ndarray:
    """Soft light and shade of the features, to be added to the light of the head; (grid, grid) float32."""
    grid, t, (tip, out) = grid_of(head.size), np.linspace(0, 1, 9), head.nose
    relief = np.full((grid, grid), 128, np.uint8)
    k, smile, corner = head.identity.nose_width, max(head.now["smile"], 0.0), float(head.mouth(np.ones(1))[0][0])
    low = float(head.drop(np.ones(1))[0])

    def lay(points: np.ndarray, amount: float) -> None:
        fill(relief, points * (grid / head.size), round(128 * (1 + amount)))

    rings, amounts = [], []
    for x, y, rx, ry, amount in (
        (-0.2, -0.5, 0.42, 0.2, 0.07), (-0.52, 0.4, 0.2, 0.13, 0.12), (0.5, 0.4, 0.17, 0.12, 0.08),
        (-0.43, 0.0, 0.32, 0.2, -0.13), (0.43, 0.0, 0.32, 0.2, -0.15), (0, 1.04 + low, 0.2, 0.06, -0.2), (0, 1.2 + low, 0.16, 0.08, 0.08),
    ):  # fmt: skip
        rings.append(ring(x, y, rx, ry))
        amounts.append(amount)
    for blob, amount in zip(head.on_face(*np.concatenate(rings, axis=1)).reshape(len(rings), -1, 2), amounts, strict=True):
        lay(blob, amount)
    for side in (-1, 1):
        crease = head.on_face(side * (0.22 + (corner - 0.12) * t), 0.5 + 0.32 * t - 0.05 * np.sin(np.pi * t))
        lay(ribbon(crease, np.full(9, 0.05 * head.unit)), -0.1 - 0.16 * smile)
    lay(head.on_face(0.2 * k * (2 * t - 1), 0.58 + 0.36 * t * (1 - t), 0.05), -0.3)
    for x, amount in ((0.19, -0.34), (-0.19, -0.14)):
        outline = k * np.array([0.02, 0.35 * x, x, x, 0.3 * x]), np.array([-0.08, 0.1, tip - 0.05, tip + 0.07, tip + 0.03])
        lay(head.on_face(*outline, np.array([0.02, 0.08, 0.05, 0.05, 0.9 * out])), amount)
    ridge = head.on_face(np.full(3, -0.02), np.array([-0.1, 0.2, tip - 0.02]), np.array([0.03, 0.13, out]))
    lay(ribbon(ridge, np.array([0.05, 0.06, 0.12]) * head.unit), 0.2)
    return _blur(relief, 0.055 * head.unit * grid / head.size) / 128 - 1


def blush_of(head: Head) -> np.ndarray:
    """(grid, grid) float32, 0..1: how red the cheeks are."""
    grid = grid_of(head.size)
    blush = np.zeros((grid, grid), np.uint8)
    for side in (-1, 1):
        fill(blush, head.on_face(*ring(0.53 * side, 0.46, 0.2, 0.15)) * (grid / head.size), 120)
    return _blur(blush, 0.12 * head.unit * grid / head.size) / 255


def shadow_of(mask: np.ndarray, distance: float) -> np.ndarray:
    """(grid, grid) float32, 0..1: soft shadow that ``mask`` throws ``distance`` pixels down."""
    grid = grid_of(len(mask))
    small = cv2.resize(mask, (grid, grid), interpolation=cv2.INTER_AREA)
    step = max(round(distance * grid / len(mask)), 1)
    return _blur(np.concatenate([np.zeros_like(small[:step]), small[:-step]]), 0.4 * step + 0.5) / 255


def tint(light: np.ndarray, ramp: Ramp, size: int, stain: Colour = (0, 0, 0), amount: np.ndarray | None = None) -> np.ndarray:
    """(size, size, 3) uint8: the material ``ramp`` in ``light``, with ``amount`` (0..1) of ``stain``; both are (grid, grid)."""
    dark, bright = (np.asarray(colour, np.float32) for colour in ramp)
    layer = dark + np.clip(light, -0.1, 1.1)[..., None] * (bright - dark)
    if amount is not None:
        layer += amount[..., None] * (np.asarray(stain, np.float32) - layer)
    return cv2.resize(layer.clip(0, 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_LINEAR)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.float32)
