"""The clips of a pair beside each other: checked against each other, then streamed part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from hp_core.errors import ImageError, PortraitError, VideoError
from hp_core.evaluation.clip_readings import Reader
from hp_core.evaluation.manifest import Row, raise_problems
from hp_core.evaluation.media import Clip
from hp_core.evaluation.metrics.base import CLIPS, Part

PART = 16
"""Frames of a pair in memory at once."""


@dataclass(frozen=True)
class Pair:
    """A row whose files were looked at.

    Attributes:
        row: the row.
        clips: by `CLIPS`, those there are; in the self protocol the truth is the driving clip if it has no other.
        portrait: the picture's file; None is the driving clip's first frame.
        first: number of the first frame judged: 1 where frame 0 is the portrait itself.
        frames: how many are judged.
        fit: resize the truth to the result's size.
    """

    row: Row
    clips: dict[str, Clip]
    portrait: Path | None
    first: int
    frames: int
    fit: bool

    @property
    def inputs(self) -> set[str]:
        """Of `hp_core.evaluation.metrics.base.INPUTS`, those this pair has."""
        portrait = self.portrait is not None or self.first > 0
        return {*self.clips, *(["portrait"] if portrait else [])}

    def picture(self) -> np.ndarray | None:
        """The portrait, (H, W, 3) uint8, cut like the truth where it is a frame of the driving clip.

        Raises:
            ImageError: the file is no picture.
        """
        from hp_core.image import load_image

        if self.portrait is not None:
            return load_image(self.portrait)
        if self.first == 0:
            return None
        frame = next(self.clips["driving"].read(0, 1))
        return self._cut(frame) if self.row.truth is None else frame

    def parts(self, reader: Reader | None = None) -> Iterator[Part]:
        """The judged frames, `PART` at a time.

        Raises:
            PortraitError: a frame or the portrait cannot be read.
        """
        portrait = self.picture()
        streams = {name: self._stream(name) for name in self.clips}
        shared: dict[Any, Any] = {}
        for start in range(0, self.frames, PART):
            count = min(PART, self.frames - start)
            clips = {name: np.stack(list(islice(stream, count))) for name, stream in streams.items()}
            short = next((name for name, frames in clips.items() if len(frames) < count), None)
            if short:
                raise VideoError(f"{self.clips[short].path} ends before its {self.clips[short].frames} frames. Write it again.")
            yield Part(start, clips, portrait, reader, shared)

    def _stream(self, name: str) -> Iterator[np.ndarray]:
        for frame in self.clips[name].read(self.first, self.frames):
            yield self._cut(frame) if name == "truth" else frame

    def _cut(self, frame: np.ndarray) -> np.ndarray:
        """The part of a truth's frame that the result shows, at its size."""
        from PIL import Image

        result = self.clips["result"]
        if self.row.truth_square is not None:
            x1, y1, x2, y2 = self.row.truth_square
            frame = frame[y1:y2, x1:x2]
        if frame.shape[:2] == (result.height, result.width):
            return frame
        return np.asarray(Image.fromarray(frame).resize((result.width, result.height), Image.Resampling.BICUBIC))


def check_pairs(manifest: Path, rows: list[Row], protocol: str, *, fit: bool) -> list[Pair]:
    """Look at all files of ``rows``, whose results exist.

    Args:
        fit: cut clips of unequal length to the shortest and resize the truth to the result's size, instead of refusing them.

    Raises:
        PortraitError: what is wrong, all rows together; frame rates must agree whatever ``fit`` says.
    """
    pairs: list[Pair] = []
    problems: list[str] = []
    known: dict[Path, Clip] = {}
    for row in rows:
        try:
            pairs.append(_open(row, protocol, fit, known))
        except PortraitError as error:
            problems.append(f"pair '{row.pair}' of '{row.system}': {str(error).rstrip('.')}")
    raise_problems(manifest, problems)
    return pairs


def _open(row: Row, protocol: str, fit: bool, known: dict[Path, Clip]) -> Pair:
    paths = {name: getattr(row, name) for name in CLIPS}
    if protocol == "self":
        paths["truth"], paths["driving"] = paths["truth"] or paths["driving"], paths["driving"] or paths["truth"]
    for path in filter(None, paths.values()):
        if path not in known:  # one driver for many portraits is looked at once
            known[path] = Clip.open(path)
    clips = {name: known[path] for name, path in paths.items() if path is not None}
    if row.portrait is not None and not row.portrait.is_file():
        raise ImageError(f"the portrait {row.portrait} is a folder; name a picture")
    first = 1 if protocol == "self" and row.portrait is None else 0
    lengths = {name: clip.frames for name, clip in clips.items()}
    if len(set(lengths.values())) > 1 and not fit:
        raise PortraitError(f"the clips have {_each(lengths)} frames; cut them to one length, or let --fit do so")
    if min(lengths.values()) <= first:
        raise PortraitError(f"{first} frame is the portrait itself and none is left to judge; give clips of 2 frames or more")
    # 29.97 and 30, which people mix up, drift by a frame in half a minute: too little to refuse.
    rates = {name: clip.fps for name, clip in clips.items() if clip.fps is not None}
    if len(rates) > 1 and max(rates.values()) > min(rates.values()) * 1.01:
        raise PortraitError(
            f"the clips have {_each({name: f'{float(fps):g}' for name, fps in rates.items()})} frames/s; convert them to one"
        )
    if "truth" in clips:
        _check_size(row, clips, fit)
    return Pair(row, clips, row.portrait, first, min(lengths.values()) - first, fit)


def _check_size(row: Row, clips: dict[str, Clip], fit: bool) -> None:
    truth, result = clips["truth"], clips["result"]
    if row.truth_square is not None:
        x1, y1, x2, y2 = row.truth_square
        if x2 > truth.width or y2 > truth.height:
            raise PortraitError(f"truth_square {x1} {y1} {x2} {y2} leaves the truth, which is {truth.width}x{truth.height}")
    elif (truth.width, truth.height) != (result.width, result.height) and not fit:
        raise PortraitError(
            f"the result is {result.width}x{result.height}, the truth {truth.width}x{truth.height}; name the part it shows as "
            "truth_square, or let --fit resize the truth"
        )


def _each(values: dict[str, Any]) -> str:
    return ", ".join(f"{value} ({name})" for name, value in values.items())
