"""The frames of a video as RGB arrays, upright and in their true colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hp_core.errors import VideoError
from hp_core.video.colour import to_rgb
from hp_core.video.container import PathLike, pictures
from hp_core.video.scan import Scan, examine

if TYPE_CHECKING:
    from hp_core.video.colour import Frame


def read_frames(path: PathLike, *, start: int = 0, limit: int | None = None) -> Iterator[Frame]:
    """Yield frames `start`, `start + 1`, ... (at most `limit`) as new (height, width, 3) uint8 RGB arrays, one at a time.

    At constant rate every frame comes exactly once, in display order. A video of variable rate is resampled to `VideoInfo.fps`
    by nearest timestamp, so that frame i belongs to second i / fps of the sound. The stream's colour matrix and range and the
    display rotation are applied; the pixel aspect ratio is ignored.

    Raises VideoError: at the call as `probe` does, or for `start` or `limit` out of range; while iterating, for damaged frames.
    """
    path = Path(path)
    scan = examine(path)
    frames = scan.info.frames
    if not 0 <= start < frames:
        raise VideoError(f"{path}: start is frame {start}, but the video has frames 0 to {frames - 1}; choose one of these")
    if limit is not None and limit < 0:
        raise VideoError(f"{path}: limit is {limit} frames; it must be 0 or more, or None for all")
    stop = frames if limit is None else min(frames, start + limit)
    return _decode(path, scan, start, stop) if start < stop else iter(())


def _decode(path: Path, scan: Scan, start: int, stop: int) -> Iterator[Frame]:
    import numpy as np
    from av.video.reformatter import VideoReformatter

    converter = VideoReformatter()
    position = 0
    # Some recordings change size on the way: all frames get that of the first.
    for frame, repeat in zip(pictures(path, scan.earliest), scan.repeats, strict=False):
        for _ in range(repeat):
            if position >= start:
                yield np.ascontiguousarray(np.rot90(to_rgb(frame, converter, scan.coded_size), scan.quarter_turns))
            position += 1
            if position == stop:
                return
    raise VideoError(f"{path}: only {position} of its {scan.info.frames} frames can be decoded; the file is damaged, convert it again")
