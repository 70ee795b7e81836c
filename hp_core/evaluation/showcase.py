"""Pairs to look at: portrait, driving clip, result and truth side by side, as a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hp_core.evaluation.metrics.base import CLIPS, Part
from hp_core.evaluation.pairs import Pair
from hp_core.video import VideoWriter

SIDE = 192
"""Height of the pictures, pixels."""
LONGEST = 150
"""Frames shown."""
RANKING = ("lpips_alex", "psnr", "ssim", "lmd_side", "aed_exp50", "identity", "motion_face")
"""The pairs are ranked by the first of these that was computed; else by any other."""


@dataclass(frozen=True)
class Shown:
    """One pair of one system: the best, the median or the worst of them by ``metric``."""

    system: str
    rank: str
    pair: Pair
    metric: str
    value: float
    series: tuple[float | None, ...]


def choose(pairs: Sequence[Pair], lines: dict[str, dict[str, Any]], metrics: dict[str, str]) -> list[Shown]:
    """The best, the median and the worst pair of each system; fewer where there are fewer pairs.

    Args:
        lines: of the journal.
        metrics: whether `higher` or `lower` is better, of each that gives a value a pair.
    """
    shown: list[Shown] = []
    for system in dict.fromkeys(pair.row.system for pair in pairs):
        own = [pair for pair in pairs if pair.row.system == system]
        for name in dict.fromkeys([*(name for name in RANKING if name in metrics), *metrics]):
            values = {pair.row.key: lines[pair.row.key].get("values", {}).get(name) for pair in own}
            ranked = sorted((pair for pair in own if values[pair.row.key] is not None), key=lambda pair: values[pair.row.key])
            if not ranked:
                continue
            ranked = ranked[::-1] if metrics[name] == "higher" else ranked
            last = len(ranked) - 1
            places = {"best": 0} | ({"median": len(ranked) // 2} if last > 1 else {}) | ({"worst": last} if last else {})
            for rank, place in places.items():
                key = ranked[place].row.key
                shown.append(Shown(system, rank, ranked[place], name, values[key], tuple(lines[key]["series"].get(name, ()))))
            break
    return shown


def film(pair: Pair, path: Path) -> list[str]:
    """Write the video of ``pair`` to ``path``; what its columns show.

    Raises:
        PortraitError: a frame cannot be read, or the video not written.
    """
    rates = [clip.fps for clip in pair.clips.values() if clip.fps is not None]
    columns: list[str] = []
    with VideoWriter(path, fps=rates[0] if rates else Fraction(25), crf=24) as writer:
        written = 0
        for part in pair.parts():
            columns = _columns(part)
            for index in range(len(part)):
                if written < LONGEST:
                    writer.write(_beside(part, columns, index))
                    written += 1
            if written >= LONGEST:
                break
    return columns


def _columns(part: Part) -> list[str]:
    clips = [name for name in ("driving", "result", "truth") if name in part.clips]
    assert set(clips) <= set(CLIPS)
    return (["portrait"] if part.portrait is not None else []) + clips


def _beside(part: Part, columns: list[str], index: int) -> np.ndarray:
    from PIL import Image

    pictures = []
    for name in columns:
        frame = part.portrait if name == "portrait" else part.clips[name][index]
        assert frame is not None
        width = max(round(frame.shape[1] * SIDE / frame.shape[0]), 1)
        pictures.append(np.asarray(Image.fromarray(frame).resize((width, SIDE), Image.Resampling.BICUBIC)))
    return np.hstack(pictures)
