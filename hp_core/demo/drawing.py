"""Outlines, and filling them. An outline is (n, 2) in pixels; the centre of the first pixel lies at a half."""

from __future__ import annotations

import cv2
import numpy as np

from hp_core.demo.colour import Colour

_SHIFT = 4  # binary digits of sub-pixel position in OpenCV's integer coordinates


_CIRCLE = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_COSINE, _SINE = np.cos(_CIRCLE), np.sin(_CIRCLE)


def ring(x: float, y: float, rx: float, ry: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y (24,) of an ellipse about (x, y)."""
    return x + rx * _COSINE, y + ry * _SINE


def ribbon(line: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Outline of a stroke along ``line`` (..., n, 2), as wide at each point as ``width`` (..., n), all in pixels."""
    along = np.empty_like(line)
    along[..., 1:-1, :], along[..., 0, :], along[..., -1, :] = (
        line[..., 2:, :] - line[..., :-2, :], line[..., 1, :] - line[..., 0, :], line[..., -1, :] - line[..., -2, :],
    )  # fmt: skip
    half = along[..., ::-1] * (-0.5, 0.5) * (width / np.maximum(np.sqrt((along * along).sum(axis=-1)), 1e-6))[..., None]
    return np.concatenate([line + half, (line - half)[..., ::-1, :]], axis=-2)


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


def soft(mask: np.ndarray, sigma: float) -> np.ndarray:
    """``mask`` with edges blurred by ``sigma`` pixels."""
    return cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.3))


def through_lens(picture: np.ndarray, sigma: float = 0.7) -> np.ndarray:
    """``picture`` as a camera has it, whose lens and sensor let no edge be sharper than ``sigma`` pixels."""
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def compose(picture: np.ndarray, layer: np.ndarray, mask: np.ndarray) -> None:
    """Lay ``layer`` over ``picture`` where ``mask`` (uint8) says so."""
    x, y, width, height = cv2.boundingRect(mask)
    if width:
        window = slice(y, y + height), slice(x, x + width)
        weight = mask[window].astype(np.float32) / 255
        picture[window] = cv2.blendLinear(layer[window], picture[window], weight, 1 - weight)


def _fixed(points: np.ndarray) -> np.ndarray:
    """OpenCV's integer coordinates, which put the centre of the first pixel at 0."""
    return np.rint((points - 0.5) * 2**_SHIFT).astype(np.int32)
