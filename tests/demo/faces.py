"""What the tests of the drawn faces share."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render

SIZE = 256


def still(**values: float) -> Performance:
    """One frame of a face at rest, but for ``values``."""
    rest = {field.name: 1.0 if field.name == "scale" else 0.0 for field in fields(Performance)}
    return Performance(**{name: np.array([value], np.float32) for name, value in {**rest, **values}.items()})


def picture(identity: Identity, performance: Performance, size: int = SIZE, style: str = "shaded") -> np.ndarray:
    return next(render(identity, performance, size=size, style=style))


def one_frame(performance: Performance, index: int) -> Performance:
    return Performance(**{field.name: getattr(performance, field.name)[index : index + 1] for field in fields(performance)})


def changed_near(first: np.ndarray, second: np.ndarray, point: np.ndarray, reach: int = 16) -> float:
    """Mean absolute difference of two pictures in the square around ``point`` (x, y)."""
    x, y = np.round(point).astype(int)
    window = slice(y - reach, y + reach), slice(x - reach, x + reach)
    return float(np.abs(first[window].astype(int) - second[window]).mean())
