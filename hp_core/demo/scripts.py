"""Scripted performances: what each shows is known by its name, and all begin and end at rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial

import numpy as np

from hp_core.demo.motion import blinks, drift, ease, speech
from hp_core.demo.performance import Performance, timeline

Values = dict[str, np.ndarray]
Move = Callable[[np.ndarray, float], Values]
"""What is added to a person at rest at the times (n,), in seconds from the start of the move, which lasts so long."""
Script = Callable[[int, float], Performance]
"""A performance of so many frames at so many frames a second."""


def _repeated(seconds: float, **tracks: Sequence[tuple[float, float]]) -> Move:
    """A move through (time, value) knots that start and end at rest, as often as it fits, stretched to end with the time given."""

    def move(time: np.ndarray, length: float) -> Values:
        times = max(round(length / seconds), 1)
        phase = (time / length * times) % 1 * seconds
        return {name: ease(phase, [(0.0, 0.0), *knots, (seconds, 0.0)]) for name, knots in tracks.items()}

    return move


def _talk(time: np.ndarray, length: float) -> Values:
    jaw, pucker = speech(np.random.default_rng(5), time)
    present = np.clip(np.minimum(time, length - time) / 0.25, 0, 1)
    stress = np.sin(2 * np.pi * 0.7 * time)
    values = {"jaw": jaw, "pucker": pucker, "pitch": 3 * jaw + 2 * stress, "roll": 2 * stress, "brows": 0.25 + 0.3 * stress}
    return {name: present * value for name, value in {**values, "smile": np.full_like(time, 0.25)}.items()}


_MOVES: dict[str, Move] = {
    "nod": _repeated(
        2.0,
        pitch=[(0.15, -3), (0.45, 16), (0.75, -6), (1.05, 13), (1.35, -3), (1.7, 0)],
        smile=[(0.5, 0.45), (1.5, 0.4)],
        brows=[(0.2, 0.35), (0.6, 0)],
    ),
    "shake": _repeated(
        2.4,
        yaw=[(0.3, -20), (0.7, 20), (1.1, -18), (1.5, 16), (1.9, -5), (2.2, 0)],
        roll=[(0.3, -3), (0.7, 3), (1.1, -3), (1.5, 3), (2.0, 0)],
        smile=[(0.4, -0.45), (1.8, -0.35)],
        brows=[(0.4, -0.4), (1.8, -0.3)],
    ),
    "talk": _talk,
    "wink": _repeated(
        2.4,
        blink_right=[(0.6, 0), (0.75, 1), (1.15, 1), (1.35, 0)],
        smile=[(0.3, 0.1), (0.75, 0.9), (1.6, 0.7)],
        roll=[(0.5, 0), (0.85, 8), (1.5, 6)],
        yaw=[(0.5, 0), (0.85, 7), (1.5, 5)],
        brows=[(0.6, 0), (0.8, 0.4), (1.4, 0.3)],
    ),
    "smile": _repeated(
        2.6,
        smile=[(0.7, 1.0), (1.7, 1.0)],
        jaw=[(0.5, 0), (0.9, 0.28), (1.6, 0.22), (2.0, 0)],
        brows=[(0.7, 0.35), (1.7, 0.2)],
        pitch=[(0.8, -5), (1.7, -3)],
    ),
    "look-around": _repeated(
        4.0,
        gaze_x=[(0.2, 0), (0.28, -0.9), (0.9, -0.35), (1.3, -0.3), (1.4, 0.9), (2.1, 0.35), (2.6, 0.1), (2.7, 0), (3.5, 0)],
        gaze_y=[(2.5, 0), (2.6, -0.85), (2.95, -0.4), (3.05, 0.8), (3.4, 0.3), (3.55, 0)],
        yaw=[(0.35, 0), (0.9, -24), (1.3, -24), (2.1, 24), (2.45, 22), (2.9, 0)],
        pitch=[(2.55, 0), (2.9, -12), (3.05, -11), (3.4, 11), (3.6, 9)],
        brows=[(2.5, 0), (2.8, 0.6), (3.2, 0)],
    ),
}


def _perform(names: Sequence[str], frames: int, fps: float) -> Performance:
    """The moves called ``names`` one after another, each in an equal share of the time, by somebody who breathes and blinks."""
    time = timeline(frames, fps)
    values: Values = {field.name: np.full(frames, float(field.name == "scale")) for field in fields(Performance)}
    for channel, (name, amount) in enumerate({"yaw": 2.0, "pitch": 1.5, "roll": 1.5, "shift_y": 0.006, "gaze_x": 0.08}.items()):
        values[name] += amount * drift(np.random.default_rng([channel, 3]), time, 0.4)
    lids = np.minimum(*blinks(np.random.default_rng(8), time))
    length = frames / fps / len(names)
    turn = np.minimum((time / length).astype(int), len(names) - 1)
    for index, name in enumerate(names):
        now = turn == index
        for field, value in _MOVES[name](time[now] - index * length, length).items() if now.any() else ():
            values[field][now] += value
    for name in ("blink_left", "blink_right"):
        values[name] = np.maximum(values[name], lids)
    return Performance(**{name: value.astype(np.float32) for name, value in values.items()})


def _script(*names: str) -> Script:
    return partial(_perform, names)


SCRIPTS: dict[str, Script] = {**{name: _script(name) for name in _MOVES}, "showreel": _script(*_MOVES)}
"""By name: called with frames and frames a second; `OptionError` where either is not positive. A move takes 2 to 4 seconds."""
