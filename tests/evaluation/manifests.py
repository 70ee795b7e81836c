"""Manifests of small clips, judged quickly."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hp_core.evaluation.from_manifest import evaluate_manifest
from hp_core.evaluation.judgement import Judgement
from hp_core.progress import result
from hp_core.video import VideoWriter

SIZE, FRAMES = 64, 20
QUICK = ("psnr", "ssim")


def video(path: Path, frames: np.ndarray, fps: Fraction = Fraction(25)) -> Path:
    with VideoWriter(path, fps=fps, crf=1) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def clip(seed: int, frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """Smooth colours that move, without any face."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.arange(size), np.arange(size))
    waves = [np.sin(across / rng.uniform(6, 20) + down / rng.uniform(6, 20) + rng.uniform(0, 6)) for _ in range(3)]
    base = 110 + 80 * np.stack(waves, axis=-1)
    return np.stack([np.roll(base, shift, axis=1) for shift in range(frames)]).astype(np.uint8)


def manifest(path: Path, rows: list[dict[str, Any]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def judge(path: Path, out: Path, **options: Any) -> Judgement:
    return result(evaluate_manifest(path, out, **{"metrics": QUICK, "device": "cpu"} | options))


def psnr_of(off: float) -> float:
    return float(20 * np.log10(255 / off))
