"""What came out: for each system the mean of each metric over its pairs, and how systems differ on the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from hp_core.evaluation.journal import Journal
from hp_core.evaluation.metrics.registry import Built
from hp_core.evaluation.pairs import Pair
from hp_core.evaluation.scoring import set_values
from hp_core.evaluation.statistics import mean_and_error, paired_difference


@dataclass(frozen=True)
class Judgement:
    """The content of every report.

    Attributes:
        settings: protocol, metrics with all they depend on, rules.
        metrics: title and `better` of each metric asked for, in order, blanks included.
        blanks: metrics that could not run, and why.
        systems: `metrics` (of each metric `mean`, `standard_error`, `pairs`; `why` where the mean is a blank), `pairs`, `frames`,
            `failed` and `faces` ([with a face, all] frames of each clip read).
        differences: `one`, `other`, `metric`, `mean`, `low`, `high`, `pairs`.
        rows: one a pair and system, flat.
    """

    settings: dict[str, Any]
    metrics: dict[str, dict[str, str]]
    blanks: dict[str, str]
    systems: dict[str, dict[str, Any]]
    differences: list[dict[str, Any]]
    rows: list[dict[str, Any]]

    def facts(self) -> dict[str, Any]:
        """All but the rows, for JSON."""
        return {name: getattr(self, name) for name in ("settings", "metrics", "blanks", "systems", "differences")}


def sum_up(pairs: Sequence[Pair], names: Sequence[str], built: Built, journal: Journal, settings: dict[str, Any]) -> Judgement:
    """The judgement on ``pairs``, all of whose lines ``journal`` has; ``names`` are the metrics asked for."""
    lines = [journal.lines[pair.row.key] for pair in pairs]
    known = {metric.name: metric for metric in built.all}
    systems: dict[str, dict[str, Any]] = {}
    for system in dict.fromkeys(line["system"] for line in lines):
        own = [line for line in lines if line["system"] == system]
        systems[system] = _summary(own, [metric.name for metric in built.pairs])
    for system, name, outcome in set_values(pairs, built, journal):
        scored = sum(line["system"] == system and name in line.get("features", ()) for line in lines)
        figure = {"mean": outcome.value, "standard_error": None, "pairs": scored}
        systems[system]["metrics"][name] = figure | ({"why": outcome.why} if outcome.value is None else {})
    return Judgement(
        settings=settings,
        metrics={
            name: {"title": known[name].title, "better": known[name].better} if name in known else {"title": name, "better": ""}
            for name in names
        },
        blanks=built.blanks,
        systems=systems,
        differences=list(_differences(lines, list(systems), [metric.name for metric in built.pairs])),
        rows=[_row(line, names) for line in lines],
    )


def _summary(lines: list[dict[str, Any]], metrics: list[str]) -> dict[str, Any]:
    scored = [line for line in lines if not line.get("error")]
    figures = {}
    for name in metrics:
        figure = mean_and_error(line["values"].get(name) for line in scored)
        reasons = [line["why"][name] for line in scored if name in line["why"]]
        figures[name] = figure | ({"why": reasons[0] if reasons else "no pair was scored"} if figure["mean"] is None else {})
    faces: dict[str, list[int]] = {}
    for line in scored:
        for clip, (found, frames) in line["faces"].items():
            before = faces.setdefault(clip, [0, 0])
            faces[clip] = [before[0] + found, before[1] + frames]
    return {
        "metrics": figures,
        "pairs": len(scored),
        "frames": sum(line["frames"] for line in scored),
        "failed": [{"pair": line["pair"], "error": line["error"]} for line in lines if line.get("error")],
        "faces": faces,
    }


def _differences(lines: list[dict[str, Any]], systems: list[str], metrics: list[str]) -> Any:
    for one, other in combinations(systems, 2):
        values = {system: {line["pair"]: line.get("values", {}) for line in lines if line["system"] == system} for system in (one, other)}
        common = [pair for pair in values[one] if pair in values[other]]
        for name in metrics:
            first, second = ([values[system][pair].get(name) for pair in common] for system in (one, other))
            difference = paired_difference(first, second)
            if difference["pairs"]:
                yield {"one": one, "other": other, "metric": name} | difference


def _row(line: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    values = line.get("values", {})
    seen = {f"faces_{clip}": found for clip, (found, _) in line.get("faces", {}).items()}
    row = {"pair": line["pair"], "system": line["system"], "frames": line.get("frames", 0), "error": line.get("error", "")}
    return row | {f"faces_{clip}": seen.get(f"faces_{clip}") for clip in ("result", "truth", "driving")} | {n: values.get(n) for n in names}
