"""Pose Align: the driver's skeleton brought onto the portrait, or the released black (paper 3.5).

Every frame is moved, scaled and turned as a whole, so no point leaves its relation to its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from hp_core.checks import check_range
from hp_core.config import AlignConfig
from hp_core.errors import OptionError, PortraitError
from hp_core.pose.draw import EYE_POINTS, LIMBS
from hp_core.pose.keypoints import BODY, FACE, HANDS, NECK, NOSE, VISIBLE, filled, from_track, with_necks
from hp_core.progress import Notice, Stage
from hp_core.values import FaceTrack, PoseKeypoints, PoseMaps, in_square

_UPPER_FACE = [33, 263, 133, 362, 168, 6, 2, 234, 454]
"""MediaPipe's corners of the eyes, bridge and base of the nose, and temples."""

_EDGES = [edge for edge in LIMBS if not set(edge) & set(EYE_POINTS)]
"""The skeleton's lengths that are compared: those to eyes and ears shrink as the head turns."""

_NOTHING_TO_MEASURE = (
    "The portrait's and the driver's skeleton have no edge in common, or none with a length, to be compared by. Take the face tracks' "
    "keypoints, or set the pose mode to identity (same framing) or released (black)."
)


def black_pose(frames: int, size: tuple[int, int]) -> PoseMaps:
    """The released inference's pose: all black, one map for every frame.

    Args:
        frames: length of the clip.
        size: (height, width) in pixels.

    Raises:
        OptionError: no frames.
    """
    check_range("frames", frames, 1)
    return PoseMaps(torch.zeros(1, 3, *size, dtype=torch.uint8), torch.zeros(frames, dtype=torch.long), "black")


def align_pose(
    driving: FaceTrack,
    portrait: FaceTrack,
    config: AlignConfig = AlignConfig(),
    *,
    driving_keypoints: PoseKeypoints | None = None,
    portrait_keypoints: PoseKeypoints | None = None,
) -> Stage[PoseMaps]:
    """One map for each frame of ``driving``, of the size of the portrait's square crop.

    Args:
        driving_keypoints, portrait_keypoints: of the whole pictures the tracks were made from; None takes what the face track
            shows (`from_track`).

    Raises:
        OptionError: keypoints of another clip or picture, a reference frame beyond the last, a face track that is to be levelled, or
            a style that draws nothing.
        PortraitError: nobody in any frame, or nothing to measure the two skeletons by.
    """
    size = portrait.portrait_crop.shape[0]
    if not config.draws_skeleton:
        return black_pose(len(driving), (size, size))
    check_drawn(config, estimated=driving_keypoints is None or portrait_keypoints is None)
    moving = _of_clip("driving", driving, driving_keypoints, frames=len(driving))
    if config.reference >= len(moving):
        raise OptionError(f"reference is frame {config.reference}; the clip has {len(moving)} frames, so 0 to {len(moving) - 1}, or -1.")
    if config.reference < 0:
        config = replace(config, reference=closest_pose_frame(driving.five_points, portrait.five_points[0]))
    missing = int((~moving.found).sum())
    if missing:
        yield Notice(f"{missing} of {len(moving)} frames of the {moving.source} show nobody and were filled by {config.on_missing}.")
    seen = filled(moving, config.on_missing).points
    points, five_points = driving.in_first_square(seen), driving.in_first_square(driving.five_points)
    drawn, estimated = with_necks(seen, driving) if config.style.body else (seen, 0)
    if estimated:
        yield Notice(
            f"The neck is not seen in {estimated} of {len(moving)} frames of the {moving.source}; there the face track's is drawn."
        )
    if config.mode == "identity":
        x1, y1, x2, _ = driving.square_of(0)
        fit = Alignment(size / (x2 - x1), (-x1 * size / (x2 - x1), -y1 * size / (x2 - x1)))
    else:
        standing = _of_clip("portrait", portrait, portrait_keypoints, frames=1)
        target = in_square(filled(standing, "error").points[0], portrait.square, size)
        tracked = driving_keypoints is None or portrait_keypoints is None  # with necks that are estimated, and no measure
        scale = None if tracked else length_ratio(points, target)
        if scale is None:
            x1, _, x2, _ = portrait.square
            scale = face_ratio(five_points, portrait.five_points[0]) * size / (x2 - x1)
            if not tracked:
                yield Notice("Driver and portrait show no edge of the body that both have; their faces are compared in size.")
        fit = fitted(points, target, level=config.level, reference=config.reference, scale=scale)
    aligned = steadied(fit.apply(driving.in_first_square(drawn)), head_sizes(driving), config)
    parts = {"body": BODY, "face": FACE, "hands": HANDS}
    if not any(getattr(config.style, name) and (aligned[:, part, 2] >= VISIBLE).any() for name, part in parts.items()):
        asked = ", ".join(name for name in parts if getattr(config.style, name))
        raise OptionError(f"Of what is to be drawn ({asked}) the {moving.source} shows nothing. Draw the body, or take DWPose's keypoints.")
    return PoseMaps(
        maps=torch.zeros(0, 3, size, size, dtype=torch.uint8),
        index=torch.arange(len(aligned)),
        mode=config.mode,
        skeletons=aligned,
        style=str(config.style),
        scale=fit.scale,
        offset=fit.offset,
    )


def head_sizes(track: FaceTrack) -> np.ndarray:
    """(frames,) sizes of the head over the clip in any unit: neither speech nor arms that move change them, and turns little.

    By points of the upper face in space, where there are dense landmarks; else by the five points in the picture.
    """
    points = track.five_points if track.landmarks is None else track.landmarks[:, _UPPER_FACE]
    sizes = _spread(points.astype(np.float64))
    return sizes if track.squares is None else np.asarray(sizes / (track.squares[:, 2] - track.squares[:, 0]))


def check_drawn(config: AlignConfig, *, estimated: bool) -> None:
    """Raise `OptionError` where the mode asks for a skeleton of which the style draws nothing, or for a turn that cannot be had.

    Args:
        estimated: a neck is a face track's.
    """
    if config.draws_skeleton and not (config.style.body or config.style.face or config.style.hands):
        raise OptionError(
            f"The pose mode is {config.mode}, and neither body, face nor hands are drawn (eyes are a part of body and face), which leaves "
            "the pose black. Draw one of them, or set the mode to released."
        )
    if config.level and config.mode == "identity":
        raise OptionError(
            "level turns the skeleton, and the mode identity leaves it where it is. Leave level out, or set the mode to paper."
        )
    if config.level and estimated:
        raise OptionError(
            "level turns by the angle between two necks, and a face track's is only estimated, straight below the head. Leave level out, "
            "or give the keypoints of DWPose."
        )


def face_ratio(points: np.ndarray, target: np.ndarray) -> float:
    """How much larger the face ``target`` (5, 2) is than those of a clip, ``points`` (frames, 5, 2), median over the frames.

    By the five points' distances from their middle: people's faces differ less in these than in where a neck is estimated below
    them, which mouth and chin move too.
    """
    ours, theirs = _spread(target.astype(np.float64)), _spread(points.astype(np.float64))
    return float(ours / np.median(theirs))


def _spread(faces: np.ndarray) -> np.ndarray:
    """(...,) root of the summed squared distances of points (..., n, 2 or 3) from their middle."""
    return np.asarray(np.linalg.norm(faces - faces.mean(axis=-2, keepdims=True), axis=(-2, -1)).clip(min=1e-9))


def closest_pose_frame(points: np.ndarray, target: np.ndarray) -> int:
    """The frame of ``points`` (frames, 5, 2) whose face, moved and scaled onto ``target`` (5, 2), lies nearest to it: a nose laid onto
    another's says where the head is only if both are turned alike."""

    def shape(faces: np.ndarray) -> np.ndarray:
        return np.asarray((faces - faces.mean(axis=-2, keepdims=True)) / _spread(faces)[..., None, None])

    apart = np.linalg.norm(shape(points.astype(np.float64)) - shape(target.astype(np.float64)), axis=(-2, -1))
    return int(apart.argmin())


@dataclass(frozen=True)
class Alignment:
    """``scale * turned(point, angle) + offset``.

    Attributes:
        scale: target's pixels for one of the source.
        offset: x and y, target's pixels.
        angle: radians, from x to y.
    """

    scale: float
    offset: tuple[float, float]
    angle: float = 0.0

    def apply(self, points: np.ndarray) -> np.ndarray:
        """points (..., 3) with their confidences."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        out = points.astype(np.float64)
        out[..., :2] = self.scale * out[..., :2] @ np.array([[cos, sin], [-sin, cos]]) + self.offset
        return out.astype(np.float32)


def fitted(points: np.ndarray, target: np.ndarray, *, level: bool = False, reference: int = 0, scale: float | None = None) -> Alignment:
    """The paper's rule: the nose of frame ``reference`` comes to lie on the target's, the skeleton takes on its length.

    The length is the sum over the edges of `LIMBS` that both show, without those to eyes and ears, each edge's median over the
    clip, so that the figure does not breathe.

    Args:
        points: (frames, 128, 3), the driver's.
        target: (128, 3), the portrait's.
        level: turn by the angle between the two necks too.
        scale: target's pixels for one of the driver's, where something better than the lengths is known.

    Raises:
        PortraitError: no edge that both show, or none with a length.
    """
    scale = length_ratio(points, target) if scale is None else scale
    if scale is None:
        raise PortraitError(_NOTHING_TO_MEASURE)
    angle = 0.0
    if level:
        for who, frame in (("driver", points[reference]), ("portrait", target)):
            if frame[[NOSE, NECK], 2].min() < VISIBLE:
                raise PortraitError(f"level turns by the angle between two necks, and the {who}'s is not seen. Leave level out.")
        (ax, ay), (bx, by) = (frame[NOSE, :2].astype(np.float64) - frame[NECK, :2] for frame in (points[reference], target))
        angle = float(np.arctan2(ax * by - ay * bx, ax * bx + ay * by))
    nose = Alignment(scale, (0.0, 0.0), angle).apply(points[reference, NOSE])
    return Alignment(scale, (float(target[NOSE, 0] - nose[0]), float(target[NOSE, 1] - nose[1])), angle)


def steadied(points: np.ndarray, sizes: np.ndarray, config: AlignConfig) -> np.ndarray:
    """Less or more of the head's movement and change of size since ``config.reference``, 0 or more, or none of it along a locked axis.

    points (frames, 128, 3) -> the same; each frame is moved and scaled about its nose as a whole.

    Args:
        sizes: (frames,) of the head in any unit (`head_sizes`).
    """
    strength = np.where([config.lock_x, config.lock_y], 0.0, config.strength)
    growing = 0.0 if config.lock_scale else config.strength
    if growing == 1 and (strength == 1).all():
        return points
    out = points.astype(np.float64)
    nose = out[:, NOSE, :2].copy()
    place = nose[config.reference] + strength * (nose - nose[config.reference])
    growth = (sizes / sizes[config.reference]) ** (growing - 1)
    out[..., :2] = place[:, None] + growth[:, None, None] * (out[..., :2] - nose[:, None])
    return out.astype(np.float32)


def _of_clip(name: str, track: FaceTrack, keypoints: PoseKeypoints | None, *, frames: int) -> PoseKeypoints:
    if keypoints is None:
        own = from_track(track)
        return PoseKeypoints(own.points[:frames], np.ones(frames, bool), own.size, own.source)  # the track has filled its gaps itself
    height, width = track.portrait.shape[:2]
    if len(keypoints) not in (len(track), frames):
        raise OptionError(
            f"The {name} keypoints have {len(keypoints)} frames, its face track {len(track)}. Take both from the same frames."
        )
    points, found = keypoints.points[:frames], keypoints.found[:frames]
    if keypoints.size == (width, height):
        return replace(keypoints, points=points, found=found)
    across, down = width / keypoints.size[0], height / keypoints.size[1]
    if abs(across / down - 1) > 0.02:
        raise OptionError(
            f"The {name} keypoints were made on {keypoints.size[0]}x{keypoints.size[1]} pixels, its face track on {width}x{height}: "
            "of another shape. Take both from the same picture."
        )
    scaled = points * np.array([across, down, 1], np.float32)
    return PoseKeypoints(scaled, found, (width, height), keypoints.source)


def length_ratio(points: np.ndarray, target: np.ndarray) -> float | None:
    """How much longer the skeleton ``target`` (128, 3) is than those of a clip, ``points`` (frames, 128, 3), see `fitted`; None where
    they show no edge that both have.

    Raises:
        PortraitError: the edges have no length.
    """
    lengths = np.array([(_lengths(target[None], edge)[0], _median(_lengths(points, edge))) for edge in _EDGES])
    common = lengths[np.isfinite(lengths).all(axis=1)]
    if not len(common):
        return None
    ours, theirs = common.sum(axis=0)
    if not min(ours, theirs) > 0:
        raise PortraitError(_NOTHING_TO_MEASURE)
    return float(ours / theirs)


def _lengths(points: np.ndarray, edge: tuple[int, int]) -> np.ndarray:
    """(frames,), NaN where an end is missing."""
    first, second = points[:, edge[0]], points[:, edge[1]]
    shown = np.minimum(first[:, 2], second[:, 2]) >= VISIBLE
    return np.where(shown, np.linalg.norm(first[:, :2].astype(np.float64) - second[:, :2], axis=-1), np.nan)


def _median(lengths: np.ndarray) -> float:
    return float(np.nanmedian(lengths)) if np.isfinite(lengths).any() else float("nan")
