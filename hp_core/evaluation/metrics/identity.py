"""Identity: whom the result looks like, by any face recognition network of ArcFace's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hp_core.evaluation.metrics.base import FACE_RULE, NO_FACE, FrameMetric, Part

if TYPE_CHECKING:
    from hp_core.face.likeness import IdentityEncoder


def embed_faces(encoder: IdentityEncoder, frames: np.ndarray, five_points: np.ndarray) -> np.ndarray:
    """Embeddings of the faces in ``frames`` (F, H, W, 3) uint8, (F, D) float64 of unit length.

    Args:
        five_points: (F, 5, 2) pixels, aligned to ArcFace's template; NaN where no face was found, which gives NaN.
    """
    from hp_core.face.crop import arcface_align

    seen = np.isfinite(five_points).all(axis=(1, 2))
    rows = {index: encoder.embed(arcface_align(frames[index], five_points[index])) for index in np.flatnonzero(seen)}
    embeddings = np.full((len(frames), len(next(iter(rows.values()), ()))), np.nan)
    for index, row in rows.items():
        embeddings[index] = row
    return embeddings


def mean_cosine(result: np.ndarray, reference: np.ndarray) -> float | None:
    """Mean over frames of the cosine similarity, -1..1, of embeddings (F, D) and (F, D) or (1, D) of unit length.

    Frames with NaN on either side are left out; None where none remains.
    """
    if 0 in (result.shape[1], reference.shape[1]):
        return None
    cosines = frame_cosine(result, reference)
    return float(np.nanmean(cosines)) if np.isfinite(cosines).any() else None


def frame_cosine(result: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cosine similarity, -1..1, frame by frame, (F,), of embeddings (F, D) and (F, D) or (1, D) of unit length; NaN where either is."""
    return np.asarray((result * reference).sum(axis=1))


def identity(encoder: IdentityEncoder, model: str) -> FrameMetric:
    """Likeness of every frame to the portrait; ``model`` names the encoder's file in the settings."""

    def compute(part: Part) -> np.ndarray:
        assert part.portrait is not None
        portrait, frames = part.portrait[None], part.clips["result"]
        at_portrait, at_frames = part.read("portrait").five_points, part.read("result").five_points
        meant = part.once_a_pair("portrait embedding", lambda: embed_faces(encoder, portrait, at_portrait))
        made = embed_faces(encoder, frames, at_frames)
        if 0 in (meant.shape[1], made.shape[1]):  # nobody is seen at all
            return np.full(len(frames), np.nan)
        return frame_cosine(made, meant)

    return FrameMetric(
        name="identity",
        title="identity similarity (cosine of ArcFace)",
        better="higher",
        inputs=("result", "portrait"),
        settings={"model": model, "aligned": "five points of MediaPipe to ArcFace's template", "negative": "kept", "faces": FACE_RULE},
        compute=compute,
        faces=True,
        why=f"{NO_FACE}: result and portrait",
    )
