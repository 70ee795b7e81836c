"""The demo preset: weights, ceilings and baselines on the held-out pairs of the procedural world."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hp_core.checks import check_choice, check_range
from hp_core.config import AlignConfig
from hp_core.errors import OptionError, PortraitError
from hp_core.evaluation.case import Case, System, from_pixels, truth_itself
from hp_core.evaluation.demo_report import Evaluation, score_row, write_report
from hp_core.progress import Stage

if TYPE_CHECKING:
    from hp_core.evaluation.animators import PipelineAnimator
    from hp_core.evaluation.clip_readings import Reader

DRIVING_SCALE = 2
"""Driving frames are this much larger than what is drawn after them, as driving videos are."""

SYSTEMS = ("still", "warp", "model", "vae", "staring", "truth")
MIN_FRAMES = 3
"""Fewest frames a pair: two points always correlate."""


def demo_cases(pairs: int, frames: int, size: int) -> Iterator[Case]:
    """The first ``pairs`` held-out pairs, rendered one at a time: ``frames`` of ``size`` x ``size`` pixels, driven by larger ones."""
    from hp_core.demo.world import held_out_pairs

    for pair in held_out_pairs(pairs):
        yield Case(
            index=pair.index,
            portrait=pair.portrait(size),
            driver_portrait=pair.driver_portrait(DRIVING_SCALE * size),
            driving=pair.driving(frames, DRIVING_SCALE * size),
            truth=pair.truth(frames, size),
            face_boxes=pair.face_boxes(frames, size),
        )


def evaluate_demo(
    weights: Path | None = None,
    *,
    pairs: int = 64,
    frames: int = 24,
    steps: int | None = None,
    device: str | None = None,
    pose: str = "released",
    translation: str = "as it is",
    only: Sequence[str] = (),
    report: Path | None = None,
) -> Stage[Evaluation]:
    """Judge ``weights`` by cross-reenactment against the exact truth, beside the baselines `still` and `warp`.

    Args:
        weights: folder that holds hyportrait/; None judges the baselines alone.
        pairs: held-out pairs, from the first.
        frames: consecutive frames of each at 12.5 frames/s, 3 or more.
        steps: of denoising; None takes the weights' own.
        device: torch device; None takes the accelerator torch reports, else the CPU.
        pose: mode of Pose Align, from the face tracks.
        translation: the head's place in the tokens, by `hp_core.motion.edit.with_translation`; "released" leaves it to the pose.
        only: of `SYSTEMS`, those to be judged; empty: all that can be.
        report: folder for `report.json`, `report.csv`, `report.md` and `strips/`; None writes nothing.

    Raises:
        OptionError: a number out of range, an unknown system, or options for the model without ``weights``.
        PortraitError: the extra `evaluation` is not installed, the weights cannot be loaded, the report cannot be written.
    """
    check_range("pairs", pairs, 1)
    check_range("frames", frames, MIN_FRAMES)
    if weights is None and (steps is not None or device is not None):
        raise OptionError("steps and device are for the model, and no weights are named. Add --weights FOLDER, or leave them out.")
    for name, value, default in (("pose", pose, "released"), ("translation", translation, "as it is")):
        if weights is None and value != default:
            raise OptionError(f"{name} is {value}, and no weights are named. Add --weights FOLDER, or leave it out.")
    for name in only:
        check_choice("only", name, SYSTEMS if weights else ("still", "warp", "staring", "truth"))
    config = AlignConfig(mode=pose)
    _check_extra()
    from hp_core.demo.world import FPS, HELD_OUT_SEED
    from hp_core.evaluation.animators import PipelineAnimator
    from hp_core.evaluation.readings import MotionReader
    from hp_core.evaluation.runner import judge_systems
    from hp_core.evaluation.strips import StripFolder
    from hp_core.evaluation.summary import differences, summarise
    from hp_core.files import staged_folder
    from hp_core.weights.catalog import CATALOG

    with ExitStack() as stack:
        stage = stack.enter_context(staged_folder(_check_folder(report))) if report else None
        animator = None
        if weights:
            animator = yield from PipelineAnimator.load(weights, steps=steps, device=device, pose=config, translation=translation)
            stack.callback(animator.close)
        reader = stack.enter_context(MotionReader(model=CATALOG["face_landmarker"].find(weights) if weights else None))
        settings: dict[str, Any] = {"preset": "demo", "pairs": pairs, "frames": frames, "fps": float(FPS), "size": _size(animator)}
        settings |= {"first_held_out_seed": HELD_OUT_SEED} | (_model_settings(animator) if animator else {"weights": "none"})
        strips = StripFolder(stage / "strips") if stage else None
        systems = {name: system for name, system in _systems(reader, animator).items() if not only or name in only}
        verdicts = yield from judge_systems(
            demo_cases(pairs, frames, settings["size"]),
            systems,
            reader,
            total=pairs,
            identity=animator.pipeline.models.identity if animator else None,
            strips=strips,
        )
        apart = {f"model - {name}": differences(verdicts, "model", name) for name in ("still", "warp") if {"model", name} <= set(systems)}
        evaluation = Evaluation(settings, summarise(verdicts), [score_row(verdict) for verdict in verdicts], apart)
        if stage and strips:
            write_report(stage, evaluation, {f"strips/{name}": caption for name, caption in strips.keep().items()})
    return evaluation


def _systems(reader: Reader, animator: PipelineAnimator | None) -> dict[str, System]:
    """What is compared, in the order of the columns."""
    from hp_core.evaluation.animators import VaeCeiling
    from hp_core.evaluation.baselines import LandmarkWarp, staring, still

    systems: dict[str, System] = {"still": from_pixels(still), "warp": LandmarkWarp(reader)}
    if animator:
        systems |= {"model": from_pixels(animator), "vae": VaeCeiling(animator.pipeline)}
    return systems | {"staring": staring, "truth": truth_itself}


def _size(animator: PipelineAnimator | None) -> int:
    from hp_core.config import PortraitConfig

    return (animator.pipeline.config if animator else PortraitConfig.demo()).face.image_size


def _model_settings(animator: PipelineAnimator) -> dict[str, Any]:
    models = animator.pipeline.models
    return {
        "weights": models.fingerprint,
        "trained": models.config.trained,
        "steps": animator.sampling.steps,
        "pose": animator.pose.mode,
        "translation": animator.translation,
        "identity": "none" if models.identity is None else "arcface.onnx",
    }


def _check_folder(report: Path) -> Path:
    if report.exists() and not report.is_dir():
        raise PortraitError(f"The report goes into a folder, and {report} is a file; name another.")
    return report


def _check_extra() -> None:
    if importlib.util.find_spec("skimage") is None:
        raise PortraitError("Evaluation needs the package scikit-image. Run `pip install scikit-image`.")
