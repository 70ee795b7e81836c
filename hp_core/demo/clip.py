"""A rendered clip as files: the video, and beside it what is known about it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render
from hp_core.demo.scripts import SCRIPTS
from hp_core.demo.truth import save_truth
from hp_core.errors import OptionError
from hp_core.files import check_writable
from hp_core.video import VideoWriter, check_output


def choose_performance(frames: int, fps: float, *, seed: int | None = None, script: str | None = None) -> Performance:
    """Performance number ``seed``, or the one of `SCRIPTS` called ``script``.

    Raises:
        OptionError: both or neither are given, the script is unknown, or a number is out of range.
    """
    if (seed is None) == (script is None):
        raise OptionError("Give either a performance seed or a script, not both." if script else "Give a performance seed or a script.")
    if script is None:
        return Performance.sample(seed or 0, frames, fps)
    if script not in SCRIPTS:
        raise OptionError(f"Unknown script '{script}'. Choose one of: {', '.join(SCRIPTS)}.")
    return SCRIPTS[script](frames, fps)


def write_clip(
    path: Path, identity: Identity, performance: Performance, *, size: int = 512, fps: Fraction = Fraction(25), style: str = "shaded"
) -> Path:
    """Render to the video ``path`` and write the truth beside it, under the same name ending in .npz; returns that path.

    Raises:
        OptionError: the size or the style is not possible.
        PortraitError: a file cannot be written.
    """
    truth = path.with_suffix(".npz")
    check_output(path)
    check_writable(truth)
    frames = render(identity, performance, size=size, style=style)
    with VideoWriter(path, fps=fps) as writer:
        for frame in frames:
            writer.write(frame)
    save_truth(truth, identity, performance, size, fps=float(fps))
    return truth
