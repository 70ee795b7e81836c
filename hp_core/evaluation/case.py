"""What is judged: a case with its truth, and a system that answers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hp_core.errors import FaceError


@dataclass(frozen=True, eq=False)
class Case:
    """One cross-reenactment whose right answer is known; F frames of S x S pixels, driven by F of D x D.

    Attributes:
        index: number of the case, and the seed of whoever answers it.
        portrait: (S, S, 3) uint8.
        driver_portrait: (D, D, 3) uint8, the driver held as the portrait is; only for a baseline that says so.
        driving: (F, D, D, 3) uint8.
        truth: (F, S, S, 3) uint8.
        face_boxes: (F, 4) int x1, y1, x2, y2 of the face in ``truth``, the last two exclusive.
    """

    index: int
    portrait: np.ndarray
    driver_portrait: np.ndarray
    driving: np.ndarray
    truth: np.ndarray
    face_boxes: np.ndarray


@dataclass(frozen=True, eq=False)
class Answer:
    """What a system made of a case.

    Attributes:
        frames: (F, S, S, 3) uint8.
        held: frames for which it found no face to follow and went on with what it last knew.
    """

    frames: np.ndarray
    held: int = 0


Animate = Callable[[np.ndarray, np.ndarray, int], "np.ndarray | Answer"]
"""Portrait (S, S, 3) uint8, driving frames (F, D, D, 3) uint8 and a seed to frames (F, S, S, 3) uint8: what a user could run."""
System = Callable[[Case], Answer]
"""What the runner calls. Ceilings and baselines may look at more of a case than `Animate` does; `from_pixels` may not."""


def from_pixels(animate: Animate) -> System:
    """``animate`` as a system: it sees the portrait, the driving frames and the seed, nothing else.

    Where it raises `FaceError`, the portrait stands for every frame and all of them count as held.
    """

    def system(case: Case) -> Answer:
        try:
            made = animate(case.portrait, case.driving, case.index)
        except FaceError:
            return Answer(np.repeat(case.portrait[None], len(case.driving), axis=0), held=len(case.driving))
        return made if isinstance(made, Answer) else Answer(made)

    return system


def truth_itself(case: Case) -> Answer:
    """The ceiling of every score: where the detectors err on the truth, nobody can do better."""
    return Answer(case.truth)
