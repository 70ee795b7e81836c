"""From the screenshots of the browser test to the README's picture and the templates' thumbnails.

SCREENSHOTS=shots python -m pytest tests/host/test_browser.py
python docs/make_pictures_of_comfyui.py shots
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
BARS = (75, 110)  # pixels at the left and on top that belong to the editor, not to the graph
FOOT = 110  # and at the bottom
MARGIN = 12


def graph(picture: Image.Image) -> Image.Image:
    """``picture`` cut to what stands out from the empty canvas."""
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    left, top = BARS
    inside = pixels[top:-FOOT, left:]
    canvas = inside[-5:, -5:].reshape(-1, 3).mean(0)
    rows, columns = np.where(np.abs(inside - canvas).max(-1) > 14)
    box = (columns.min() + left - MARGIN, rows.min() + top - MARGIN, columns.max() + left + MARGIN, rows.max() + top + MARGIN)
    return picture.crop(tuple(max(int(value), 0) for value in box))


def main(shots: Path) -> None:
    """Write `docs/comfyui.png` and `workflows/*.jpg`."""
    graph(Image.open(shots / "run.png")).quantize(256, dither=Image.Dither.NONE).save(ROOT / "docs" / "comfyui.png", optimize=True)
    for template in sorted((ROOT / "workflows").glob("*.json")):
        small = graph(Image.open(shots / f"{template.stem}.jpg"))
        small.thumbnail((800, 600))
        small.convert("RGB").save(template.with_suffix(".jpg"), quality=82, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
