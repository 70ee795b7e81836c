"""`python -m hp_core.demo FOLDER`: a drawn portrait and a driving clip of somebody else, for trying the system without photographs."""

from __future__ import annotations

import sys
from pathlib import Path

# Of people and a performance that training never sees (`hp_core.demo.world`).
PAIR = 3
SECONDS, SIZE = 4, 512


def write_inputs(folder: Path, *, frames: int | None = None, size: int = SIZE) -> tuple[Path, Path]:
    """Write `portrait.png` (about at rest) and `driving.mp4` into ``folder``; returns both paths."""
    from PIL import Image

    from hp_core.demo.identity import Identity
    from hp_core.demo.render import render
    from hp_core.demo.world import FPS, HeldOutPair
    from hp_core.files import make_folder, written_beside
    from hp_core.video import VideoWriter

    make_folder(folder)
    portrait, driving, pair = folder / "portrait.png", folder / "driving.mp4", HeldOutPair(PAIR)
    with written_beside(portrait) as temporary:
        Image.fromarray(pair.portrait(size)).save(temporary)
    with VideoWriter(driving, fps=FPS) as writer:
        performance = pair.performance(frames or int(SECONDS * FPS))
        for frame in render(Identity.sample(pair.driver_seed), performance, size=size):  # one at a time: a clip may be long
            writer.write(frame)
    return portrait, driving


if __name__ == "__main__":
    for path in write_inputs(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo")):
        sys.stdout.write(f"{path}\n")
