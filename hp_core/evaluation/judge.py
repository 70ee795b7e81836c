"""All scores of one answer to one case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hp_core.evaluation.case import Answer, Case
from hp_core.evaluation.clip_readings import VALUES, ClipReadings, Reader, read_clip
from hp_core.evaluation.flicker import still_flicker
from hp_core.evaluation.metrics.correlation import pearson
from hp_core.evaluation.metrics.identity import embed_faces, mean_cosine
from hp_core.evaluation.metrics.landmarks import frame_landmark_distance, frame_nose_distance
from hp_core.evaluation.metrics.psnr import frame_psnr
from hp_core.evaluation.metrics.resize import squashed
from hp_core.evaluation.metrics.ssim import frame_ssim

if TYPE_CHECKING:
    from hp_core.face.likeness import IdentityEncoder

AGAINST = ("truth", "driving")
"""What the readings of a result are correlated with."""
CLOSED = 0.5
"""Reading of a blink above which an eye is closed."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What one system scored in one case.

    Attributes:
        pair: the case's index.
        system: the system's name.
        frames: how many.
        scores: by the names of `hp_core.evaluation.summary.SCORES`; None where undefined.
        follows: correlation over the frames of this case, by `AGAINST` and then by `VALUES`; None where undefined.
        readings: (F,) of each of `VALUES` in the result, the truth and the driving clip, under `result`, `truth`, `driving`.
    """

    pair: int
    system: str
    frames: int
    scores: dict[str, float | None]
    follows: dict[str, dict[str, float | None]]
    readings: dict[str, dict[str, np.ndarray]]


class Judge:
    """Scores the answers to one case; truth, driving clip and portrait are read once.

    Args:
        reader: finds and reads the faces, in all clips alike.
        identity: None leaves the scores of identity undefined.
    """

    def __init__(self, case: Case, reader: Reader, identity: IdentityEncoder | None = None) -> None:
        self.case, self.reader, self.identity = case, reader, identity
        self.truth, self.driving = read_clip(reader, case.truth), read_clip(reader, case.driving)
        self._closed = np.fmax(self.truth.values["blink_left"], self.truth.values["blink_right"]) > CLOSED
        self._compared = {"truth": self._seen(self.truth), "driving": self._seen(self.driving)}
        if identity is not None:
            portrait = case.portrait[None]
            self.portrait_embedding = embed_faces(identity, portrait, read_clip(reader, portrait).five_points)
            # As many pixels as the result and the portrait have, or the finer of two faces would be the farther one.
            side = case.portrait.shape[0]
            small, points = squashed(case.driving, side), self.driving.five_points * (side / case.driving.shape[1])
            self.driving_embeddings = embed_faces(identity, small, points)

    def verdict(self, system: str, answer: Answer) -> Verdict:
        """The scores of ``answer``, whose frames are like the case's truth."""
        case, frames = self.case, answer.frames
        read = self.truth if frames is case.truth else read_clip(self.reader, frames)
        result = self._seen(read)
        scores = {
            "psnr": _mean(frame_psnr(frames, case.truth)),
            "psnr_face": _mean(frame_psnr(frames, case.truth, case.face_boxes)),
            "ssim": _mean(frame_ssim(frames, case.truth)),
            "landmarks": _mean(frame_landmark_distance(read.landmarks, self.truth.landmarks)),
            "nose": _mean(frame_nose_distance(read.landmarks, self.truth.landmarks, origin="picture")),
            "nose_path": _mean(frame_nose_distance(read.landmarks, self.truth.landmarks, origin="first")),
            "nose_trajectory": _mean(frame_nose_distance(read.landmarks, self.truth.landmarks, origin="mean")),
            "detection": float(np.mean(read.found)),
            "flicker": _mean(still_flicker(frames, case.truth)),
            **self._identity(frames, read),
            "held": answer.held / len(frames),
        }
        return Verdict(
            pair=case.index,
            system=system,
            frames=len(frames),
            scores=scores,
            follows={against: {name: pearson(values[name], result[name]) for name in VALUES} for against, values in self._compared.items()},
            readings={"result": result} | self._compared,
        )

    def _seen(self, of: ClipReadings) -> dict[str, np.ndarray]:
        """The readings of a clip, without the gaze in frames whose truth has an eye more than half closed: nobody can see it there."""
        return {name: np.where(self._closed, np.nan, values) if name.startswith("gaze") else values for name, values in of.values.items()}

    def _identity(self, frames: np.ndarray, read: ClipReadings) -> dict[str, float | None]:
        """Likeness to the portrait, to the driver in the same frame, and 1 where the portrait is nearer, else 0."""
        portrait: float | None = None
        driver: float | None = None
        if self.identity is not None:
            embeddings = embed_faces(self.identity, frames, read.five_points)
            portrait, driver = mean_cosine(embeddings, self.portrait_embedding), mean_cosine(embeddings, self.driving_embeddings)
        nearer = None if portrait is None or driver is None else float(portrait > driver)
        return {"identity_portrait": portrait, "identity_driver": driver, "portrait_nearer": nearer}


def _mean(values: np.ndarray) -> float | None:
    """Mean of the frames that have a value, None where none has."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
