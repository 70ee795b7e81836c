"""From the verdicts of all pairs to one line a system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hp_core.evaluation.clip_readings import VALUES
from hp_core.evaluation.judge import AGAINST, Verdict
from hp_core.evaluation.metrics.correlation import pearson
from hp_core.evaluation.statistics import mean_and_error, paired_difference

SCORES = {
    "psnr": "PSNR, whole frame (dB)",
    "psnr_face": "PSNR, face (dB)",
    "ssim": "SSIM",
    "landmarks": "landmark distance (% of face width)",
    "nose": "nose tip's place (% of face width)",
    "nose_path": "nose tip's way since the first frame (% of face width)",
    "nose_trajectory": "nose tip's path, laid on the truth's (% of face width)",
    "detection": "frames with a face found (share)",
    "flicker": "flicker where the truth is still (grey levels)",
    "identity_portrait": "likeness to the portrait (cosine)",
    "identity_driver": "likeness to the driver (cosine)",
    "portrait_nearer": "nearer to the portrait than to the driver (pairs)",
    "held": "frames held for want of a face (share)",
}
"""The scores of a pair and what they are called, in the order of the tables."""


def summarise(verdicts: Sequence[Verdict]) -> dict[str, dict[str, Any]]:
    """For each system, in the order of the verdicts: `scores` and `correlation`.

    `scores` holds `mean_and_error` of each of `SCORES` over pairs. `correlation` holds, against the truth and against the driving
    clip, for each reading: `pooled`, over the frames of all pairs at once, where what differs between pairs counts too and even a
    still portrait resembles its own truth; and `per_pair`, `mean_and_error` of the correlations inside each pair, which only
    motion can earn.
    """
    systems = dict.fromkeys(verdict.system for verdict in verdicts)
    return {system: _summary([verdict for verdict in verdicts if verdict.system == system]) for system in systems}


def differences(verdicts: Sequence[Verdict], one: str, other: str) -> dict[str, dict[str, Any]]:
    """`paired_difference` of two systems in each of `SCORES`: pairs that are hard for both do not blur it."""
    rows = {system: {verdict.pair: verdict.scores for verdict in verdicts if verdict.system == system} for system in (one, other)}
    pairs = [pair for pair in rows[one] if pair in rows[other]]
    return {name: paired_difference(*([rows[system][pair][name] for pair in pairs] for system in (one, other))) for name in SCORES}


def _summary(verdicts: list[Verdict]) -> dict[str, Any]:
    return {
        "scores": {name: mean_and_error(verdict.scores[name] for verdict in verdicts) for name in SCORES},
        "correlation": {
            against: {
                name: {
                    "pooled": pearson(_pooled(verdicts, against, name), _pooled(verdicts, "result", name)),
                    "per_pair": mean_and_error(verdict.follows[against][name] for verdict in verdicts),
                }
                for name in VALUES
            }
            for against in AGAINST
        },
    }


def _pooled(verdicts: list[Verdict], of: str, name: str) -> np.ndarray:
    return np.concatenate([verdict.readings[of][name] for verdict in verdicts])
