"""Does the result follow? Correlation of what a detector reads in two clips."""

from __future__ import annotations

import numpy as np

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
