"""Mean opinion scores, and how far they might lie from those of other visitors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hp_core.progress import Notice, Stage
from hp_core.study.answers import Answer, Key
from hp_core.study.questions import QUESTIONS

DRAWS = 10_000
CONFIDENCE = 0.95
FEW = 10  # visitors; below, percentiles of the bootstrap are known to be too narrow


def summarise(answers: Sequence[Answer], key: Key) -> Stage[dict[str, Any]]:
    """Per system and question the mean score with a 95 % interval.

    The interval is the percentile bootstrap over visitors: whole visitors are drawn, with all their answers, as the answers of one
    are alike. It speaks of other visitors before the same clips.

    Returns:
        ``study``, ``visitors``, ``items``, ``answers``, ``interval`` (how it is made) and ``systems``: system -> question -> ``mean``
        (1..5), ``low``, ``high`` (None below two visitors), ``visitors``, ``answers``; systems in the order of the key.
    """
    visitors = list(dict.fromkeys(answer.visitor for answer in answers))
    systems = list(dict.fromkeys(item["system"] for item in key.items.values()))
    if len(visitors) < FEW:
        tail = "; one alone gives none." if len(visitors) == 1 else "; take them for too narrow."
        yield Notice(f"{len(visitors)} visitors are few for intervals{tail}")
    scores = np.zeros((len(visitors), len(systems), len(QUESTIONS)))
    counts = np.zeros_like(scores)
    row, column = _places(visitors), _places(systems)
    layer = _places([question.name for question in QUESTIONS])
    for answer in answers:
        place = row[answer.visitor], column[key.items[answer.item]["system"]], layer[answer.question]
        scores[place] += answer.score
        counts[place] += 1
    means = scores.sum(0) / counts.sum(0)
    limits = _limits(scores, counts) if len(visitors) > 1 else None
    return {
        "study": key.study,
        "visitors": len(visitors),
        "items": len(key.items),
        "answers": len(answers),
        "interval": f"{CONFIDENCE:.0%} percentile bootstrap over visitors, {DRAWS} draws",
        "systems": {
            system: {
                question.name: {
                    "mean": float(means[i, j]),
                    "low": None if limits is None else float(limits[0, i, j]),
                    "high": None if limits is None else float(limits[1, i, j]),
                    "visitors": int((counts[:, i, j] > 0).sum()),
                    "answers": int(counts[:, i, j].sum()),
                }
                for j, question in enumerate(QUESTIONS)
            }
            for i, system in enumerate(systems)
        },
    }


def _places(names: list[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def _limits(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums and numbers of answers (visitors, systems, questions) -> lower and upper limit (2, systems, questions)."""
    from scipy.stats import bootstrap

    def mean(sums: np.ndarray, numbers: np.ndarray, axis: int) -> np.ndarray:
        whole: np.ndarray = sums.sum(axis) / numbers.sum(axis)
        return whole

    drawn = bootstrap(
        (scores, counts), mean, paired=True, vectorized=True, axis=0, n_resamples=DRAWS, batch=500, confidence_level=CONFIDENCE,
        method="percentile", rng=np.random.default_rng(0),
    )  # fmt: skip
    return np.stack(drawn.confidence_interval)
