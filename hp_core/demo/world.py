"""The procedural world as data: which seeds are whose, and the held-out pairs that judge weights against the exact truth."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from fractions import Fraction

import numpy as np

from hp_core.checks import check_range
from hp_core.demo.geometry import Head
from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render
from hp_core.progress import Progress, Stage

TRAINING_SEEDS = range(1_000_000)
"""Seeds of the people and of the performances that training may see."""
HELD_OUT_SEED = TRAINING_SEEDS.stop
"""From here on, people and performances that training never sees."""
HEAD = ("yaw", "pitch", "roll", "shift_x", "shift_y", "scale")
"""What a `Performance` says of the head as a whole."""
FPS = Fraction(25, 2)
"""Frames a second of the world's clips: the rate the released model is told."""


def portrait_performance(seed: int) -> Performance:
    """One frame of a person about at rest, as a portrait is taken.

    Yaw within 8 degrees, pitch 5, roll 4; shifts within 0.015 and 0.01 of the side; scale 0.97..1.03; eyes open and within 0.15
    of the viewer, mouth closed, smile 0..0.4, brows within 0.1 of rest.
    """
    rng = np.random.default_rng([seed, 5])  # people draw from [seed, 1], performances from [seed, 2], training clips from [seed, 3]
    limits = {"yaw": 8.0, "pitch": 5.0, "roll": 4.0, "shift_x": 0.015, "shift_y": 0.01, "gaze_x": 0.15, "gaze_y": 0.15, "brows": 0.1}
    values = {name: rng.uniform(-limit, limit) for name, limit in limits.items()}
    values |= {"scale": rng.uniform(0.97, 1.03), "smile": rng.uniform(0, 0.4)}
    return Performance(**{field.name: np.array([values.get(field.name, 0.0)], np.float32) for field in fields(Performance)})


@dataclass(frozen=True)
class HeldOutPair:
    """One cross-reenactment of the held-out world: a portrait of one person, a performance of another, and what should come out.

    Attributes:
        index: 0 or more; no two pairs share a person or a performance.

    Raises:
        OptionError: a negative ``index``.
    """

    index: int

    def __post_init__(self) -> None:
        check_range("index of a held-out pair", self.index, 0)

    @property
    def portrait_seed(self) -> int:
        """The person in the portrait."""
        return HELD_OUT_SEED + 2 * self.index

    @property
    def driver_seed(self) -> int:
        """The person in the driving clip."""
        return HELD_OUT_SEED + 2 * self.index + 1

    @property
    def performance_seed(self) -> int:
        """What the driver does, and how the portrait is held."""
        return HELD_OUT_SEED + self.index

    def portrait(self, size: int) -> np.ndarray:
        """The portrait, (size, size, 3) uint8."""
        return _play(self.portrait_seed, portrait_performance(self.performance_seed), size)[0]

    def driver_portrait(self, size: int) -> np.ndarray:
        """The driver held as the portrait is, (size, size, 3) uint8: what a relative method would need and nobody has."""
        return _play(self.driver_seed, portrait_performance(self.performance_seed), size)[0]

    def driving(self, frames: int, size: int) -> np.ndarray:
        """The driving clip, (frames, size, size, 3) uint8, consecutive frames at `FPS`."""
        return _play(self.driver_seed, self.performance(frames), size)

    def truth(self, frames: int, size: int) -> np.ndarray:
        """The portrait's person giving the driver's performance, (frames, size, size, 3) uint8."""
        return _play(self.portrait_seed, self.performance(frames), size)

    def truth_staring(self, frames: int, size: int) -> np.ndarray:
        """`truth` but for the gaze, which stays straight ahead."""
        performance = self.performance(frames)
        ahead = np.zeros_like(performance.gaze_x)
        return _play(self.portrait_seed, replace(performance, gaze_x=ahead, gaze_y=ahead), size)

    def truth_with_head_of(self, other: HeldOutPair, frames: int, size: int) -> np.ndarray:
        """`truth` with the head where ``other``'s driver has it: its turn, place and distance; the face does what this driver does."""
        head = other.performance(frames)
        mixed = replace(self.performance(frames), **{name: getattr(head, name) for name in HEAD})
        return _play(self.portrait_seed, mixed, size)

    def performance(self, frames: int) -> Performance:
        """What the driver does in the first ``frames`` frames."""
        return Performance.sample(self.performance_seed, frames, float(FPS))

    def face_boxes(self, frames: int, size: int) -> np.ndarray:
        """Extent of the head without hair and ears in `truth`, (frames, 4) int64 x1, y1, x2, y2 in whole pixels inside the picture."""
        person, performance = Identity.sample(self.portrait_seed), self.performance(frames)
        outlines = [Head(person, performance, index, size).outline() for index in range(frames)]
        corners = [(*np.floor(points.min(axis=0)), *np.ceil(points.max(axis=0))) for points in outlines]
        return np.clip(np.array(corners), 0, size).astype(np.int64)


def held_out_pairs(count: int) -> list[HeldOutPair]:
    """The first ``count`` held-out pairs; a longer list begins with the shorter one.

    Raises:
        OptionError: ``count`` is below 1.
    """
    check_range("pairs", count, 1)
    return [HeldOutPair(index) for index in range(count)]


@dataclass(frozen=True)
class Scene:
    """A held-out pair as pictures: portrait (S, S, 3), driving clip and truth (frames, S, S, 3), uint8."""

    portrait: np.ndarray
    driving: np.ndarray
    truth: np.ndarray


def draw_pair(index: int, frames: int, size: int) -> Stage[Scene]:
    """`HeldOutPair` ``index``, all three at ``size`` pixels, frame by frame."""
    pair = HeldOutPair(index)
    performance = pair.performance(frames)
    clips: list[np.ndarray] = []
    for person in (pair.driver_seed, pair.portrait_seed):
        clip = np.empty((frames, size, size, 3), np.uint8)
        for at, frame in enumerate(render(Identity.sample(person), performance, size=size)):
            clip[at] = frame
            yield Progress("draw", len(clips) * frames + at + 1, 2 * frames)
        clips.append(clip)
    return Scene(pair.portrait(size), *clips)


def _play(person: int, performance: Performance, size: int) -> np.ndarray:
    return np.stack(list(render(Identity.sample(person), performance, size=size)))
