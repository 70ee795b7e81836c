"""Landmark distance: how far the result's face points lie from the truth's."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hp_core.evaluation.metrics.base import FACE_RULE, NO_FACE, Better, Outcome, Part, Score, Setting

EYE_CORNERS = [33, 263]  # the outer ones, in MediaPipe's numbering
NOSE_TIP = 1  # in MediaPipe's numbering

NoseOrigin = Literal["picture", "first", "mean"]


def frame_landmark_distance(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean Euclidean distance over the landmarks of each frame, (F,) float64, in percent of the truth's face width.

    Both are read by one detector in their own pictures, nothing is aligned: a head in the wrong place counts. The width is the
    horizontal extent of the truth's landmarks, the mean over the clip, so that a turned head is not judged by a smaller unit.

    Args:
        result, truth: (F, n, 2) pixels; NaN where the face was not found, which gives NaN. See the share of detection beside it.
    """
    return 100 * landmark_distance(result, truth) / face_width(truth)


def landmark_distance(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean Euclidean distance over the landmarks (F, n, 2) of each frame, (F,), in their unit; NaN where either is."""
    return np.asarray(np.linalg.norm(result - truth, axis=2).mean(axis=1))


def frame_nose_distance(result: np.ndarray, truth: np.ndarray, *, origin: NoseOrigin) -> np.ndarray:
    """How far the nose tip lies from the truth's, (F,) float64, in percent of the truth's face width.

    Args:
        result, truth: as `frame_landmark_distance` takes them.
        origin: what each nose's place is counted from: the ``picture``; its place in the ``first`` frame that shows both, whose own
            error then counts in every frame; or its ``mean`` place over the frames that show both, as trajectories are compared
            (the absolute trajectory error of Sturm et al. 2012, aligned by translation alone).
    """
    nose, true = result[:, NOSE_TIP], truth[:, NOSE_TIP]
    if origin != "picture":
        both = np.flatnonzero(np.isfinite(nose).all(-1) & np.isfinite(true).all(-1))
        if not len(both):
            return np.full(len(truth), np.nan)
        counted = both[:1] if origin == "first" else both
        nose, true = nose - nose[counted].mean(0), true - true[counted].mean(0)
    return 100 * np.linalg.norm(nose - true, axis=-1) / face_width(truth)


def face_width(landmarks: np.ndarray) -> float:
    """Pixels across the landmarks (F, n, 2), the mean over the frames that have them; NaN where none has."""
    seen = np.isfinite(landmarks).all(axis=(1, 2))
    return float(np.ptp(landmarks[seen, :, 0], axis=1).mean()) if seen.any() else float("nan")


UNITS = {
    "lmd_px": ("LMD (pixels)", "1 pixel"),
    "lmd_side": ("LMD (% of the picture's side)", "the truth's width for x and its height for y, as MediaPipe's normalised coordinates"),
    "lmd_eyes": ("LMD (% of the inter-ocular distance)", "distance of the outer corners of the truth's eyes, mean over the clip"),
}
"""Titles of the three LMDs and what they are divided by."""


class LandmarkMeanDistance:
    """LMD over MediaPipe's 478 points (paper A), in one of `UNITS`; a `Metric`.

    Both faces are read in their own pictures and nothing is aligned: a head in the wrong place counts.
    """

    better: Better = "lower"
    inputs: tuple[str, ...] = ("result", "truth")
    faces: bool = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.title, unit = UNITS[name]
        self.settings: dict[str, Setting] = {"points": "MediaPipe's 478", "unit": unit, "aligned": False, "faces": FACE_RULE}

    def start(self) -> Score:
        return _LmdScore(self.name)


class _LmdScore:
    def __init__(self, name: str) -> None:
        self.name = name
        self.distances: list[np.ndarray] = []
        self.eyes: list[np.ndarray] = []

    def add(self, part: Part) -> None:
        result, truth = part.read("result").landmarks, part.read("truth").landmarks
        if self.name == "lmd_side":
            height, width = part.clips["truth"].shape[1:3]
            result, truth = (100 * points / (width, height) for points in (result, truth))
        self.distances.append(landmark_distance(result, truth))
        left, right = (part.read("truth").landmarks[:, corner] for corner in EYE_CORNERS)
        self.eyes.append(np.linalg.norm(left - right, axis=1))

    def outcome(self) -> Outcome:
        distances, eyes = np.concatenate(self.distances), np.concatenate(self.eyes)
        seen = np.isfinite(distances)
        # One unit a clip: a turned head, whose eyes lie closer, is not judged by a smaller one.
        values = 100 * distances / np.mean(eyes[seen]) if self.name == "lmd_eyes" and seen.any() else distances
        frames = tuple(float(value) if known else None for value, known in zip(values, seen, strict=True))
        return Outcome(float(values[seen].mean()), frames=frames) if seen.any() else Outcome(None, NO_FACE, frames)
