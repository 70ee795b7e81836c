"""A clip to judge, whatever holds it: a video, a folder of pictures, or an array in a .npy file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from hp_core.errors import VideoError
from hp_core.image import PICTURES, load_image

KINDS = "a video, a folder of pictures, or a .npy array"


@dataclass(frozen=True)
class Clip:
    """What is known of a clip without reading its frames.

    Attributes:
        path: where it lies.
        frames: how many, 1 or more.
        width, height: pixels.
        fps: frames a second; None of pictures and arrays, which do not say.
    """

    path: Path
    frames: int
    width: int
    height: int
    fps: Fraction | None = None

    @staticmethod
    def open(path: Path) -> Clip:
        """Look at ``path``.

        Raises:
            PortraitError: it is absent, empty or none of `KINDS`; an array of another shape than (F, H, W, 3), or of another type than
                uint8 or floats.
        """
        if path.is_dir():
            pictures = _pictures(path)
            first = load_image(pictures[0])
            return Clip(path, len(pictures), first.shape[1], first.shape[0])
        if path.suffix.lower() == ".npy":
            array = _array(path)
            return Clip(path, len(array), array.shape[2], array.shape[1])
        from hp_core.video import probe

        info = probe(path)
        return Clip(path, info.frames, info.width, info.height, info.fps)

    def read(self, start: int = 0, limit: int | None = None) -> Iterator[np.ndarray]:
        """Frames (height, width, 3) uint8 RGB from number ``start`` on, at most ``limit``, one at a time.

        Raises:
            PortraitError: while iterating, for a damaged frame, one of another size, or one with NaN or values beyond 0..1; it is named.
        """
        stop = self.frames if limit is None else min(self.frames, start + limit)
        if self.path.is_dir():
            for number, path in enumerate(_pictures(self.path)[start:stop], start):
                yield self._checked(load_image(path), number)
        elif self.path.suffix.lower() == ".npy":
            array = _array(self.path)
            for number in range(start, stop):
                yield self._checked(_as_bytes(array[number], self.path, number), number)
        elif start < stop:
            from hp_core.video import read_frames

            yield from read_frames(self.path, start=start, limit=stop - start)

    def _checked(self, frame: np.ndarray, number: int) -> np.ndarray:
        if frame.shape != (self.height, self.width, 3):
            height, width = frame.shape[:2]
            raise VideoError(
                f"{self.path}: frame {number} is {width}x{height}, the first {self.width}x{self.height}. Bring all to one size."
            )
        return frame


def _pictures(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and not path.name.startswith("."))
    if not found:
        raise VideoError(f"{folder} holds no picture ({', '.join(PICTURES)}); a clip is {KINDS}.")
    return found


def _array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise VideoError(f"{path}: no such file; check the path")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise VideoError(f"{path} is not an array NumPy can read ({error}). Save it with numpy.save.") from error
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape or (array.dtype != np.uint8 and array.dtype.kind != "f"):
        raise VideoError(f"{path} is {array.dtype} {array.shape}; a clip is (frames, height, width, 3), uint8, or floats in 0..1.")
    return np.asarray(array)


def _as_bytes(frame: np.ndarray, path: Path, number: int) -> np.ndarray:
    """Floats in 0..1 rounded to uint8."""
    if frame.dtype == np.uint8:
        return np.array(frame)
    broken = int(np.size(frame) - np.isfinite(frame).sum())
    if broken:
        raise VideoError(f"{path}: frame {number} has {broken} values that are NaN or infinite. Make this clip again.")
    low, high = float(frame.min()), float(frame.max())
    if low < -1e-3 or high > 1 + 1e-3:
        raise VideoError(f"{path}: frame {number} goes from {low:g} to {high:g}; floats lie in 0..1. Divide by 255, or save uint8.")
    return np.asarray(np.rint(255 * frame.astype(np.float64).clip(0, 1)), np.uint8)
