"""How people move: values over time, in seconds, that ease, drift, blink, glance and speak. Each stream of random numbers is its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def drift(rng: np.random.Generator, time: np.ndarray, fastest: float) -> np.ndarray:
    """Smooth aimless motion in -1..1, of frequencies up to ``fastest`` Hz."""
    frequency, phase = fastest * np.linspace(0.15, 1, 5) * rng.uniform(0.85, 1, 5), rng.uniform(0, 2 * np.pi, 5)
    weight = rng.uniform(0.5, 1, 5) / np.sqrt(frequency)
    return np.sin(2 * np.pi * np.multiply.outer(time, frequency) + phase) @ (weight / weight.sum())


def ease(time: np.ndarray, knots: Sequence[tuple[float, float]]) -> np.ndarray:
    """Values at ``time``, easing in and out between the (time, value) ``knots``."""
    at, value = np.asarray(knots).T
    left = np.clip(np.searchsorted(at, time, side="right") - 1, 0, len(at) - 2)
    part = np.clip((time - at[left]) / (at[left + 1] - at[left]), 0, 1)
    return value[left] + (value[left + 1] - value[left]) * (1 - np.cos(np.pi * part)) / 2


def blinks(rng: np.random.Generator, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the eyes at the image left and right are closed: blinks of both, sometimes a wink of one."""
    left, right, start = [(-1.0, 0.0)], [(-1.0, 0.0)], rng.uniform(0.3, 2.5)
    while min(left[-1][0], right[-1][0]) <= time[-1]:
        kind, held = rng.uniform(), 0.05
        if kind < 0.16:
            held = rng.uniform(0.15, 0.5)
        shut = start + 0.09
        lids = [(start, 0.0), (shut, 1.0), (shut + held, 1.0), (shut + held + 0.16, 0.0)]
        open_lids = [(at, 0.12 * value) for at, value in lids]
        left += open_lids if kind < 0.08 else lids
        right += open_lids if 0.08 <= kind < 0.16 else lids
        start += held + rng.uniform(1.2, 4.2)
    return ease(time, left), ease(time, right)


def glances(rng: np.random.Generator, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The eyes rest, then jump, and return to about the viewer every other time."""
    right, down, now, home = [(-1.0, 0.0)], [(-1.0, 0.0)], 0.0, True
    while now <= time[-1]:
        leave, home = now + rng.uniform(0.4, 1.8), not home
        now, reach = leave + 0.07, 0.15 if home else 1.0
        right += [(leave, right[-1][1]), (now, reach * rng.uniform(-1, 1))]
        down += [(leave, down[-1][1]), (now, reach * rng.uniform(-0.9, 0.9))]
    return ease(time, right), ease(time, down)


def speech(rng: np.random.Generator, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Opening of the jaw and rounding of the lips, 0..1: phrases of 2 to 12 syllables with pauses between them."""
    jaw, lips, now = [(-1.0, 0.0)], [(-1.0, 0.0)], rng.uniform(0, 0.6)
    while jaw[-1][0] <= time[-1]:
        jaw.append((now, 0.0))
        lips.append((now, 0.0))
        for _ in range(int(rng.integers(2, 13))):
            length, rounded = rng.uniform(0.16, 0.3), rng.uniform(-1.2, 1)
            rounded = max(rounded, 0.0) ** 0.5
            peak = rng.uniform(0.2, 1.0) * (1 - 0.55 * rounded)
            jaw += [(now + 0.45 * length, peak), (now + length, rng.uniform(0.0, 0.18))]
            lips += [(now + 0.4 * length, rounded), (now + length, 0.4 * rounded)]
            now += length
        jaw.append((now + 0.15, 0.0))
        lips.append((now + 0.15, 0.0))
        now += rng.uniform(0.4, 1.4)
    return ease(time, jaw), ease(time, lips)
