"""The README's moving picture, from what `make demo` wrote: python docs/make_demo_gif.py out/demo/result.mp4 docs/demo.gif"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from hp_core.video import probe, read_frames

HEIGHT, COLOURS = 200, 128


def main(video: Path, target: Path) -> None:
    """Every frame at its rate, smaller, in one palette so that nothing shimmers."""
    info = probe(video)
    size = (info.width * HEIGHT // info.height, HEIGHT)
    frames = [Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS) for frame in read_frames(video)]
    sheet = Image.new("RGB", (size[0], HEIGHT * len(frames[::6])))
    for row, frame in enumerate(frames[::6]):
        sheet.paste(frame, (0, HEIGHT * row))
    palette = sheet.quantize(COLOURS)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    drawn[0].save(target, save_all=True, append_images=drawn[1:], duration=round(1000 / float(info.fps)), loop=0, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
