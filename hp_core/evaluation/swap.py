"""Whose motion comes through when a portrait is given the expression of one driver and the head of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hp_core.checks import check_range
from hp_core.errors import OptionError
from hp_core.evaluation.metrics.correlation import pearson
from hp_core.evaluation.statistics import mean_and_error
from hp_core.progress import Progress, Stage

if TYPE_CHECKING:
    from hp_core.values import MotionTokens

EXPRESSION_READINGS, HEAD_READINGS = ("jaw", "blink_left", "blink_right"), ("yaw", "pitch", "roll")


def evaluate_swap(
    weights: Path | None, *, pairs: int = 64, frames: int = 24, steps: int | None = None, device: str | None = None
) -> Stage[dict[str, dict[str, dict[str, Any]]]]:
    """Held-out portraits with ``with_head_rotation_of``: expression of their own driver, head of the next pair's.

    Returns:
        For each reading of MediaPipe in the results (`EXPRESSION_READINGS`, `HEAD_READINGS`): its correlation with the same reading
        of the driver it should come from (``own``) and of the one it should not (``other``), and with what the first one played
        (``played``), which is known and has no face that a reading could depend on. ``ceiling`` and ``played_ceiling`` are ``own``
        and ``played`` of the exact pictures, which differ from a driver in the face and in where the head is, as MediaPipe's readings
        then do. Each over all frames (``pooled``) and inside each pair (``per_pair``: `mean_and_error`), where it does not count that
        one mouth reads wider than another at rest.

    Raises:
        OptionError: no weights, or a number out of range.
        PortraitError: the weights cannot be loaded.
    """
    check_range("pairs", pairs, 2)
    check_range("frames", frames, 3)
    if weights is None:
        raise OptionError("Swapping needs weights. Add --weights FOLDER.")
    from hp_core.demo.world import held_out_pairs
    from hp_core.evaluation.animators import PipelineAnimator
    from hp_core.evaluation.clip_readings import ClipReadings, read_clip
    from hp_core.evaluation.demo import DRIVING_SCALE
    from hp_core.evaluation.readings import MotionReader
    from hp_core.motion.edit import with_head_rotation_of
    from hp_core.weights.catalog import CATALOG

    animator = yield from PipelineAnimator.load(weights, steps=steps, device=device)
    size = animator.pipeline.config.face.image_size
    drivers: list[tuple[MotionTokens, ClipReadings]] = []
    results: list[ClipReadings] = []
    exact: list[ClipReadings] = []
    everybody = held_out_pairs(pairs)
    with MotionReader(model=CATALOG["face_landmarker"].find(weights)) as reader:
        for pair in everybody:
            clip = pair.driving(frames, DRIVING_SCALE * size)
            drivers.append((animator.motion(animator.track(clip)), read_clip(reader, clip)))
            yield Progress("encode", len(drivers), pairs)
        for index, pair in enumerate(everybody):
            after = (index + 1) % pairs
            motion = with_head_rotation_of(drivers[index][0], drivers[after][0])
            portrait = animator.track(pair.portrait(size)[None])
            results.append(read_clip(reader, animator.draw(portrait, motion, None, pair.index)))
            exact.append(read_clip(reader, pair.truth_with_head_of(everybody[after], frames, size)))
            yield Progress("animate", index + 1, pairs)
    animator.close()
    faces = [readings for _, readings in drivers]
    heads = faces[1:] + faces[:1]
    acts = [pair.performance(frames) for pair in everybody]
    turns = acts[1:] + acts[:1]

    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for names, own, other, played in ((EXPRESSION_READINGS, faces, heads, acts), (HEAD_READINGS, heads, faces, turns)):
        for name in names:
            read = {key: [clip.values[name] for clip in clips] for key, clips in (("own", own), ("other", other))}
            read["played"] = [getattr(performance, name) for performance in played]
            drawn, ceiling = ([clip.values[name] for clip in clips] for clips in (results, exact))
            figures[name] = {key: _correlations(target, drawn) for key, target in read.items()}
            figures[name] |= {"ceiling": _correlations(read["own"], ceiling), "played_ceiling": _correlations(read["played"], ceiling)}
    return figures


def _correlations(targets: list[np.ndarray], results: list[np.ndarray]) -> dict[str, Any]:
    return {
        "pooled": pearson(np.concatenate(targets), np.concatenate(results)),
        "per_pair": mean_and_error(pearson(target, result) for target, result in zip(targets, results, strict=True)),
    }
