"""Every pair through every metric, part by part; each pair's line is on disk before the next begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hp_core.errors import PortraitError
from hp_core.evaluation.clip_readings import Reader
from hp_core.evaluation.journal import Journal
from hp_core.evaluation.metrics.base import CLIPS, Gathering, Outcome, Part, Score
from hp_core.evaluation.metrics.registry import Built
from hp_core.evaluation.pairs import Pair
from hp_core.progress import Notice, Progress, Stage

DIGITS = 7
"""Significant ones of the values on disk."""


def score_pairs(pairs: Sequence[Pair], built: Built, journal: Journal, reader: Reader | None) -> Stage[None]:
    """Score the pairs that ``journal`` does not have yet.

    A pair that cannot be read to its end is written down with its error, its values are blanks; the others go on.

    Raises:
        PortraitError: the journal cannot be written.
    """
    total = sum(pair.frames for pair in pairs)
    done = 0
    for pair in pairs:
        if pair.row.key not in journal.lines:
            try:
                line = yield from _score(pair, built, journal, reader, done, total)
            except PortraitError as error:
                line = {"error": str(error)}
                yield Notice(f"The pair '{pair.row.pair}' of '{pair.row.system}' is left out: {error}")
            journal.add({"key": pair.row.key, "pair": pair.row.pair, "system": pair.row.system} | line)
        done += pair.frames
        yield Progress("evaluate", done, total)


def set_values(pairs: Sequence[Pair], built: Built, journal: Journal) -> Iterator[tuple[str, str, Outcome]]:
    """System, metric and value of each metric on sets, over the pairs that were scored."""
    for system in dict.fromkeys(pair.row.system for pair in pairs):
        lines = [journal.lines[pair.row.key] for pair in pairs if pair.row.system == system]
        for metric in built.sets:
            keys = [line["key"] for line in lines if metric.name in line.get("features", ())]
            yield system, metric.name, metric.value(journal.features(key, metric.name) for key in keys)


def _score(pair: Pair, built: Built, journal: Journal, reader: Reader | None, done: int, total: int) -> Stage[dict[str, Any]]:
    able = [metric for metric in built.pairs if set(metric.inputs) <= pair.inputs]
    gathering = {metric.name: metric.gather() for metric in built.sets if set(metric.inputs) <= pair.inputs}
    scores = {metric.name: metric.start() for metric in able}
    read = {name: [0, 0] for name in CLIPS if name in pair.clips and any(name in metric.inputs and metric.faces for metric in able)}
    for part in pair.parts(reader):
        takers: list[Score | Gathering] = [*scores.values(), *gathering.values()]
        for taker in takers:
            taker.add(part)
        _count_faces(part, read)
        yield Progress("evaluate", done + part.start + len(part), total)
    outcomes = {name: score.outcome() for name, score in scores.items()}
    absent = {metric.name: sorted(set(metric.inputs) - pair.inputs) for metric in built.pairs if metric not in able}
    outcomes |= {name: Outcome(None, f"this pair has no {' and no '.join(lacking)}") for name, lacking in absent.items()}
    for name, features in gathering.items():
        journal.keep(pair.row.key, name, features.features())
    return {
        "frames": pair.frames,
        "values": {name: _short(outcome.value) for name, outcome in outcomes.items()},
        "why": {name: outcome.why for name, outcome in outcomes.items() if outcome.value is None},
        "series": {name: [_short(value) for value in outcome.frames] for name, outcome in outcomes.items() if outcome.frames},
        "faces": read,
        "features": list(gathering),
    }


def _count_faces(part: Part, read: dict[str, list[int]]) -> None:
    """Add the part's frames to the counts [with a face, all] of the clips that metrics read."""
    for name, counts in read.items():
        found = part.read(name).found
        counts[0] += int(found.sum())
        counts[1] += len(found)


def _short(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.{DIGITS}g}")
