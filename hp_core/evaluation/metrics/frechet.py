"""Frechet distance of two sets of features, each taken for a normal distribution (Dowson and Landau 1982; Heusel et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hp_core.evaluation.metrics.base import Outcome


class Moments:
    """Mean and covariance of rows that come in batches; memory stops growing when there are as many rows as features."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: np.ndarray = np.zeros(0)
        self._scatter: np.ndarray | None = None
        self._rows: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        """Take in (n, d) rows; n may be 0 (Chan et al. 1979)."""
        if not len(rows):
            return
        rows = np.asarray(rows, np.float64)
        mean, total = rows.mean(axis=0), self.count + len(rows)
        before = self.mean if self.count else np.zeros_like(mean)
        apart = mean - before
        if self._scatter is None and total <= rows.shape[1]:
            self._rows.append(rows)
        else:
            earlier = self.scatter if self.count else np.zeros((rows.shape[1], rows.shape[1]))
            self._scatter = earlier + (rows - mean).T @ (rows - mean) + np.outer(apart, apart) * (self.count * len(rows) / total)
            self._rows = []
        self.mean, self.count = before + apart * (len(rows) / total), total

    @property
    def scatter(self) -> np.ndarray:
        """(d, d), the sum of the outer products of what the rows are off their mean."""
        if self._scatter is not None:
            return self._scatter
        apart = np.concatenate(self._rows) - self.mean
        return apart.T @ apart

    @property
    def covariance(self) -> np.ndarray:
        """(d, d), over N - 1; zeros for a single row."""
        return self.scatter / max(self.count - 1, 1)

    def factor(self) -> np.ndarray:
        """(r, d) F with F'F = the covariance; while rows are few they are it, which saves a large eigenvalue problem."""
        if self._scatter is None:
            return np.asarray((np.concatenate(self._rows) - self.mean) / max(self.count - 1, 1) ** 0.5)
        values, vectors = np.linalg.eigh(self.covariance)
        kept = values > max(float(values.max()), 0.0) * len(values) * np.finfo(np.float64).eps
        return np.asarray(np.sqrt(values[kept])[:, None] * vectors[:, kept].T)


def frechet_distance(one: Moments, other: Moments) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), at least 0.

    With C = F'F on either side, the trace of the root is the sum of the singular values of F1 F2': real and finite for covariances of
    any rank, where a matrix square root needs an epsilon.
    """
    apart, f1, f2 = one.mean - other.mean, one.factor(), other.factor()
    shared = np.linalg.svd(f1 @ f2.T, compute_uv=False).sum() if len(f1) and len(f2) else 0.0
    return float(max(apart @ apart + (f1**2).sum() + (f2**2).sum() - 2 * shared, 0.0))


def distance_of(features: Iterable[dict[str, np.ndarray]], fewest: int, of: str) -> Outcome:
    """The distance of all `result` rows from all `reference` rows.

    Args:
        features: a pair each, of `Gathering.features`.
        fewest: rows on either side, below which the number would mean nothing.
        of: what a row stands for, for the reason of a blank.
    """
    result, reference = Moments(), Moments()
    for pair in features:
        result.add(pair["result"])
        reference.add(pair["reference"])
    if min(result.count, reference.count) < fewest:
        return Outcome(None, f"{min(result.count, reference.count)} {of}; it needs at least {fewest}")
    return Outcome(frechet_distance(result, reference))
