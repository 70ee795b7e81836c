"""From consecutive frames of a real video to a training clip, or to the reason why it is none (`hp_core.training.prepare`)."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hp_core.config import FaceConfig
from hp_core.errors import FaceError, PortraitError
from hp_core.face.analyzer import Face, FaceAnalyzer
from hp_core.face.crop import crop_square, square_box
from hp_core.face.shots import CUT, Shots
from hp_core.face.track import FaceTracker
from hp_core.pose.keypoints import BODY, filled, followed, known_noses
from hp_core.training.clips import Clip
from hp_core.values import FaceTrack, Square, in_square

if TYPE_CHECKING:
    from hp_core.pose.dwpose import DwposeEstimator
    from hp_core.training.prepare import PrepareOptions

COMPARABLE_AREA = 0.5  # of the followed face: a second face this large makes a clip one of two people


@dataclass(frozen=True)
class Dropped:
    """Why frames do not become a clip: ``reason`` to count by, ``detail`` with the numbers of this one."""

    reason: str
    detail: str


class ClipMaker:
    """Follows the largest face through the ``length`` frames of a clip to be, and crops it.

    The square is that of the first frame with a face and kept, as in released preprocessing; the motion crops and points are
    `FaceTracker`'s, interpolated where a frame lacks the face.

    Args:
        estimator: of body points, for videos that bring none.
    """

    def __init__(
        self, analyzer: FaceAnalyzer, config: FaceConfig, options: PrepareOptions, length: int, estimator: DwposeEstimator | None = None
    ):
        self.config, self.options, self.length = config, options, length
        self._estimator, self._people = estimator, list[list[np.ndarray]]()
        self.square: Square | None = None
        self._analyzer, self._seen = analyzer, _Seen(analyzer)
        self._tracker = FaceTracker(self._seen, config, which="largest", on_missing="interpolate")
        self._faces: list[Face | None] = []  # of the followed person, frame by frame
        self._last: Face | None = None
        self._shots = Shots()
        self._waiting: list[np.ndarray] = []  # frames before the first face
        self._crops: list[np.ndarray] = []

    def add(self, image: np.ndarray) -> Dropped | None:
        """The next frame, (height, width, 3) uint8 RGB; says as early as it is known that the clip is lost."""
        change = self._shots.change(image)
        if change >= CUT:  # a window over the seam would teach that one person becomes another
            return Dropped("cut", f"frame {len(self._faces)}: change of {change:.0f}, limit {CUT:g}")
        faces = self._seen.faces = self._analyzer.detect(image)
        try:
            self._tracker.add(image)
            face = self._tracker.face
            self._faces.append(face)
            self._last = face or self._last
            self._crop(image)
            if self._estimator is not None:
                self._people.append(self._estimator.people(image))
                self._size = (image.shape[1], image.shape[0])
        except FaceError as error:  # too small to crop, or gone for too long
            return Dropped("face lost", str(error))
        return self._several(faces, face) or self._too_few()

    def finish(self, key: str, person: str, fps: Fraction, keypoints: np.ndarray | None) -> Clip | Dropped:
        """The clip of all frames added; ``keypoints`` (length, 18, 3), x and y in source pixels, in the place of the estimator's."""
        self._seen.faces = []  # nobody needs the portrait's own points
        try:
            track = self._tracker.finish(fps)
        except FaceError as error:
            return Dropped("no face", str(error))
        assert self.square is not None
        rotation = self._rotation()
        crop_points = np.stack([self._mapped(points) for points in track.five_points])
        if self._estimator is not None and keypoints is None:
            keypoints = self._followed(track)
        problem = self._small() or self._turned(rotation) or self._outside(crop_points)
        if problem:
            return problem
        return Clip(
            key=key,
            person=person,
            fps=fps,
            frames=np.stack(self._crops),
            motion_crops=track.motion_crops,
            head_crops=track.head_crops,
            five_points=track.five_points,
            crop_points=crop_points,
            rotation=rotation,
            landmarks=self._landmarks(track),
            keypoints=None if keypoints is None else np.stack([self._body(points) for points in keypoints]),
        )

    def _followed(self, track: FaceTrack) -> np.ndarray | None:
        """(length, 18, 3) body points of the estimator, those of frames without any as inference fills them; None where none has any."""
        found = followed(self._people, self._size, "DWPose", known_noses(track))
        return filled(found, "interpolate").points[:, BODY] if found.found.any() else None

    @property
    def filled(self) -> list[int]:
        """Frames without the face, whose points are interpolated."""
        return [index for index, face in enumerate(self._faces) if face is None]

    def _crop(self, image: np.ndarray) -> None:
        self._waiting.append(image)
        if self._last is None:
            return
        if self.square is None:
            self.square = square_box(self._last.box, image.shape[:2], growth=self.config.square_growth)
        self._crops += [np.asarray(crop_square(waiting, self.square, self.config.image_size)) for waiting in self._waiting]
        self._waiting = []

    def _several(self, faces: list[Face], face: Face | None) -> Dropped | None:
        if face is None or not self.options.one_face:
            return None
        second = max((other.area for other in faces if other is not face and not _overlap(other, face)), default=0.0)
        share = second / max(face.area, 1.0)
        if share < COMPARABLE_AREA:
            return None
        return Dropped(
            "several faces", f"frame {len(self._faces) - 1}: another face of {share:.2f} times the area, limit {COMPARABLE_AREA}"
        )

    def _too_few(self) -> Dropped | None:
        missing = len(self.filled)
        if (self.length - missing) / self.length >= self.options.min_found:
            return None
        seen = len(self._faces)
        if missing == seen:
            return Dropped("no face", f"none in the first {seen} of {self.length} frames")
        return Dropped(
            "face lost", f"missing in {missing} of the first {seen} of {self.length} frames, min_found {self.options.min_found:g}"
        )

    def _small(self) -> Dropped | None:
        side = float(np.median([(face.box[2:] - face.box[:2]).min() for face in self._faces if face is not None]))
        limit = self.options.min_face
        return Dropped("small face", f"box of {side:.0f} pixels, min_face {limit}") if side < limit else None

    def _turned(self, rotation: np.ndarray | None) -> Dropped | None:
        yaw = 0.0 if rotation is None else float(np.median(np.abs(rotation[:, 0])))
        limit = self.options.max_yaw
        return Dropped("turned away", f"median yaw {yaw:.0f} degrees, max_yaw {limit:g}") if yaw > limit else None

    def _outside(self, crop_points: np.ndarray) -> Dropped | None:
        out = ((crop_points < 0) | (crop_points > self.config.image_size)).any((1, 2))
        problem = f"frame {int(out.argmax())}: a part of the face is outside the first frame's square"
        return Dropped("left the crop", problem) if out.any() else None

    def _rotation(self) -> np.ndarray | None:
        """(F, 3) float32 degrees; None with an analyzer without a head transform."""
        turned = {index: face.head_angles for index, face in enumerate(self._faces) if face is not None}
        known = [(index, angles) for index, angles in turned.items() if angles is not None]
        if not known:
            return None
        at, angles = [index for index, _ in known], np.array([angle for _, angle in known])
        every = np.arange(len(self._faces))
        return np.stack([np.interp(every, at, column) for column in angles.T], axis=1).astype(np.float32)

    def _landmarks(self, track: FaceTrack) -> np.ndarray | None:
        return None if track.landmarks is None else np.stack([self._mapped(points[:, :2]) for points in track.landmarks])

    def _mapped(self, points: np.ndarray) -> np.ndarray:
        assert self.square is not None
        return in_square(points, self.square, self.config.image_size)

    def _body(self, points: np.ndarray) -> np.ndarray:
        return np.concatenate([self._mapped(points[:, :2]), points[:, 2:]], axis=1).astype(np.float32)


class _Seen:
    """The analyzer of a tracker that is told what was found."""

    def __init__(self, analyzer: FaceAnalyzer):
        self.name, self.threshold = analyzer.name, analyzer.threshold
        self.faces: list[Face] = []

    def detect(self, image: np.ndarray) -> list[Face]:
        return self.faces

    def close(self) -> None:
        pass


def read_keypoints(path: Path, frames: int) -> np.ndarray:
    """Body points of a whole video, (frames, 18, 3) float32: x and y in its pixels, confidence 0..1; from ``keypoints`` of an npz.

    Raises:
        PortraitError: a file that cannot be read, or an array of another shape.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            points = np.asarray(file["keypoints"], np.float32)
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise PortraitError(f"{path} is not an npz with an array 'keypoints' ({error}); make it again or remove it.") from error
    if points.shape != (frames, 18, 3) or not np.isfinite(points).all():
        raise PortraitError(f"{path}: keypoints is {points.shape}, wanted finite numbers {(frames, 18, 3)}; make it again or remove it.")
    return points


def _overlap(other: Face, face: Face) -> bool:
    """Whether both are detections of one face: the middle of the one lies in the other."""
    (x, y), (x1, y1, x2, y2) = other.center, face.box
    return bool(x1 <= x <= x2 and y1 <= y <= y2)
