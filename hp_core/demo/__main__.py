"""`python -m hp_core.demo FOLDER`: a drawn portrait and a driving clip of somebody else, for trying the system without photographs."""

from __future__ import annotations

import sys
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

PORTRAIT_SEED, DRIVER_SEED, PERFORMANCE_SEED = 7, 21, 4
FPS, FRAMES, SIZE = Fraction(25), 50, 512


def write_inputs(folder: Path, *, frames: int = FRAMES, size: int = SIZE) -> tuple[Path, Path]:
    """Write `portrait.png` (at rest) and `driving.mp4` into ``folder``; returns both paths."""
    import numpy as np
    from PIL import Image

    from hp_core.demo.identity import Identity
    from hp_core.demo.performance import Performance
    from hp_core.demo.render import render
    from hp_core.files import written_beside
    from hp_core.video import VideoWriter

    folder.mkdir(parents=True, exist_ok=True)
    portrait, driving = folder / "portrait.png", folder / "driving.mp4"
    at_rest = {field.name: np.full(1, field.name == "scale", np.float32) for field in fields(Performance)}
    still = next(iter(render(Identity.sample(PORTRAIT_SEED), Performance(**at_rest), size=size)))
    with written_beside(portrait) as temporary:
        Image.fromarray(still).save(temporary)
    performance = Performance.sample(PERFORMANCE_SEED, frames, fps=float(FPS))
    with VideoWriter(driving, fps=FPS) as writer:
        for frame in render(Identity.sample(DRIVER_SEED), performance, size=size):
            writer.write(frame)
    return portrait, driving


if __name__ == "__main__":
    for path in write_inputs(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo")):
        sys.stdout.write(f"{path}\n")
