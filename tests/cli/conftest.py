"""Drawn media, and a quick `animate` of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render
from tests.cli.calls import QUICK, SIZE, Run, face, write_video


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """portrait.png; wide.png with a face left; two.png with a smaller one beside it; driving.mp4 of 6 frames and variants of it."""
    folder = tmp_path_factory.mktemp("media")
    Image.fromarray(face(3)).save(folder / "portrait.png")
    canvas = np.full((SIZE, 2 * SIZE, 3), 200, np.uint8)
    canvas[:, :SIZE] = face(3)
    Image.fromarray(canvas).save(folder / "wide.png")
    canvas[40:216, 300:476] = face(7, 176)
    Image.fromarray(canvas).save(folder / "two.png")
    frames = list(render(Identity.sample(5), Performance.sample(2, 6, 30), size=SIZE))
    empty = np.full_like(frames[0], 120)
    write_video(folder / "driving.mp4", frames)
    write_video(folder / "gap.mp4", [*frames[:2], empty, empty, *frames[4:]])
    write_video(folder / "faceless.mp4", [empty] * 3)
    write_video(folder / "one.mp4", frames[:1])
    return folder


@pytest.fixture
def animate(run: Run, media: Path, demo_weights: Path, tmp_path: Path) -> Run:
    """A quick `animate` into the empty folder ``out``: portrait, driving, further options."""
    (tmp_path / "out").mkdir()

    def call(portrait: object = "portrait.png", driving: object = "driving.mp4", *options: object) -> tuple[int, str, str]:
        given = [str(option) for option in options]
        if "-o" not in given:
            given += ["-o", str(tmp_path / "out/result.mp4")]
        if "--weights" not in given:
            given += ["--weights", str(demo_weights)]
        return run("animate", media / str(portrait), media / str(driving), *QUICK, *given)

    return call
