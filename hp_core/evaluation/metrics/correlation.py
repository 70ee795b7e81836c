"""Does the result follow? Correlation of what a detector reads in two clips."""

from __future__ import annotations

import numpy as np

from hp_core.evaluation.metrics.base import FACE_RULE, Better, Outcome, Part, Score, Setting

HEAD = ("yaw", "pitch", "roll")
MOVES = 0.02
"""Deviation over a clip from which on a blendshape of the driver counts as moving, of its range 0..1; below it is the reader's noise."""
_FEWEST = 3
"""Two points always lie on a line."""
_CONSTANT = 1e-9
"""Deviation below which a signal does not move, of its largest absolute value."""


def pearson(target: np.ndarray, result: np.ndarray) -> float | None:
    """Pearson's correlation of two signals (F,), -1..1; frames with NaN in either are left out.

    A ``result`` that does not move although the target does follows nothing: 0. None where the target does not move or fewer
    than three frames remain, as there is nothing to follow.
    """
    both = np.isfinite(target) & np.isfinite(result)
    x, y = np.asarray(target, np.float64)[both], np.asarray(result, np.float64)[both]
    if len(x) < _FEWEST or _still(x):
        return None
    return 0.0 if _still(y) else float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))


def _still(signal: np.ndarray) -> bool:
    return bool(signal.std() <= _CONSTANT * max(float(np.abs(signal).max()), _CONSTANT))


class MotionCorrelation:
    """Mean correlation of what driver and result do, inside each pair, so that only motion can earn it; a `Metric`.

    `motion_head` is over yaw, pitch and roll, `motion_face` over those of MediaPipe's 52 blendshapes that move in the driving clip.
    """

    better: Better = "higher"
    inputs: tuple[str, ...] = ("result", "driving")
    faces: bool = True

    def __init__(self, name: str) -> None:
        self.name = name
        head = name == "motion_head"
        self.title = f"correlation with the driver's {'head angles' if head else 'blendshapes'}"
        self.settings: dict[str, Setting] = {
            "signals": f"{', '.join(HEAD)}: the head nods, turns and is tilted, in this order"
            if head
            else f"blendshapes whose deviation in the driving clip is above {MOVES}",
            "read in": "every frame and its mirror image, averaged" if head else "every frame",
            "mean": "over signals, then pairs",
            "still result": "0",
            "faces": FACE_RULE,
        }

    def start(self) -> Score:
        return _CorrelationScore(self.name == "motion_head")


class _CorrelationScore:
    def __init__(self, head: bool) -> None:
        self.head = head
        self.signals: dict[str, list[np.ndarray]] = {"driving": [], "result": []}

    def add(self, part: Part) -> None:
        for which, signals in self.signals.items():
            read = part.read(which)
            signals.append(np.stack([read.values[name] for name in HEAD], axis=1) if self.head else read.blendshapes)

    def outcome(self) -> Outcome:
        driving, result = (np.concatenate(signals).T for signals in self.signals.values())
        both = np.isfinite(driving).all(axis=0) & np.isfinite(result).all(axis=0)
        if both.sum() < _FEWEST:
            return Outcome(None, f"{both.sum()} frames show a face in both clips; a correlation needs {_FEWEST}")
        moving = [at for at, signal in enumerate(driving) if self.head or signal[both].std() > MOVES]
        known = [value for at in moving if (value := pearson(driving[at], result[at])) is not None]
        return Outcome(float(np.mean(known))) if known else Outcome(None, "nothing moves in the driving clip")
