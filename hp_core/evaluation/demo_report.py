"""An evaluation as JSON, CSV and Markdown, and the rows of its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hp_core.evaluation.clip_readings import VALUES
from hp_core.evaluation.judge import AGAINST, Verdict
from hp_core.evaluation.report_files import markdown_table, write_files
from hp_core.evaluation.summary import SCORES

_NOTES = """\
- A value is the mean over pairs ± its standard error; the score of a pair is the mean over its frames.
- Correlations are `pooled over the frames of all pairs / mean over pairs of the correlation inside each`. Pooled, what tells one
  face from another counts too, so that even a still portrait scores; inside a pair only motion does, and a result that does not
  move where the other does scores 0. A part that hardly moves in a short clip correlates noise: trust the pooled value there.
- All readings, of the truth too, are MediaPipe's, each the mean of a frame's and of its mirror image's. How the truth's follow the
  driving clip's shows how far they can be trusted.
- PSNR is 100 dB where frames are equal. Landmarks and likeness are over frames with a face found.
- `truth` answers with the truth, `vae` with what is left of it after encoding and decoding: ceilings, not systems.
- `staring` is the truth but for the gaze, which stays straight ahead: what its gaze scores is no measure of a gaze. Gazes are
  correlated over the frames in which the truth's eyes are open.
- Differences are means over pairs, in brackets the middle 95 % of 9,999 bootstrap samples of pairs.
- `warp` gets the driver in the very pose of the portrait, which no other system does.
"""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        settings: what was run, in words and numbers.
        systems: of `hp_core.evaluation.summary.summarise`.
        rows: one flat row a pair and system, of `score_row`.
        differences: `hp_core.evaluation.summary.differences` by what they are of, such as `model - warp`.
    """

    settings: dict[str, Any]
    systems: dict[str, dict[str, Any]]
    rows: list[dict[str, Any]]
    differences: dict[str, dict[str, Any]] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """All but the rows, for JSON."""
        return {"settings": self.settings, "systems": self.systems, "differences": self.differences}


def score_row(verdict: Verdict) -> dict[str, Any]:
    """Pair, system, frames, every score, and every correlation as `truth_yaw`, `driving_yaw`; None where undefined."""
    follows = {f"{against}_{name}": verdict.follows[against][name] for against in AGAINST for name in VALUES}
    return {"pair": verdict.pair, "system": verdict.system, "frames": verdict.frames} | verdict.scores | follows


def score_table(systems: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Rows of text: a label and a cell for each system; scores that no system has are left out."""
    return _rows(
        [system["scores"] for system in systems.values()],
        lambda name, figure: _count(figure) if name == "portrait_nearer" else _with_error(figure),
    )


def correlation_table(systems: dict[str, dict[str, Any]], against: str) -> list[list[str]]:
    """Rows of text: a reading and for each system `pooled / mean of the pairs`."""
    return [[name, *(pooled_and_inside(system["correlation"][against][name]) for system in systems.values())] for name in VALUES]


def difference_table(differences: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Rows of text: a score and for each pair of systems the mean difference and its interval; scores that none has are left out."""
    return _rows(list(differences.values()), lambda name, figure: _with_interval(figure))


def _rows(columns: list[dict[str, Any]], cell: Callable[[str, dict[str, Any]], str]) -> list[list[str]]:
    """Of each of `SCORES` that a column has a mean of: its label, and the columns' cells."""
    return [
        [label, *(cell(name, column[name]) for column in columns)]
        for name, label in SCORES.items()
        if any(column[name]["mean"] is not None for column in columns)
    ]


def markdown(evaluation: Evaluation, pictures: Mapping[str, str] | None = None) -> str:
    """The report to read; ``pictures`` maps paths from it to captions."""
    names = list(evaluation.systems)
    tables = [
        ("Scores", score_table(evaluation.systems)),
        ("Correlation of the result with the truth", correlation_table(evaluation.systems, "truth")),
        ("Correlation of the result with the driving clip", correlation_table(evaluation.systems, "driving")),
    ]
    parts = ["# Cross-reenactment of held-out pairs\n"]
    parts += ["\n".join(f"- {name}: {value}" for name, value in evaluation.settings.items()) + "\n"]
    parts += [markdown_table(title, ["", *names], rows) for title, rows in tables]
    if evaluation.differences:
        parts.append(markdown_table("Differences, pair by pair", ["", *evaluation.differences], difference_table(evaluation.differences)))
    parts.append(f"## How to read this\n\n{_NOTES}")
    if pictures:
        shown = [f"{caption}:\n\n![{caption}]({path})" for path, caption in pictures.items()]
        parts.append("## Pairs by PSNR\n\n" + "\n\n".join(shown) + "\n")
    return "\n".join(parts)


def write_report(folder: Path, evaluation: Evaluation, pictures: Mapping[str, str] | None = None) -> None:
    """Write `report.json` (with the rows), `report.csv` and `report.md` into ``folder``, which exists."""
    write_files(folder, evaluation.facts(), evaluation.rows, markdown(evaluation, pictures))


def _count(figure: dict[str, Any]) -> str:
    return "-" if figure["mean"] is None else f"{round(figure['mean'] * figure['pairs'])} of {figure['pairs']}"


def _with_interval(figure: dict[str, Any]) -> str:
    if figure["mean"] is None:
        return "-"
    known = [figure[name] for name in ("mean", "low", "high") if figure[name] is not None]
    mean, *ends = (f"{value:+.3f}" for value in known)
    return f"{mean} ({' to '.join(ends)})" if ends else mean


def _with_error(figure: dict[str, Any]) -> str:
    known = [figure[name] for name in ("mean", "standard_error") if figure[name] is not None]
    decimals = 2 if known and abs(known[0]) >= 10 else 3
    return " ± ".join(f"{value:.{decimals}f}" for value in known) or "-"


def pooled_and_inside(figures: dict[str, Any], decimals: int = 2) -> str:
    """A correlation over all frames, and the mean of those inside each pair; ``-`` where there is none."""
    pooled, inside = figures["pooled"], figures["per_pair"]["mean"]
    return " / ".join("-" if value is None else f"{value:.{decimals}f}" for value in (pooled, inside))
