"""What a person does, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from hp_core.errors import OptionError


@dataclass(frozen=True, eq=False)
class Performance:
    """What a person does: one float32 value a frame in each array (frames,).

    Directions are those of the image: positive yaw turns the nose to the right, positive pitch lowers it, positive roll tilts the
    head clockwise, all in degrees. The shifts are fractions of the image side (right, down); scale 1 is the usual size. ``jaw``
    0..1 opens the mouth, ``smile`` -1..1 lifts its corners, ``brows`` -1..1 lifts the brows, the blinks 0..1 close the eye at the
    image left and right, ``gaze_x`` and ``gaze_y`` -1..1 point right and down.

    Raises:
        OptionError: the arrays are not of one length, or have no frame.
    """

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    shift_x: np.ndarray
    shift_y: np.ndarray
    scale: np.ndarray
    jaw: np.ndarray
    smile: np.ndarray
    brows: np.ndarray
    blink_left: np.ndarray
    blink_right: np.ndarray
    gaze_x: np.ndarray
    gaze_y: np.ndarray

    def __post_init__(self) -> None:
        shapes = {np.shape(getattr(self, field.name)) for field in fields(self)}
        if len(shapes) > 1 or len(min(shapes)) != 1 or min(shapes) == (0,):
            raise OptionError(f"A performance has arrays of shape {sorted(shapes)}. Give every array the same length, at least 1.")

    def __len__(self) -> int:
        return len(self.yaw)

    @staticmethod
    def sample(seed: int, frames: int, fps: float = 25.0) -> Performance:
        """Lifelike motion number ``seed`` (0 or more): drifting head, blinks, speech and glances.

        Args:
            frames: how many frames; a longer performance of one seed begins with the shorter one.
            fps: frames a second.

        Raises:
            OptionError: ``frames`` or ``fps`` is not positive.
        """
        if frames < 1 or not fps > 0:
            raise OptionError(f"A performance of {frames} frames at {fps} frames a second is empty. Give positive numbers.")
        time = np.arange(frames) / fps

        def stream(channel: int) -> np.random.Generator:
            return np.random.default_rng([seed, 2, channel])

        def drift(channel: int, amplitude: float, fastest: float = 0.45) -> np.ndarray:
            return amplitude * _drift(stream(channel), time, fastest)

        jaw, lids, (gaze_x, gaze_y) = _speech(stream(20), time), _blinks(stream(21), time), _glances(stream(22), time)
        values = {
            "yaw": drift(0, 32), "pitch": drift(1, 15) + 2 * jaw * drift(2, 1, 3), "roll": drift(3, 11),
            "shift_x": drift(4, 0.04, 0.3), "shift_y": drift(5, 0.025, 0.3), "scale": 1 + drift(6, 0.07, 0.2),
            "jaw": jaw, "smile": np.clip(0.35 + drift(7, 1.1, 0.3), -1, 1), "brows": np.clip(drift(8, 1.2, 0.6), -1, 1),
            "blink_left": lids, "blink_right": lids, "gaze_x": gaze_x, "gaze_y": gaze_y,
        }  # fmt: skip
        return Performance(**{name: value.astype(np.float32) for name, value in values.items()})


def _drift(rng: np.random.Generator, time: np.ndarray, fastest: float) -> np.ndarray:
    """Smooth aimless motion in -1..1, of frequencies up to ``fastest`` Hz."""
    frequency, phase = fastest * np.linspace(0.15, 1, 5) * rng.uniform(0.85, 1, 5), rng.uniform(0, 2 * np.pi, 5)
    weight = rng.uniform(0.5, 1, 5) / np.sqrt(frequency)
    return np.sin(2 * np.pi * np.multiply.outer(time, frequency) + phase) @ (weight / weight.sum())


def _ease(time: np.ndarray, knots: Sequence[tuple[float, float]]) -> np.ndarray:
    """Values at ``time``, easing in and out between the (time, value) ``knots``."""
    at, value = np.asarray(knots).T
    left = np.clip(np.searchsorted(at, time, side="right") - 1, 0, len(at) - 2)
    part = np.clip((time - at[left]) / (at[left + 1] - at[left]), 0, 1)
    return value[left] + (value[left + 1] - value[left]) * (1 - np.cos(np.pi * part)) / 2


def _blinks(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    knots, start = [(-1.0, 0.0)], rng.uniform(0.3, 2.5)
    while knots[-1][0] <= time[-1]:
        knots += [(start, 0.0), (start + 0.09, 1.0), (start + 0.14, 1.0), (start + 0.3, 0.0)]
        start += rng.uniform(1.3, 4.5)
    return _ease(time, knots)


def _glances(rng: np.random.Generator, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The eyes rest, then jump, and return to about the viewer every other time."""
    right, down, now, home = [(-1.0, 0.0)], [(-1.0, 0.0)], 0.0, True
    while now <= time[-1]:
        leave, home = now + rng.uniform(0.4, 1.8), not home
        now, reach = leave + 0.07, 0.15 if home else 1.0
        right += [(leave, right[-1][1]), (now, reach * rng.uniform(-0.9, 0.9))]
        down += [(leave, down[-1][1]), (now, reach * rng.uniform(-0.5, 0.5))]
    return _ease(time, right), _ease(time, down)


def _speech(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Jaw opening 0..1: phrases of 2 to 12 syllables with pauses between them."""
    knots, now = [(-1.0, 0.0)], rng.uniform(0, 0.6)
    while knots[-1][0] <= time[-1]:
        knots.append((now, 0.0))
        for _ in range(int(rng.integers(2, 13))):
            length = rng.uniform(0.16, 0.3)
            knots += [(now + 0.45 * length, rng.uniform(0.2, 0.95)), (now + length, rng.uniform(0.0, 0.18))]
            now += length
        knots.append((now + 0.15, 0.0))
        now += rng.uniform(0.4, 1.4)
    return _ease(time, knots)
