"""Features of windows of consecutive frames, for the Frechet distances of videos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hp_core.evaluation.metrics.base import Part


class WindowFeatures:
    """Cuts both clips of a pair into windows and takes features of each; a `Gathering`. Frames wait only until their window is full.

    Args:
        extract: of a window (length, S, S, 3), its features (d,).
        prepare: of frames (F, H, W, 3) uint8, what a window is made of.
        against: `truth` or `driving`.
        length: frames of a window.
        stride: frames from the start of one to the start of the next, 1 or more.
        pad: fill up the last window with the last frame, where frames are left over or the clip is shorter than one.
        mean: one feature a clip, the mean of its windows.
    """

    def __init__(
        self,
        extract: Callable[[np.ndarray], np.ndarray],
        prepare: Callable[[np.ndarray], np.ndarray],
        against: str,
        *,
        length: int,
        stride: int,
        pad: bool = False,
        mean: bool = False,
    ) -> None:
        self.extract, self.prepare, self.length, self.stride, self.pad, self.mean = extract, prepare, length, stride, pad, mean
        self.sources = {"result": "result", "reference": against}
        self.waiting: dict[str, list[np.ndarray]] = {side: [] for side in self.sources}
        self.skipped: dict[str, int] = dict.fromkeys(self.sources, 0)
        self.rows: dict[str, list[np.ndarray]] = {side: [] for side in self.sources}

    def add(self, part: Part) -> None:
        for side, which in self.sources.items():
            waiting = self.waiting[side]
            waiting.extend(self.prepare(part.clips[which]))
            self._skip(side)
            while len(waiting) >= self.length:
                self.rows[side].append(self.extract(np.stack(waiting[: self.length])))
                self.skipped[side] = self.stride
                self._skip(side)

    def features(self) -> dict[str, np.ndarray]:
        found = {}
        for side, rows in self.rows.items():
            waiting = self.waiting[side]
            if self.pad and waiting and (self.stride >= self.length or not rows):
                rows.append(self.extract(np.stack(waiting + [waiting[-1]] * (self.length - len(waiting)))))
                waiting.clear()
            found[side] = np.stack([np.mean(rows, axis=0)] if self.mean and rows else rows) if rows else np.empty((0, 0), np.float32)
        return {side: np.asarray(rows, np.float32) for side, rows in found.items()}

    def _skip(self, side: str) -> None:
        """Drop frames until the next window begins, which may lie in a part to come."""
        drop = min(self.skipped[side], len(self.waiting[side]))
        del self.waiting[side][:drop]
        self.skipped[side] -= drop
