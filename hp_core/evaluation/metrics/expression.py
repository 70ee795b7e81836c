"""AED and APD: how far expression and pose of the result are from the driver's, in SMIRK's parameters (paper A)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hp_core.evaluation.metrics.base import FACE_RULE, NO_FACE, FrameMetric, Part

if TYPE_CHECKING:
    from hp_core.evaluation.metrics.smirk import SmirkEncoder

TITLES = {
    "aed_exp50": "AED (50 expression)",
    "aed_55": "AED (50 expression, 2 eyelids, 3 jaw)",
    "aed_h2c": "AED (mean of the three groups' means)",
    "apd": "APD (radians)",
}
"""Which Manhattan distance the paper means is not public: each is the mean absolute difference a number. `aed_h2c` is H2CEvaluator's."""
_GROUPS = {
    "aed_exp50": (slice(0, 50),),
    "aed_55": (slice(0, 55),),
    "aed_h2c": (slice(0, 50), slice(50, 52), slice(52, 55)),
    "apd": (slice(0, 3),),
}


def frame_distance(name: str, result: np.ndarray, driving: np.ndarray) -> np.ndarray:
    """Of `TITLES`, (F,): mean absolute difference inside each group of parameters (F, 55 or 3), mean over groups; NaN where either is."""
    apart = np.abs(result - driving)
    return np.asarray(np.mean([apart[:, group].mean(axis=1) for group in _GROUPS[name]], axis=0))


def smirk_distance(name: str, encoder: SmirkEncoder, model: str) -> FrameMetric:
    """One of `TITLES` as a metric; ``model`` names the checkpoint in the settings. All of them share one run of the encoder."""

    def compute(part: Part) -> np.ndarray:
        from hp_core.evaluation.metrics.smirk import encode_clip

        def encoded(which: str) -> dict[str, np.ndarray]:
            return encode_clip(encoder, part.clips[which], part.read(which))

        both = [part.once(("smirk", which), partial(encoded, which)) for which in ("result", "driving")]
        kind = "pose" if name == "apd" else "expression"
        return frame_distance(name, both[0][kind], both[1][kind])

    return FrameMetric(
        name=name,
        title=TITLES[name],
        better="lower",
        inputs=("result", "driving"),
        settings={"model": model, "distance": "mean absolute difference", "crop": "1.4 of the landmarks' box to 224", "faces": FACE_RULE},
        compute=compute,
        faces=True,
        why=NO_FACE,
    )
