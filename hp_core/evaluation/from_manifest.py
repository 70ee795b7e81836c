"""`hp-portrait evaluate --manifest`: from files to a report, resumable at every pair."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hp_core.errors import OptionError, PortraitError
from hp_core.evaluation.journal import Journal
from hp_core.evaluation.judgement import Judgement, sum_up
from hp_core.evaluation.make import Maker
from hp_core.evaluation.manifest import Row, read_manifest, write_manifest
from hp_core.evaluation.metrics.registry import DEFAULT, build_metrics, check_names
from hp_core.evaluation.metrics.toolbox import Toolbox
from hp_core.evaluation.pairs import check_pairs
from hp_core.evaluation.scoring import score_pairs
from hp_core.progress import Notice, Stage


def evaluate_manifest(
    manifest: Path,
    output: Path,
    *,
    protocol: str = "cross",
    metrics: Sequence[str] = DEFAULT,
    weights: Path | None = None,
    metric_weights: Path | None = None,
    files: dict[str, Path] | None = None,
    fvd: dict[str, Any] | None = None,
    fit: bool = False,
    steps: int | None = None,
    seed: int = 0,
    device: str | None = None,
    crop: str = "face",
    pose: str = "released",
) -> Stage[Judgement]:
    """Judge the results a manifest names, and make those it does not.

    Args:
        manifest: see `hp_core.evaluation.manifest.read_manifest`.
        output: folder for the report, the scores and the results made; the same call goes on where an earlier one stopped.
        protocol: `self`, the first frame of a clip drives the rest of it, or `cross`.
        metrics: names of `hp_core.evaluation.metrics.registry`.
        weights: folder that holds hyportrait/; needed where a row has no result.
        metric_weights: folder of the metrics' own networks; after it, ``weights`` and the usual places are looked into.
        files: single network files, by their name in the catalog.
        fvd: settings of FVD: `length`, `stride`, `resize`.
        fit: see `hp_core.evaluation.pairs.check_pairs`.
        steps, seed, crop, pose: of the results that are made, see `hp_core.evaluation.make.Maker`.
        device: torch device of all networks; None takes the accelerator torch reports, else the CPU.

    Raises:
        OptionError: an unknown name or a number out of range.
        PortraitError: a manifest with anything wrong, before anything runs; weights that cannot be loaded; a folder that holds scores
            made under other settings.
    """
    names = check_names(metrics)
    rows = read_manifest(manifest, protocol)
    unmade = [row for row in rows if row.result is None]
    if unmade and weights is None:
        raise OptionError(
            f"{len(unmade)} of {len(rows)} rows of {manifest} have no result, the pair '{unmade[0].pair}' first, and no weights are named "
            "to make them with. Add --weights FOLDER, or a result."
        )
    if not unmade and steps is not None:
        raise OptionError(f"steps is {steps}, and every row of {manifest} has its result already. Leave it out.")
    check_pairs(manifest, [row for row in rows if row.result is not None], protocol, fit=fit)
    from hp_core.pipeline import choose_device

    with ExitStack() as stack:
        maker = None
        if unmade:
            assert weights is not None
            maker = yield from _maker(weights, device, steps, seed, crop, pose)
            stack.callback(maker.pipeline.analyzer.close)
        folders = [folder for folder in (metric_weights, weights) if folder is not None]
        against = "truth" if protocol == "self" or all(row.truth is not None for row in rows) else "driving"
        tools = stack.enter_context(Toolbox(folders, against=against, device=choose_device(device), files=files, fvd=fvd))
        built = build_metrics(names, tools, _inputs(rows, protocol))
        for reason in dict.fromkeys(built.blanks.values()):
            yield Notice(f"Left blank: {', '.join(name for name in built.blanks if built.blanks[name] == reason)}. {reason}")
        if not built.pairs and not built.sets:
            raise PortraitError("None of the metrics asked for can run; the notices say why.")
        settings = {"protocol": protocol, "fit": fit, "metrics": built.settings} | ({"made": maker.settings} if maker else {})
        journal = Journal(output, settings)
        if maker:
            rows = yield from maker.make(rows, output / "results", weights.name if weights else "result")
            write_manifest(output / "manifest.json", rows)
        pairs = check_pairs(manifest, rows, protocol, fit=fit)
        needs_faces = any(metric.faces for metric in built.pairs)
        yield from score_pairs(pairs, built, journal, tools.reader if needs_faces else None)
        judgement = sum_up(pairs, names, built, journal, settings | {"manifest": str(manifest)})
        from hp_core.evaluation.manifest_report import write_reports

        yield from write_reports(output, judgement, pairs, journal)
    return judgement


def _maker(weights: Path, device: str | None, steps: int | None, seed: int, crop: str, pose: str) -> Stage[Maker]:
    from hp_core.pipeline import PortraitPipeline

    pipeline = yield from PortraitPipeline.load(weights, device=device)
    return Maker(pipeline, steps, seed, crop, pose)


def _inputs(rows: Sequence[Row], protocol: str) -> set[str]:
    """What at least one row will have when its result is made."""
    inputs = {"result"} | {name for name in ("portrait", "driving", "truth") if any(getattr(row, name) is not None for row in rows)}
    return inputs | ({"truth", "driving", "portrait"} if protocol == "self" else set())
