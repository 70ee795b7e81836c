"""Identity: whom the result looks like, by any face recognition network of ArcFace's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hp_core.appearance.encode import IdentityEncoder


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
    cosines = (result * reference).sum(axis=1)
    return float(np.nanmean(cosines)) if np.isfinite(cosines).any() else None
