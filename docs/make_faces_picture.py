"""Draws docs/faces.png: people by what they do, and the styles.

python docs/make_faces_picture.py docs/faces.png
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render
from hp_core.demo.styles import STYLES

SIDE, GAP, LABEL = 160, 8, 22
PEOPLE = (20, 23, 3, 31, 33)
POSES: dict[str, dict[str, float]] = {
    "at rest": {},
    "turn, glance": {"yaw": 24, "gaze_x": -0.8, "smile": 0.2},
    "smile": {"smile": 1, "jaw": 0.25, "brows": 0.4, "pitch": -6},
    "speech": {"jaw": 0.8, "brows": 0.2, "yaw": -8},
    "pucker": {"pucker": 1, "jaw": 0.15, "roll": -6},
    "wink": {"blink_right": 1, "smile": 0.8, "roll": 8},
    "nod, look up": {"pitch": 14, "gaze_y": -0.9, "smile": -0.4},
}


def pose(**values: float) -> Performance:
    """One frame of a face at rest, but for ``values``."""
    rest = {field.name: float(field.name == "scale") for field in fields(Performance)}
    return Performance(**{name: np.array([value], np.float32) for name, value in {**rest, **values}.items()})


def picture(person: int, performance: Performance, style: str = "shaded") -> Image.Image:
    """A portrait drawn at twice the size it is shown at."""
    drawn = next(render(Identity.sample(person), performance, size=2 * SIDE, style=style))
    return Image.fromarray(drawn).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def main(target: Path) -> None:
    """Lay the portraits out: a row for each person, then one for each style."""
    styled = [(style, [picture(person, pose(**values), style) for person, values in zip((61, 27, *PEOPLE), POSES.values(), strict=True)])
              for style in STYLES[1:]]  # fmt: skip
    rows = [(f"person {person}", [picture(person, pose(**values)) for values in POSES.values()]) for person in PEOPLE] + styled
    step, left = SIDE + GAP, 84
    sheet = Image.new("RGB", (left + len(POSES) * step, LABEL + len(rows) * step), (250, 250, 250))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, name in enumerate(POSES):
        draw.text((left + column * step, 3), name, fill=(40, 40, 40), font=font)
    for row, (title, images) in enumerate(rows):
        draw.text((GAP, LABEL + row * step + SIDE // 2), title, fill=(40, 40, 40), font=font)
        for column, image in enumerate(images):
            sheet.paste(image, (left + column * step, LABEL + row * step))
    palette = sheet.quantize(256)  # dithering needs one to begin with
    sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
