"""What each approximate gain costs: one change at a time to the same sampling, on held-out pairs of the drawn world."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hp_core.checks import check_choice, check_range
from hp_core.config import SamplingConfig
from hp_core.progress import Progress, Stage
from hp_core.sampling.presets import PRESETS

if TYPE_CHECKING:
    from hp_core.evaluation.animators import PipelineAnimator
    from hp_core.evaluation.case import Case
    from hp_core.evaluation.judge import Verdict

BASE = SamplingConfig()
"""The released sampling, with which everything is compared."""

VARIANTS: dict[str, dict[str, Any]] = {
    "exact": {},
    **{
        f"{sampler}, {steps} steps": {"sampler": sampler, "steps": steps} for sampler in ("euler", "dpmpp_2m", "unipc") for steps in (12, 6)
    },
    "guidance in the upper half": {"guidance_interval": (45.0, 1000.0)},  # of the drawn world's sigmas, 20 to 100
    "no guidance": {"appearance_guidance": (1.0, 1.0), "motion_guidance": (1.0, 1.0)},
    **{f"deep features every {every} steps": {"reuse_every": every} for every in (2, 3)},
    "windows on a line": {"windows": "line"},
    "4 warm-up frames": {"pad_frames": 4},
    "no warm-up": {"pad_frames": 0},
    **{f"preset {name}": changes for name, changes in PRESETS.items() if changes},
}
"""Changes to the sampling, by name."""

FOLLOWED = ("yaw", "jaw", "blink_left")


def sampling_quality(
    weights: Path,
    *,
    pairs: int = 8,
    frames: int = 24,
    names: Sequence[str] = (),
    base: SamplingConfig = BASE,
    device: str | None = None,
) -> Stage[list[dict[str, Any]]]:
    """Animate held-out pairs by every variant.

    Args:
        weights: folder that holds hyportrait/, of the drawn world (`demo`).
        pairs, frames: see `hp_core.evaluation.demo.evaluate_demo`.
        names: of `VARIANTS`, besides `exact`; none means all.
        base: what `exact` is; the noise rule is the weights' own.

    Returns:
        For each variant: ``seconds_a_frame`` of sampling; ``evaluated``, frames that went through the UNet for each frame of the result;
        ``psnr_to_exact`` (dB, None for `exact` itself); ``psnr`` to the truth (dB); ``landmarks`` (% of the face width); and the
        correlation with the truth of each of `FOLLOWED`.

    Raises:
        OptionError: an unknown name, or a number out of range.
        PortraitError: the weights cannot be loaded.
    """
    check_range("pairs", pairs, 1)
    check_range("frames", frames, 3)
    for name in names:
        check_choice("variant", name, tuple(VARIANTS))
    from hp_core.evaluation.animators import PipelineAnimator
    from hp_core.evaluation.demo import demo_cases
    from hp_core.evaluation.judge import Judge
    from hp_core.evaluation.readings import MotionReader
    from hp_core.weights.catalog import CATALOG

    chosen = [name for name in VARIANTS if not names or name in names or name == "exact"]
    animator = yield from PipelineAnimator.load(weights, device=device)
    seconds, evaluated = dict.fromkeys(chosen, 0.0), dict.fromkeys(chosen, 0)
    deviations: dict[str, list[float]] = {name: [] for name in chosen}
    verdicts: list[Verdict] = []
    with MotionReader(model=CATALOG["face_landmarker"].find(weights)) as reader:
        for case in demo_cases(pairs, frames, animator.pipeline.config.face.image_size):
            judge, drawn, exact = Judge(case, reader), _Drawn(animator, case), None
            for name in chosen:
                answer, spent, count = drawn.by(replace(base, noise=animator.sampling.noise, **VARIANTS[name]))
                seconds[name], evaluated[name] = seconds[name] + spent, evaluated[name] + count
                exact = answer if exact is None else exact
                deviations[name].append(float(np.mean((answer / 255 - exact / 255) ** 2)))
                verdicts.append(judge.verdict(name, drawn.answer(answer)))
                yield Progress("evaluate", len(verdicts), pairs * len(chosen))
    animator.close()
    return _rows(chosen, verdicts, seconds, evaluated, deviations, pairs * frames)


class _Drawn:
    """One case, encoded once for all variants."""

    def __init__(self, animator: PipelineAnimator, case: Case) -> None:
        self.pipeline, self.seed = animator.pipeline, case.index
        track = animator.track(case.driving)
        self.held = int((~track.found).sum())
        self.motion = animator.motion(track)
        self.appearance = self.pipeline.appearance(animator.track(case.portrait[None]))

    def by(self, sampling: SamplingConfig) -> tuple[np.ndarray, float, int]:
        """Frames (F, S, S, 3) uint8, seconds of sampling, and how many frames the UNet saw."""
        from hp_core.sampler import ClipSampler

        run = ClipSampler(self.pipeline.models, self.appearance, self.motion, None, config=sampling, seed=self.seed)
        began = time.perf_counter()
        for state in run.states(self.pipeline.device):
            latents = state.latents
        done = run.unscaled(latents).cpu()  # waits for the device
        seconds = time.perf_counter() - began
        window = min(sampling.window, len(latents)) if sampling.windows == "line" else sampling.window
        return np.stack(list(self.pipeline.decode(done, sampling=sampling))), seconds, state.evaluations * window

    def answer(self, frames: np.ndarray) -> Any:
        """``frames`` as they are judged."""
        from hp_core.evaluation.case import Answer

        return Answer(frames, held=self.held)


def _rows(
    names: list[str],
    verdicts: list[Verdict],
    seconds: dict[str, float],
    evaluated: dict[str, int],
    deviations: dict[str, list[float]],
    frames: int,
) -> list[dict[str, Any]]:
    from hp_core.evaluation.summary import summarise

    summary = summarise(verdicts)
    rows = []
    for name in names:
        scores, follows = summary[name]["scores"], summary[name]["correlation"]["truth"]
        error = float(np.mean(deviations[name]))
        rows.append(
            {
                "name": name,
                "changes": {key: list(value) if isinstance(value, tuple) else value for key, value in VARIANTS[name].items()},
                "seconds_a_frame": seconds[name] / frames,
                "evaluated": evaluated[name] / frames,
                "psnr_to_exact": None if name == "exact" or error == 0 else float(-10 * np.log10(error)),
                "psnr": scores["psnr"]["mean"],
                "landmarks": scores["landmarks"]["mean"],
                **{reading: follows[reading]["pooled"] for reading in FOLLOWED},
            }
        )
    return rows
