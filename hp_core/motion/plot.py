"""The two intensity curves of a clip as a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from hp_core.motion.intensity import EXPRESSION_RANGE, HEAD_RANGE
from hp_core.values import Intensity

_PAPER, _INK, _GRID = (24, 24, 28), (220, 220, 225), (60, 60, 68)
_COLOURS = {"expression": (240, 150, 80), "head": (100, 170, 250)}
_SHADES = {"expression": (80, 50, 26), "head": (33, 56, 83)}
_MARGIN, _TITLE = 34, 18  # pixels


def plot_intensity(intensity: Intensity, frames: int, *, size: tuple[int, int] = (640, 320)) -> np.ndarray:
    """Expression above, head below, each a step a chunk with its level; ``size`` (width, height) in pixels -> (height, width, 3) uint8.

    The vertical axis is the range that the levels divide; what lies beyond it is clamped, as its level is.

    Args:
        frames: length of the clip.
    """
    width, height = size
    picture = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(picture)
    rows = (
        ("expression", intensity.expression, intensity.expression_levels, EXPRESSION_RANGE),
        ("head", intensity.head, intensity.head_levels, HEAD_RANGE),
    )
    for row, (name, values, levels, highest) in enumerate(rows):
        top, bottom = row * height // 2 + _TITLE + 4, (row + 1) * height // 2 - 6
        left, right = _MARGIN, width - 8
        draw.rectangle((left, top, right, bottom), outline=_GRID)
        draw.text((left, top - _TITLE), f"{name} intensity (0..{highest:g}, {intensity.rule})", fill=_COLOURS[name])
        for share in (0.0, 0.5, 1.0):
            y = bottom - share * (bottom - top)
            draw.line((left, y, right, y), fill=_GRID)
            draw.text((4, y - 6), f"{share * highest:.3g}", fill=_INK)
        for chunk, (value, level) in enumerate(zip(values, levels, strict=True)):
            first, last = chunk * intensity.chunk, min((chunk + 1) * intensity.chunk, frames)
            x1, x2 = (left + part / frames * (right - left) for part in (first, last))
            y = bottom - min(float(value) / highest, 1.0) * (bottom - top)
            draw.rectangle((x1, y, x2, bottom), fill=_SHADES[name])
            draw.line((x1, y, x2, y), fill=_COLOURS[name], width=2)
            draw.text(((x1 + x2) / 2 - 8, max(y - 13, top)), str(int(level)), fill=_INK)
    return np.asarray(picture)
