"""From the values of pairs to a number with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

LEVEL, RESAMPLES, SEED = 0.95, 9999, 0
"""Of the bootstrap intervals."""


def mean_and_error(values: Iterable[float | None]) -> dict[str, Any]:
    """Mean over pairs, its standard error, and how many pairs have a value; None is left out.

    The error is the sample's deviation (N - 1) over the root of N; None below two pairs, as the mean is without any.
    """
    known = np.array([value for value in values if value is not None], np.float64)
    return {
        "mean": float(known.mean()) if len(known) else None,
        "standard_error": float(known.std(ddof=1) / len(known) ** 0.5) if len(known) > 1 else None,
        "pairs": len(known),
    }


def paired_difference(one: Sequence[float | None], other: Sequence[float | None]) -> dict[str, Any]:
    """Mean of ``one`` - ``other`` over pairs that have both, and its bootstrap interval, by SciPy's percentile method.

    Pairs are drawn, not values: how hard a pair is weighs on both systems and cancels. Below two pairs there is no interval.
    """
    from scipy.stats import bootstrap

    apart = np.array([a - b for a, b in zip(one, other, strict=True) if a is not None and b is not None], np.float64)
    low = high = None
    if len(apart) > 1:
        drawn = bootstrap(
            (apart,), np.mean, confidence_level=LEVEL, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(SEED)
        )
        low, high = float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)
    return {"mean": float(apart.mean()) if len(apart) else None, "low": low, "high": high, "pairs": len(apart)}
