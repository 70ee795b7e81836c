"""Outlines, and filling them. An outline is (n, 2) in pixels; the centre of the first pixel lies at a half."""

from __future__ import annotations

import cv2
import numpy as np

from hp_core.demo.colour import Colour

_SHIFT = 4  # binary digits of sub-pixel position in OpenCV's integer coordinates


def ring(x: float, y: float, rx: float, ry: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y (24,) of an ellipse about (x, y)."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return x + rx * np.cos(angle), y + ry * np.sin(angle)


def ribbon(line: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Outline of a stroke along ``line`` (n, 2), as wide at each point as ``width`` (n,), all in pixels."""
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    return np.concatenate([line + across * width[:, None] / 2, (line - across * width[:, None] / 2)[::-1]])


def hull(points: np.ndarray) -> np.ndarray:
    """Convex hull (n, 2) of ``points`` (m, 2)."""
    return cv2.convexHull(points.astype(np.float32))[:, 0]


def fill(canvas: np.ndarray, outline: np.ndarray, colour: Colour | int) -> None:
    """Fill ``outline`` on ``canvas``, in place, with smooth edges."""
    cv2.fillPoly(canvas, [_fixed(outline)], colour, cv2.LINE_AA, _SHIFT)


def fill_convex(canvas: np.ndarray, outlines: np.ndarray, colour: Colour | int) -> None:
    """Fill each of the convex ``outlines`` (m, n, 2) in turn."""
    for outline in _fixed(outlines):
        cv2.fillConvexPoly(canvas, outline, colour, cv2.LINE_AA, _SHIFT)


def mask_of(outline: np.ndarray, size: int) -> np.ndarray:
    """(size, size) uint8: 255 inside ``outline``."""
    mask = np.zeros((size, size), np.uint8)
    fill(mask, outline, 255)
    return mask


def compose(picture: np.ndarray, layer: np.ndarray, mask: np.ndarray) -> None:
    """Lay ``layer`` over ``picture`` where ``mask`` (uint8) says so."""
    x, y, width, height = cv2.boundingRect(mask)
    if width:
        window = slice(y, y + height), slice(x, x + width)
        weight = mask[window].astype(np.float32) / 255
        picture[window] = cv2.blendLinear(layer[window], picture[window], weight, 1 - weight)


def _fixed(points: np.ndarray) -> np.ndarray:
    """OpenCV's integer coordinates, which put the centre of the first pixel at 0."""
    return np.round((points - 0.5) * 2**_SHIFT).astype(np.int32)
