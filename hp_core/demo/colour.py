"""Colours and how they mix."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

Colour = tuple[int, int, int]
"""Red, green and blue in 0..255."""
Ramp = tuple[Colour, Colour]
"""The colours of one material in the shade and in the light."""


def rgb(values: np.ndarray) -> Colour:
    """Rounded and clipped to 0..255."""
    red, green, blue = (int(value) for value in np.clip(np.round(values), 0, 255))
    return red, green, blue


@lru_cache(4096)
def mix(first: Colour, second: Colour, part: float) -> Colour:
    """``first`` at part 0, ``second`` at 1; beyond at other parts."""
    return rgb(np.asarray(first) * (1 - part) + np.asarray(second) * part)


@lru_cache(4096)
def scale(colour: Colour, factor: float) -> Colour:
    """Darker below ``factor`` 1, lighter above."""
    return rgb(np.asarray(colour) * factor)
