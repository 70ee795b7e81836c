"""Keypoints of a person: how the 128 points are ordered, and where they come from besides DWPose (`hp_core.pose.dwpose`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hp_core.errors import OptionError, PortraitError
from hp_core.values import PoseKeypoints

if TYPE_CHECKING:
    from hp_core.values import FaceTrack

BODY, FACE, HANDS = slice(0, 18), slice(18, 86), slice(86, 128)
"""OpenPose's 18 body points, iBUG's 68 face points, 21 points of the left and 21 of the right hand."""

POINTS = 128
NOSE, NECK = 0, 1
RIGHT_EYE, LEFT_EYE, RIGHT_EAR, LEFT_EAR = 14, 15, 16, 17  # the person's own right, image left in a frontal picture
VISIBLE = 0.3
"""Least confidence of a point that counts (DWPose's rule)."""

_FROM_MEDIAPIPE = [
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,  # mouth
]  # fmt: skip
"""MediaPipe's point nearest to each of iBUG's 68."""

_BODY_25, _FROM_BODY_25 = 25, [*range(8), *range(9, 19)]
"""OpenPose's own default has the middle of the hips between the arms and the legs, and feet at the end."""

_CROWN, _NOSE_BASE, _CHIN, _TEMPLES = 10, 2, 152, (234, 454)
_NECK_BELOW_EARS = 1.2  # face heights (crown of the mesh to chin) from between the ears down to between the shoulders
_NECK_BELOW_EYES = 2.9  # the same where only five points are known, in distances from the eyes to the mouth
_GUESSED = 0.5  # confidence of a point that is estimated from others

_FRAMES_A_HEAD, _FARTHEST = 4, 3.0
"""How far somebody who is not seen may have gone: a head further for each so many frames, and so many heads at most."""


def from_track(track: FaceTrack) -> PoseKeypoints:
    """Keypoints of a face track, in pixels of its source: nose, eyes, ears, the 68 face points, and a neck estimated from the head.

    A face analyzer sees no shoulders, so there are none. The neck hangs straight below the head, whichever way that tilts. Without
    dense landmarks there are no face points and no ears.
    """
    frames = len(track)
    height, width = track.portrait.shape[:2]
    points = np.zeros((frames, POINTS, 3), np.float32)
    eyes, nose = track.five_points[:, :2], track.five_points[:, 2]

    def put(at: int, where: np.ndarray, confidence: float = 1.0) -> None:
        points[:, at, :2], points[:, at, 2] = where, confidence

    put(NOSE, nose)
    put(RIGHT_EYE, eyes[:, 0])
    put(LEFT_EYE, eyes[:, 1])
    if track.landmarks is None:
        points[:, NECK] = nose_and_neck(track.five_points)[:, NECK]
    else:
        dense = track.landmarks
        points[:, FACE, :2], points[:, FACE, 2] = dense[:, _FROM_MEDIAPIPE, :2], 1.0
        middle = dense[:, _TEMPLES, :2].mean(1)
        for at, temple in zip((RIGHT_EAR, LEFT_EAR), _TEMPLES, strict=True):
            put(at, dense[:, temple, :2], _GUESSED)
        # In space, so that a nod does not shorten it; and by the upper face, so that a mouth that opens does not lengthen it.
        upper, whole = (np.linalg.norm(dense[:, low] - dense[:, _CROWN], axis=-1) for low in (_NOSE_BASE, _CHIN))
        down = _NECK_BELOW_EARS * upper * np.median(whole / upper.clip(min=1e-6))
        put(NECK, middle + np.stack([np.zeros(frames), down], axis=1), _GUESSED)
    return PoseKeypoints(points, track.found.copy(), (width, height), f"face track ({track.analyzer})")


def nose_and_neck(five_points: np.ndarray, length: float = 1.0, lean: float = 0.0) -> np.ndarray:
    """OpenPose's 18 body points (frames, 18, 3) of five-point faces (frames, 5, 2): the nose, and a neck estimated below the eyes.

    Args:
        length: of the neck, in usual ones.
        lean: of the neck to the image right, in its lengths.
    """
    points = np.zeros((len(five_points), BODY.stop, 3), np.float32)
    eyes, mouth = five_points[:, :2].mean(1), five_points[:, 3:].mean(1)
    down = length * _NECK_BELOW_EYES * np.linalg.norm(mouth - eyes, axis=-1)
    points[:, NOSE] = np.pad(five_points[:, 2], ((0, 0), (0, 1)), constant_values=1.0)
    points[:, NECK, 0], points[:, NECK, 1], points[:, NECK, 2] = eyes[:, 0] + lean * down, eyes[:, 1] + down, _GUESSED
    return points


def from_openpose(frames: Sequence[Any], near: np.ndarray | None = None) -> PoseKeypoints:
    """Keypoints of ComfyUI's `POSE_KEYPOINT`: for each frame a dictionary with ``people``, ``canvas_width`` and ``canvas_height``.

    Args:
        frames: as OpenPose (18 or 25 body points) and the DWPose blocks write them; coordinates in pixels, or in shares of the canvas.
        near: (frames, 2) pixels, the nose of the person meant; None takes the largest in the first frame and follows it.

    Raises:
        OptionError: no frames, or another number of them than ``near`` has.
        PortraitError: something that is not of this form.
    """
    if not frames:
        raise OptionError("The pose keypoints hold no frames; connect the keypoints of the whole clip.")
    if near is not None and len(near) != len(frames):
        raise OptionError(f"The pose keypoints have {len(frames)} frames, the face track {len(near)}. Take both from the same clip.")
    people, size = [], (0, 0)
    for number, frame in enumerate(frames):
        try:
            canvas = (int(frame["canvas_width"]), int(frame["canvas_height"]))
            people.append([_person(person, canvas) for person in frame["people"]])
        except (KeyError, TypeError, ValueError) as error:
            raise PortraitError(
                f"Frame {number} of the pose keypoints is not OpenPose's JSON ({type(error).__name__}: {error}). "
                "It needs people, canvas_width and canvas_height, and each person pose_keypoints_2d."
            ) from error
        if number and canvas != size:
            raise OptionError(f"Frame {number} of the pose keypoints has a canvas of {canvas}, the first one {size}; all must have one.")
        size = canvas
    return followed(people, size, "pose keypoints", near)


def of_track(frames: Sequence[Any] | None, track: FaceTrack) -> PoseKeypoints | None:
    """`from_openpose` of the person whose face ``track`` follows; None stays None."""
    if frames is None:
        return None
    canvas = frames[0] if frames and isinstance(frames[0], dict) else {}
    width = canvas.get("canvas_width") or track.portrait.shape[1]
    return from_openpose(frames, known_noses(track)[: len(frames)] * (width / track.portrait.shape[1]))


def known_noses(track: FaceTrack) -> np.ndarray:
    """(frames, 2) pixels of the nose; NaN where the face was not found, since whoever is seen at a guessed place may be somebody else."""
    return np.where(track.found[:, None], track.five_points[:, 2], np.nan)


def nose_path(track: FaceTrack | None, frames: int) -> np.ndarray | None:
    """`known_noses` of ``track``; None without one.

    Raises:
        OptionError: the track has another number of frames.
    """
    if track is None:
        return None
    if len(track) != frames:
        raise OptionError(f"The clip has {frames} frames, the face track {len(track)}. Make both from the same frames.")
    return known_noses(track)


def to_openpose(keypoints: PoseKeypoints) -> list[dict[str, Any]]:
    """The same as ComfyUI's `POSE_KEYPOINT`, one person a frame, coordinates in pixels."""
    width, height = keypoints.size

    def flat(points: np.ndarray) -> list[float]:
        return [float(value) for value in np.where(points[:, 2:] >= VISIBLE, points, 0).ravel()]

    frames = []
    for points, found in zip(keypoints.points, keypoints.found, strict=True):
        hands = points[HANDS]
        person = {
            "pose_keypoints_2d": flat(points[BODY]),
            "face_keypoints_2d": flat(points[FACE]),
            "hand_left_keypoints_2d": flat(hands[:21]),
            "hand_right_keypoints_2d": flat(hands[21:]),
        }
        frames.append({"people": [person] if found else [], "canvas_width": width, "canvas_height": height})
    return frames


def followed(people: Sequence[Sequence[np.ndarray]], size: tuple[int, int], source: str, near: np.ndarray | None = None) -> PoseKeypoints:
    """One person through a clip: in each frame the one whose nose is nearest to ``near``, or to where it last was.

    Args:
        people: for each frame, (128, 3) of everybody seen.
        size: width and height of the frames, pixels.
        near: (frames, 2) pixels, the nose of the person meant, NaN where it is not known: then nobody is. Whoever's nose lies farther
            from it than a head is large is somebody else. None begins with the largest person of the first frame that shows one, and
            takes for somebody else whoever is farther from where that one last was than people go.
    """
    points, found = np.zeros((len(people), POINTS, 3), np.float32), np.zeros(len(people), bool)
    last: np.ndarray | None = None
    missed = 0  # frames since
    for number, candidates in enumerate(people):
        heads = 1.0 if near is not None else min(1 + missed / _FRAMES_A_HEAD, _FARTHEST)
        seen = [person for person in candidates if person[NOSE, 2] >= VISIBLE]
        chosen = _person_at(seen, last if near is None else near[number], heads)
        missed = 0 if chosen is not None else missed + 1
        if chosen is not None:
            points[number], found[number], last = chosen, True, chosen[NOSE, :2]
    return PoseKeypoints(points, found, size, source)


def _person_at(seen: Sequence[np.ndarray], nose: np.ndarray | None, heads: float) -> np.ndarray | None:
    """Whoever's nose is nearest to ``nose``, at most so many of their own ``heads`` away; the largest where None is asked for."""
    if nose is None:
        return max(seen, key=_extent, default=None)

    def distance(person: np.ndarray) -> float:
        return float(np.linalg.norm(person[NOSE, :2] - nose))

    nearest = min(seen, key=distance, default=None)
    return nearest if nearest is not None and distance(nearest) <= heads * _head(nearest) else None  # of NaN nothing is within reach


def with_necks(points: np.ndarray, track: FaceTrack) -> tuple[np.ndarray, int]:
    """Points (frames, 128, 3) with a neck in every frame, and the number of frames that lacked one: a body is drawn from its neck.

    It hangs where the face track has it (`from_track`), as long as those of the other frames, in the median.
    """
    lacking = points[:, NECK, 2] < VISIBLE
    if not lacking.any():
        return points, 0
    guessed = from_track(track).points[: len(points)]
    hanging = guessed[:, NECK, :2] - guessed[:, NOSE, :2]
    seen = np.linalg.norm(points[~lacking, NECK, :2] - points[~lacking, NOSE, :2], axis=1) / np.linalg.norm(hanging[~lacking], axis=1)
    out = points.copy()
    out[lacking, NECK, :2] = points[lacking, NOSE, :2] + hanging[lacking] * (np.median(seen) if len(seen) else 1.0)
    out[lacking, NECK, 2] = _GUESSED
    return out, int(lacking.sum())


def filled(keypoints: PoseKeypoints, rule: str) -> PoseKeypoints:
    """Frames without the person by ``rule``: `hold` repeats the one before, `interpolate` goes over to the next; both hold at the ends.

    Raises:
        PortraitError: no frame shows the person, or one does not and the rule is `error`.
    """
    missing = np.flatnonzero(~keypoints.found)
    if not len(missing):
        return keypoints
    if len(missing) == len(keypoints):
        raise PortraitError(
            f"No person in any of {len(keypoints)} frames of the {keypoints.source}. Take the face track's keypoints, "
            "or set the pose mode to released: black."
        )
    if rule == "error":
        raise PortraitError(
            f"No person in frame {missing[0]} of the {keypoints.source}, {len(missing)} of {len(keypoints)} in all. "
            "Fill such frames by hold or interpolate (the pose's on_missing, `--pose-missing`)."
        )
    known = np.flatnonzero(keypoints.found)
    after = known[np.searchsorted(known, np.arange(len(keypoints))).clip(max=len(known) - 1)]
    before = known[(np.searchsorted(known, np.arange(len(keypoints)), side="right") - 1).clip(min=0)]
    points = keypoints.points.copy()
    for frame in missing:
        first, last = keypoints.points[before[frame]], keypoints.points[after[frame]]
        if rule == "hold" or before[frame] >= frame or after[frame] <= frame:
            points[frame] = first if before[frame] < frame else last
            continue
        share = (frame - before[frame]) / (after[frame] - before[frame])
        points[frame] = first + (last - first) * share
        points[frame, :, 2] = np.minimum(first[:, 2], last[:, 2])  # a point that only one of them has is nowhere between
    return PoseKeypoints(points, keypoints.found, keypoints.size, keypoints.source)


def _person(person: dict[str, Any], canvas: tuple[int, int]) -> np.ndarray:
    """(128, 3); parts that are absent have a confidence of 0."""
    body = np.asarray(person["pose_keypoints_2d"] or np.zeros((BODY.stop, 3)), np.float32).reshape(-1, 3)
    if len(body) not in (BODY.stop, _BODY_25):
        raise ValueError(f"pose_keypoints_2d has {len(body)} points, not OpenPose's {BODY.stop} or {_BODY_25}")
    parts = [
        (body if len(body) == BODY.stop else body[_FROM_BODY_25], BODY.stop),
        (person.get("face_keypoints_2d"), 68),
        (person.get("hand_left_keypoints_2d"), 21),
        (person.get("hand_right_keypoints_2d"), 21),
    ]
    points = np.zeros((POINTS, 3), np.float32)
    start = 0
    for values, count in parts:
        if values is not None and len(values):
            given = np.asarray(values, np.float32).reshape(-1, 3)[:count]  # of OpenPose's 70 face points the last two are pupils
            points[start : start + len(given)] = given
        start += count
    points[~np.isfinite(points).all(-1)] = 0
    shown = points[points[:, 2] >= VISIBLE, :2]
    if len(shown) and np.median(shown) <= 1:  # of the canvas, past whose edge some points may lie
        points[:, :2] *= canvas
    return points


def _head(person: np.ndarray) -> float:
    """About the size of the head, pixels: the largest of ear to ear, twice eye to eye, and nose to neck; no limit where none is seen."""
    spans = (((RIGHT_EAR, LEFT_EAR), 1), ((RIGHT_EYE, LEFT_EYE), 2), ((NOSE, NECK), 1))
    seen = [times * float(np.linalg.norm(person[a, :2] - person[b, :2])) for (a, b), times in spans if person[[a, b], 2].min() >= VISIBLE]
    return max((span for span in seen if span > 0), default=float("inf"))


def _extent(person: np.ndarray) -> float:
    shown = person[person[:, 2] >= VISIBLE, :2]
    return float(np.prod(np.ptp(shown, axis=0)))
