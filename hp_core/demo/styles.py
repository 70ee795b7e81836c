"""Other looks of the same portrait: filters of one picture, so a style changes nothing of what is told about it.

Every filter is a smooth function of the picture alone: what moves little changes little, and nothing flickers.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

STYLES = ("shaded", "line-art", "flat", "painted")
"""``shaded`` is the drawing with light and shade, ``flat`` the same without; `ink` and `paint` make the others of these."""

_PAPER, _INK = (250, 246, 236), (46, 38, 44)


def ink(flat: np.ndarray) -> np.ndarray:
    """Dark lines along the borders of the colours of ``flat``, on paper with a faint wash of them.

    ``flat`` is (2 size, 2 size, 3) uint8, the lines are found at twice the size and come out fine; returns (size, size, 3) uint8.
    """
    size = len(flat) // 2
    fine = 0.7 + size / 800
    smooth = cv2.GaussianBlur(flat, (0, 0), fine).astype(np.float32)
    slopes = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3, scale=fine / 8) for order in ((1, 0), (0, 1)))
    border = np.sqrt(sum(slope * slope for slope in slopes)).max(axis=2) * 2.5
    grey = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    darker = cv2.GaussianBlur(grey, (0, 0), 0.035 * size) - grey  # thin dark features are filled: brows, lashes, pupils
    line = np.maximum(_step(border, 16, 60), 0.9 * _step(darker, 48, 78))[..., None]
    wash = np.asarray(_PAPER, np.float32) * (0.76 + 0.24 * smooth / 255)
    drawn = (wash + line * (np.asarray(_INK, np.float32) - wash)).astype(np.uint8)
    return cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA)


def paint(shaded: np.ndarray) -> np.ndarray:
    """``shaded`` (size, size, 3) in patches of colour as a brush leaves them, on canvas; uint8."""
    size, picture = len(shaded), shaded.astype(np.float32)
    for radius in (0.0065 * size, 0.0045 * size):
        picture = _patches(picture, radius)
    grey = picture.mean(axis=2, keepdims=True)
    return (grey + 1.12 * (picture - grey) + _canvas(size)[..., None]).clip(0, 255).astype(np.uint8)


def _patches(picture: np.ndarray, radius: float) -> np.ndarray:
    """Each point takes the mean of the calmer ones among eight discs around it (a soft Kuwahara filter)."""
    mean = cv2.GaussianBlur(picture, (0, 0), radius / 2)
    deviation = cv2.GaussianBlur(picture * picture, (0, 0), radius / 2) - mean * mean
    total, weights = np.zeros_like(picture), np.zeros(picture.shape[:2], np.float32)
    for angle in np.arange(8) * np.pi / 4:
        move = np.array([[1, 0, radius * np.cos(angle)], [0, 1, radius * np.sin(angle)]], np.float32)
        near, varied = (_moved(image, move) for image in (mean, deviation.sum(axis=2)))
        weight = (20 / (20 + np.maximum(varied, 0))) ** 3
        total += weight[..., None] * near
        weights += weight
    return total / weights[..., None]


def _moved(image: np.ndarray, move: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, move, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


@lru_cache(4)
def _canvas(size: int) -> np.ndarray:
    """(size, size) float32: the weave of the canvas, the same in every frame."""
    noise = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    woven = cv2.GaussianBlur(noise, (0, 0), 3, None, 0.7) + cv2.GaussianBlur(noise.T, (0, 0), 0.7, None, 3)
    return 2.2 * woven / woven.std()


def _step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    part = np.clip((values - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)
