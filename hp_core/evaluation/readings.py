"""What a face does in one picture, read by MediaPipe in the terms of `hp_core.demo.performance.Performance`.

MediaPipe's blendshapes were learnt on photographs and are weak on drawings, so each reading takes what follows the truth of the
drawn faces best among those that also mean the same on a photograph. Shapes of mouth and eyes are measured on the 478 points turned
to the front by the head transform, in distances between the eyes. The scales are regressions on the drawn faces; compare
readings with readings, or by correlation.

MediaPipe does not see a face and its mirror image alike, and errs most where a picture has few pixels. Every number is therefore the
mean of what it reads in both, as detectors of poses are commonly tested.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hp_core.evaluation.clip_readings import VALUES

if TYPE_CHECKING:
    from pathlib import Path

    from hp_core.face.analyzer import Face

SMALLEST_SIDE = 384
"""Frames are enlarged to this shorter side, in pixels: MediaPipe misses details of smaller ones."""

_BROW_DOWN, _BROW_INNER_UP, _BROW_OUTER_UP = [1, 2], 3, [4, 5]
_BLINK = 10, 9  # image left, right: MediaPipe's own left and right are the person's
_LOOK_DOWN, _LOOK_UP = [11, 12], [17, 18]
_LOOK_RIGHT, _LOOK_LEFT = [14, 15], [13, 16]  # of the image: inwards and outwards of either eye
_FUNNEL = 32
_EYES = (33, 133, 159, 468), (362, 263, 386, 473)  # corners from image left to right, upper lid, iris
_BROWS = [52, 65, 105, 66, 282, 295, 334, 296]
_INNER_LIPS = [13, 82, 312], [14, 87, 317]
_MOUTH_CORNERS = [61, 291]
_TURNED_ROUND = "yaw", "roll", "gaze_x"
_OTHER_SIDE = {"blink_left": "blink_right", "blink_right": "blink_left"}


@dataclass(frozen=True, eq=False)
class Reading:
    """What one face does; directions and ranges as in `Performance`, though noise may carry a value beyond its range.

    Attributes:
        landmarks: (478, 2) float32 in pixels of the frame as it was given; not of its mirror image.
        yaw, pitch, roll: degrees, from the head transform.
        jaw: opening between the inner lips at three places.
        smile: height of the mouth's corners over the middles of both inner lips; the blendshapes know no frown on a drawing.
        pucker: how narrow the mouth is for the height of its corners, and the blendshape mouthFunnel.
        brows: height of the brows over the eyes, and the brow blendshapes.
        blink_left, blink_right: twice the blendshape eyeBlink of the eye at the image left and right, at most 1; about 0.4 in a wink.
        gaze_x: place of the irises between the corners of the eyes, and the blendshapes eyeLookIn and Out in equal parts.
        gaze_y: height of irises and upper lids over the corners, and eyeLookUp and Down; neither gaze means anything in a closed eye.
    """

    landmarks: np.ndarray
    yaw: float
    pitch: float
    roll: float
    jaw: float
    smile: float
    pucker: float
    brows: float
    blink_left: float
    blink_right: float
    gaze_x: float
    gaze_y: float


@dataclass(frozen=True, eq=False)
class FullReading(Reading):
    """A reading, and beside it the blendshapes of the frame as MediaPipe gives them, (52,) float32 in 0..1."""

    blendshapes: np.ndarray


class MotionReader:
    """Reads the largest face of a frame with `hp_core.face.mediapipe.MediaPipeAnalyzer`; a context manager.

    Raises:
        FaceError: the package ``mediapipe`` or its model is absent.
    """

    def __init__(self, *, model: Path | None = None) -> None:
        from hp_core.face.mediapipe import MediaPipeAnalyzer

        self._analyzer = MediaPipeAnalyzer(model=model, max_faces=1)

    def __enter__(self) -> MotionReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the native session; closing twice is harmless."""
        self._analyzer.close()

    def read(self, frame: np.ndarray) -> FullReading | None:
        """The reading of ``frame`` (height, width, 3) uint8 RGB, None where no face is found.

        Where the mirror image shows none, the numbers are those of the frame alone.

        Raises:
            ImageError: ``frame`` has another shape or type.
            FaceError: the reader was closed.
        """
        import cv2

        from hp_core.image import check_picture

        check_picture(frame)
        factor = max(SMALLEST_SIDE / min(frame.shape[:2]), 1.0)
        if factor > 1:
            height, width = (round(side * factor) for side in frame.shape[:2])
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)
        faces = self._analyzer.detect(frame)
        if not faces:
            return None
        reading = _reading(faces[0], factor)
        mirrored = self._analyzer.detect(np.ascontiguousarray(frame[:, ::-1]))
        return _with_mirrored(reading, _reading(mirrored[0], factor)) if mirrored else reading


def _with_mirrored(reading: FullReading, mirrored: FullReading) -> FullReading:
    """``reading`` with its numbers averaged with those of the mirror image."""

    def mirrored_back(name: str) -> float:
        value: float = getattr(mirrored, _OTHER_SIDE.get(name, name))
        return -value if name in _TURNED_ROUND else value

    return replace(reading, **{name: (getattr(reading, name) + mirrored_back(name)) / 2 for name in VALUES})


def _reading(face: Face, factor: float) -> FullReading:
    landmarks, shapes, transform, angles = face.landmarks, face.blendshapes, face.head_transform, face.head_angles
    assert landmarks is not None  # MediaPipe gives all of them
    assert shapes is not None
    assert transform is not None
    assert angles is not None
    yaw, pitch, roll = angles
    rotation = transform[:3, :3] / np.linalg.norm(transform[:3, :3], axis=0)
    points = _to_the_front(landmarks, rotation)
    corners = points[_MOUTH_CORNERS]
    width, height = float(np.linalg.norm(corners[0] - corners[1])), corners[:, 1].mean()
    upper, lower = (points[lips] for lips in _INNER_LIPS)
    over_upper, over_lower = upper[0, 1] - height, lower[0, 1] - height
    brows = shapes[_BROW_INNER_UP] + shapes[_BROW_OUTER_UP].mean() - shapes[_BROW_DOWN].mean()
    lid_to_brow = np.mean([points[eye[:2], 1].mean() for eye in (_EYES[0], _EYES[1])]) - points[_BROWS, 1].mean()
    iris_x, iris_y, lid = np.mean([_eye(points[list(eye)]) for eye in _EYES], axis=0)
    look_x = shapes[_LOOK_RIGHT].sum() - shapes[_LOOK_LEFT].sum()
    look_y = shapes[_LOOK_DOWN].sum() - shapes[_LOOK_UP].sum()
    return FullReading(
        landmarks=(landmarks[:, :2] / factor).astype(np.float32),
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        jaw=float(1.93 * np.linalg.norm(upper - lower, axis=1).mean() - 0.04),
        smile=float(5.7 * over_upper + 2.5 * over_lower + 0.02),
        pucker=float(1.36 - 1.46 * width + 1.17 * (over_upper + over_lower) + 0.55 * shapes[_FUNNEL]),
        brows=float(0.46 * brows + 2.4 * lid_to_brow - 1.63),
        blink_left=min(2 * float(shapes[_BLINK[0]]), 1.0),
        blink_right=min(2 * float(shapes[_BLINK[1]]), 1.0),
        gaze_x=float(2.5 * iris_x + 0.24 * look_x),
        gaze_y=float(4.7 * iris_y - 3.3 * lid + 0.12 * look_y + 1.27),
        blendshapes=shapes,
    )


def _to_the_front(landmarks: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(478, 3) landmarks as if the face looked straight ahead: x right and y down, in distances between the eyes."""
    turned = (landmarks * (1, -1, -1)) @ rotation * (1, -1, -1)
    middles = [turned[list(eye[:2])].mean(axis=0) for eye in _EYES]
    return turned / np.linalg.norm(middles[0] - middles[1])


def _eye(points: np.ndarray) -> tuple[float, float, float]:
    """How far the iris is right of and below the middle of the eye, and the lid above it, in widths of the eye."""
    left, right, lid, iris = points
    across, middle = right - left, (left + right) / 2
    width = float(np.linalg.norm(across))
    return float((iris - middle) @ across) / width**2, float(iris[1] - middle[1]) / width, float(middle[1] - lid[1]) / width
