"""The paper's Table 2: the system, and the system without each part, trained on the same budget and judged on the same pairs (4.5).

`hp-portrait ablate` trains one after another in ``folder``: ``folder/ARM`` is a run of `hp_core.training`, ``folder/clips`` the cached
clips of all of them, ``folder/report`` what came out. It goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hp_core.checks import check_choice
from hp_core.config_files import read_config
from hp_core.evaluation.drawn import drawn_rows
from hp_core.evaluation.from_manifest import evaluate_manifest
from hp_core.evaluation.judgement import Judgement
from hp_core.evaluation.make import Maker
from hp_core.evaluation.manifest import Row, read_manifest, write_manifest
from hp_core.evaluation.plots import curves
from hp_core.files import make_folder, written_beside
from hp_core.pipeline import PortraitPipeline
from hp_core.progress import Notice, Stage
from hp_core.training.run import run_stage
from hp_core.training.settings import TrainConfig

METRICS = ("identity", "fid_vid", "fvd", "lmd_side", "psnr", "ssim", "motion_head", "motion_face")
"""Those of Table 2, then what the exact truth of drawn people allows to say besides."""


@dataclass(frozen=True)
class Arm:
    """One system of the comparison.

    Attributes:
        title: as Table 2 calls it.
        folder: of its run.
        without: the part that it lacks, of `hp_core.config.ABLATIONS`.
        seed: added to the optimiser's, which orders the batches; the first weights are the same in all.
    """

    title: str
    folder: str
    without: str = ""
    seed: int = 0

    def settings(self, config: TrainConfig) -> TrainConfig:
        """Of its training."""
        optim = replace(config.animation.optim, seed=config.animation.optim.seed + self.seed)
        return replace(config, without=self.without, animation=replace(config.animation, optim=optim))


ARMS = (
    Arm("HunyuanPortrait", "whole"),
    Arm("- Memory Bank", "memory_bank", "memory_bank"),
    Arm("- IAME", "iame", "iame"),
    Arm("- ID Features", "id_features", "id_features"),
    Arm("- IMAdapter", "im_adapter", "im_adapter"),
    Arm("HunyuanPortrait, other batches", "again", seed=1),  # how far chance alone moves the numbers
)


def ablate(
    config: TrainConfig,
    folder: Path,
    *,
    only: Sequence[str] = (),
    pairs: int = 64,
    frames: int = 24,
    manifest: Path | None = None,
    metric_weights: Path | None = None,
    minutes: float | None = None,
    device: str | None = None,
) -> Stage[Judgement | None]:
    """Train and judge.

    Args:
        config: of the training; all arms share its frozen networks, steps and first weights.
        folder: of the runs and of the report.
        only: folders of `ARMS` to train now; the judgement comes with the last of them all, other batches aside.
        pairs, frames: of the held-out pairs of the drawn world that are judged.
        manifest: pairs to be judged instead, without results (`hp_core.evaluation.manifest`), in the cross protocol.
        metric_weights: folder of the metrics' own networks.
        minutes: for each training: save and stop after so long.
        device: torch device for the results and the metrics.

    Returns:
        None where an arm is not trained to its last step yet.

    Raises:
        OptionError: an unknown arm, or settings that contradict an earlier call's.
        PortraitError: see `run_stage` and `evaluate_manifest`.
    """
    for name in only:
        check_choice("only", name, tuple(arm.folder for arm in ARMS))
    for arm in ARMS:
        if only and arm.folder not in only:
            continue
        outcome = yield from run_stage("animation", arm.settings(config), folder / arm.folder, minutes=minutes, clips=folder / "clips")
        if not outcome.finished:
            yield Notice(f"'{arm.title}' stopped at step {outcome.step}; the same command goes on from there.")
            return None
    done = [arm for arm in ARMS if _steps_done(folder / arm.folder) >= config.animation.optim.steps]
    missing = [arm.title for arm in ARMS if arm not in done and not arm.seed]
    if missing:
        yield Notice(f"Not trained yet: {', '.join(missing)}. The table comes with the last of them.")
        return None
    rows = yield from _results(done, folder, manifest, pairs, frames, device)
    write_manifest(folder / "manifest.json", rows)
    judgement = yield from evaluate_manifest(
        folder / "manifest.json",
        folder / "report",
        metrics=METRICS,
        metric_weights=metric_weights or folder / ARMS[0].folder / "weights",
        device=device,
    )
    with written_beside(folder / "report" / "curve.svg") as temporary:
        temporary.write_text(curves("PSNR of the validation clips (dB) by step", validation_curves(folder)) + "\n", encoding="utf-8")
    return judgement


def validation_curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and PSNR (dB) of each validation so far, by the arms' titles."""
    found: dict[str, list[tuple[int, float]]] = {}
    for arm in ARMS:
        path = folder / arm.folder / "animation" / "metrics.jsonl"
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
        points = {line["step"]: line["psnr"] for line in lines if line["kind"] == "validation"}  # of a step done twice, the last
        if points:
            found[arm.title] = sorted(points.items())
    return found


def _results(arms: list[Arm], folder: Path, manifest: Path | None, pairs: int, frames: int, device: str | None) -> Stage[list[Row]]:
    """The pairs' results by each of ``arms``."""
    if manifest is None:
        size = read_config(folder / ARMS[0].folder / "weights").face.image_size
        asked = yield from drawn_rows(folder / "pairs", pairs, frames, size)
    else:
        asked = read_manifest(manifest, "cross")
    rows: list[Row] = []
    for arm in arms:
        pipeline = yield from PortraitPipeline.load(folder / arm.folder / "weights", device=device)
        maker = Maker(pipeline, crop="whole" if manifest is None else "face")
        # Weights that were trained on have other results: they are told apart by the folder.
        place = folder / arm.folder / "results" / pipeline.models.fingerprint
        make_folder(place)
        rows += yield from maker.make(asked, place, arm.title)
        pipeline.analyzer.close()
    return rows


def _steps_done(run: Path) -> int:
    from hp_core.training.trainer import checkpoints

    places = checkpoints(run / "animation")
    return int(places[-1].name.removeprefix("step-")) if places else 0
