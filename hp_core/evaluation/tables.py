"""A judgement as tables: the paper's two, and one of every number; as text and Markdown."""

from __future__ import annotations

from typing import Any

from hp_core.evaluation.judgement import Judgement
from hp_core.evaluation.report_files import markdown_table

ARROWS = {"higher": "↑", "lower": "↓", "": ""}
PAPER = {
    "Table 1, self-reenactment": (
        ("lmd_side", "LMD (1e-3) ↓", 10.0),  # percent to thousandths
        ("fid_vid", "FID-VID ↓", 1.0),
        ("fvd", "FVD ↓", 1.0),
        ("psnr", "PSNR ↑", 1.0),
        ("ssim", "SSIM ↑", 1.0),
        ("lpips_alex", "LPIPS ↓", 1.0),
    ),
    "Table 1, cross-reenactment": (
        ("aed_exp50", "AED (1e-2) ↓", 100.0),
        ("apd", "APD (1e-3) ↓", 1000.0),
        ("identity", "identity similarity (1e-1) ↑", 10.0),
    ),
    "Table 2": (
        ("identity", "identity similarity (1e-1) ↑", 10.0),
        ("fid_vid", "FID-VID ↓", 1.0),
        ("fvd", "FVD ↓", 1.0),
        ("lmd_side", "LMD (1e-3) ↓", 10.0),
    ),
}
"""The paper's columns, the metric that fills each and the factor of its unit; what people voted for is not among them."""
BLANK = "-"

Table = tuple[str, list[str], list[list[str]]]
"""Title, header, rows."""


def paper_tables(judgement: Judgement) -> list[Table]:
    """The paper's tables as far as the protocol fills them, a row a system."""
    protocol = judgement.settings["protocol"]
    tables = []
    for title, columns in PAPER.items():
        if ("cross" if protocol == "self" else "self") in title or not any(name in judgement.metrics for name, _, _ in columns):
            continue
        rows = [[system, *(_scaled(facts, name, factor) for name, _, factor in columns)] for system, facts in judgement.systems.items()]
        title = title if "," in title else f"{title}, {protocol}-reenactment"
        tables.append((title, ["method", *(label for _, label, _ in columns)], rows))
    return tables


def full_table(judgement: Judgement) -> Table:
    """Every metric ± its standard error, a row a metric and a column a system, and what faces were found."""
    systems = judgement.systems
    rows = []
    for name, facts in judgement.metrics.items():
        cells = [_with_error(system["metrics"].get(name)) for system in systems.values()]
        rows.append([f"{facts['title']} {ARROWS[facts['better']]}".strip(), *cells])
    for clip in ("result", "truth", "driving"):
        counts = [system["faces"].get(clip) for system in systems.values()]
        if any(counts):
            rows.append([f"frames of the {clip} without a face", *(f"{c[1] - c[0]} of {c[1]}" if c else BLANK for c in counts)])
    rows.append(["pairs judged", *(str(system["pairs"]) for system in systems.values())])
    rows.append(["pairs that failed", *(str(len(system["failed"])) for system in systems.values())])
    return "All numbers", ["", *systems], rows


def difference_table(judgement: Judgement, against: str | None = None) -> Table:
    """Each two systems on the pairs they share, with the interval of the mean difference; only those with ``against``, if named."""
    rows = [
        [f"{d['one']} - {d['other']}", judgement.metrics[d["metric"]]["title"], _number(d["mean"]), _interval(d), str(d["pairs"])]
        for d in judgement.differences
        if against is None or against in (d["one"], d["other"])
    ]
    return "Differences on the same pairs", ["systems", "metric", "mean", "95 % of the bootstrap", "pairs"], rows


def reasons(judgement: Judgement) -> list[str]:
    """Why what is blank is blank, and which pairs failed."""
    lines = [f"{', '.join(names)}: {reason}" for reason, names in _by_reason(judgement.blanks).items()]
    for system, facts in judgement.systems.items():
        blank = {name: figure["why"] for name, figure in facts["metrics"].items() if "why" in figure}
        lines += [f"{', '.join(names)} of {system}: {reason}" for reason, names in _by_reason(blank).items()]
        lines += [f"{system}, pair '{failed['pair']}' failed: {failed['error']}" for failed in facts["failed"]]
    return lines


def protocol_lines(judgement: Judgement) -> list[str]:
    """What each number depends on."""
    settings = judgement.settings
    meaning = {
        "self": "self-reenactment: the first frame of a clip drives the rest of it; that frame is not judged where it is the portrait",
        "cross": "cross-reenactment: somebody else's clip drives the portrait",
    }[settings["protocol"]]
    lines = [f"protocol: {meaning}"]
    if settings["fit"]:
        lines.append("fit: clips of unequal length were cut to the shortest, truths resized to the result's size")
    if "made" in settings:
        lines.append("results: " + ", ".join(f"{name} {value}" for name, value in settings["made"].items()))
    for name, values in settings["metrics"].items():
        lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in values.items()))
    return lines


def markdown(judgement: Judgement) -> str:
    """The report to read."""
    parts = ["# Evaluation\n"]
    for title, header, rows in (*paper_tables(judgement), full_table(judgement), difference_table(judgement)):
        if rows:
            parts.append(markdown_table(title, header, rows))
    for title, items in (("Blanks", reasons(judgement)), ("Protocol", protocol_lines(judgement))):
        if items:
            parts.append(f"## {title}\n\n" + "\n".join(f"- {item}" for item in items) + "\n")
    parts.append(
        "A value is the mean over pairs ± its standard error; that of a pair is the mean over its frames. FID, FID-VID and FVD are over "
        "all pairs at once and have no error. A blank (-) is not a zero. "
        "Metrics on faces leave out frames in which a face they need was not found; a pair without any other is a blank of theirs.\n"
    )
    return "\n".join(parts)


def _by_reason(blanks: dict[str, str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, reason in blanks.items():
        names.setdefault(reason, []).append(name)
    return names


def _scaled(system: dict[str, Any], name: str, factor: float) -> str:
    mean = system["metrics"].get(name, {}).get("mean")
    return BLANK if mean is None else f"{factor * mean:.2f}"


def _with_error(figure: dict[str, Any] | None) -> str:
    if figure is None or figure["mean"] is None:
        return BLANK
    error = figure["standard_error"]
    return _number(figure["mean"]) + ("" if error is None else f" ± {_number(error)}")


def _interval(difference: dict[str, Any]) -> str:
    return BLANK if difference["low"] is None else f"{_number(difference['low'])} .. {_number(difference['high'])}"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"
