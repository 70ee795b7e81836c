"""What stands behind a person: calm and smooth, the same in every frame."""

from __future__ import annotations

import cv2
import numpy as np

from hp_core.demo.identity import Identity


def backdrop(identity: Identity, size: int) -> np.ndarray:
    """(size, size, 3) uint8."""
    at = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None]
    first, second = (np.asarray(colour, np.float32) for colour in (identity.background, identity.accent))
    part = np.zeros((size, size, 1), np.float32)
    if identity.backdrop == "gradient":
        angle = 2 * np.pi * identity.backdrop_turn
        part = np.clip(0.5 + (at.T - 0.5) * np.cos(angle) + (at - 0.5) * np.sin(angle), 0, 1)[..., None]
    elif identity.backdrop == "shapes":
        part = _shapes(identity.backdrop_turn, size)[..., None]
    distance = np.sqrt((at.T - 0.42) ** 2 + (at - 0.36) ** 2)[..., None]
    return ((first + part * (second - first)) * (1.1 - 0.42 * distance)).clip(0, 255).astype(np.uint8)


def _shapes(turn: float, size: int) -> np.ndarray:
    """(size, size) float32, 0..1: three large discs with soft edges about the middle."""
    layer = np.zeros((size, size), np.float32)
    for index, (distance, radius, amount) in enumerate(((0.46, 0.24, 0.9), (0.52, 0.3, 0.65), (0.42, 0.16, 0.8))):
        angle = 2 * np.pi * (turn + index / 3)
        x, y = size * (0.5 + distance * np.cos(angle)), size * (0.45 + distance * np.sin(angle))
        cv2.circle(layer, (round(x), round(y)), round(radius * size), amount, -1)
    return cv2.GaussianBlur(layer, (0, 0), 0.02 * size)
