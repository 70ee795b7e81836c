"""`animate` called quickly, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render
from hp_core.video import VideoWriter, read_frames

NTSC = Fraction(30000, 1001)
SIZE = 256
QUICK = ("--device", "cpu", "--pad-frames", "0", "--steps", "1", "--window", "4", "--overlap", "1")

Run = Callable[..., tuple[int, str, str]]


def face(identity: int, size: int = SIZE) -> np.ndarray:
    return next(render(Identity.sample(identity), Performance.sample(identity, 1), size=size))


def write_video(path: Path, frames: Iterable[np.ndarray], *, fps: Fraction = NTSC, **options: Any) -> Path:
    with VideoWriter(path, fps=fps, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def result(animate: Run, tmp_path: Path, *arguments: object) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What a run that succeeds says with --json, and the frames it wrote."""
    arguments = (*arguments, *("portrait.png", "driving.mp4")[len(arguments) :])
    code, out, err = animate(*arguments, "--json")
    assert code == 0, err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.mp4"]
    return json.loads(out), list(read_frames(tmp_path / "out/result.mp4"))


def failure(animate: Run, tmp_path: Path, *arguments: object) -> str:
    """What a run says that is refused, without a traceback and without leaving anything behind."""
    code, out, err = animate(*arguments)
    assert (code, out) == (1, ""), err
    assert "Traceback" not in err
    assert "Error: " in err
    assert not list((tmp_path / "out").iterdir())
    return err.split("Error: ", 1)[1]


def tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return {key.lower(): value for key, value in container.metadata.items()}
