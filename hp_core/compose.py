"""Paste-back: the animated square blended into the untouched portrait (released-model, Paste-back)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

BORDER = 0.1  # share of the side over which the mask rises


@lru_cache(maxsize=4)
def feather_mask(height: int, width: int) -> np.ndarray:
    """(height, width, 1) float64: 1 inside, falling linearly to 0 over the outer tenth of each side."""

    def ramp(side: int) -> np.ndarray:
        border = int(BORDER * side)
        line = np.ones(side)
        line[:border] = np.linspace(0, 1, border)
        line[side - border :] = np.linspace(1, 0, border)
        return line

    mask: np.ndarray = ramp(height)[:, None] * ramp(width)[None]
    mask.setflags(write=False)
    return mask[..., None]


def paste_back(frame: np.ndarray, portrait: np.ndarray, square: tuple[int, int, int, int]) -> np.ndarray:
    """``frame`` (S, S, 3) uint8 resized to ``square`` = x1, y1, x2, y2 and blended into ``portrait`` (height, width, 3) uint8.

    Returns a new picture of the portrait's size.
    """
    import cv2

    x1, y1, x2, y2 = square
    resized = cv2.resize(frame, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
    mask = feather_mask(y2 - y1, x2 - x1)
    out = portrait.copy()
    blended = resized * mask + portrait[y1:y2, x1:x2] * (1 - mask)
    out[y1:y2, x1:x2] = blended.astype(np.uint8)  # truncated, as released
    return out
