"""Held-out pairs of the drawn world as files, for whatever judges files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hp_core.demo.world import FPS, draw_pair
from hp_core.evaluation.demo import DRIVING_SCALE
from hp_core.evaluation.make import CRF
from hp_core.evaluation.manifest import Row
from hp_core.files import make_folder, written_beside
from hp_core.progress import Progress, Stage
from hp_core.video import VideoWriter


def drawn_rows(folder: Path, pairs: int, frames: int, size: int) -> Stage[list[Row]]:
    """The first ``pairs`` held-out pairs in ``folder``, without results; those there already are kept.

    Of each `N-portrait.png` of ``size`` pixels, `N-driving.mp4` of twice that, and `N-truth.npy` (frames, size, size, 3) uint8, the
    exact one.

    Raises:
        PortraitError: the folder cannot be written.
    """
    make_folder(folder)
    rows = []
    for index in range(pairs):
        name = f"{index:03d}-{frames}-{size}"
        portrait, driving, truth = (folder / f"{name}-{kind}" for kind in ("portrait.png", "driving.mp4", "truth.npy"))
        if not truth.is_file():  # written last
            small = yield from draw_pair(index, frames, size)
            large = yield from draw_pair(index, frames, DRIVING_SCALE * size)
            with written_beside(portrait) as temporary:
                Image.fromarray(small.portrait).save(temporary)
            with VideoWriter(driving, fps=FPS, crf=CRF) as writer:
                for frame in large.driving:
                    writer.write(frame)
            with written_beside(truth) as temporary, temporary.open("wb") as file:
                np.save(file, small.truth)
        rows.append(Row(f"{index:03d}", "result", portrait, driving, None, truth))
        yield Progress("draw", index + 1, pairs)
    return rows
