"""A manifest of drawn faces: three pairs of portrait and driving video, each answered by two systems."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hp_core.demo.world import HeldOutPair
from hp_core.video import VideoWriter

SYSTEMS = ("PuppetNet", "ghostwarp2")
FPS = Fraction(25, 2)
FRAMES, SIZE = 25, 96


def write_video(path: Path, frames: np.ndarray, **options: Any) -> None:
    with VideoWriter(path, fps=FPS, **options) as writer:
        for frame in frames:
            writer.write(frame)


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Rows with absolute paths. Everything that can names the system: files, folders, tags; one result is an MKV."""
    folder = tmp_path_factory.mktemp("media")
    rows = []
    for index in range(3):
        pair = HeldOutPair(index)
        portrait, driving = folder / f"portrait{index}.png", folder / f"driving{index}.mp4"
        Image.fromarray(pair.portrait(SIZE)).save(portrait)
        write_video(driving, pair.driving(FRAMES, SIZE))
        truth = pair.truth(FRAMES, SIZE)
        for system in SYSTEMS:
            (folder / system).mkdir(exist_ok=True)
            result = folder / system / f"{system}-{index}{'.mkv' if index == 2 else '.mp4'}"
            frames = truth if system == SYSTEMS[0] else np.ascontiguousarray(truth // 2 + 64)
            write_video(result, frames, metadata={"title": system, "comment": f"made by {system}"})
            rows.append({"portrait": str(portrait), "driving": str(driving), "result": str(result), "system": system})
    return rows


@pytest.fixture(scope="session")
def manifest(rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("manifest") / "manifest.csv", rows)
