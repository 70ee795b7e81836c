"""Face Crop: one face followed through a clip, and the crops of every frame (released-model, Preprocessing)."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from hp_core.checks import check_choice
from hp_core.config import ON_MISSING, FaceConfig
from hp_core.errors import FaceError, OptionError
from hp_core.face.analyzer import Face, FaceAnalyzer
from hp_core.face.choose import Which, choose_face
from hp_core.face.crop import crop_square
from hp_core.face.cropper import STIFFNESS, CroppedFrame, Cropper
from hp_core.face.follow import Follower
from hp_core.face.likeness import Likeness
from hp_core.face.shots import CUT, Shots
from hp_core.progress import Notice, Progress, Stage
from hp_core.values import FaceTrack, Square, in_square

MAX_PENDING = 250  # whole frames kept while a rule waits for the face to come back


class FaceTracker:
    """Follows one face frame by frame, keeping the crops and nothing else of each frame.

        tracker = FaceTracker(analyzer, config, which="largest", on_missing="hold")
        for image in frames:
            tracker.add(image)
        track = tracker.finish(fps)

    Args:
        which: the face in the first frame that shows one (`choose_face`); later frames keep to the same face. A `Likeness` waits for
            the first frame that shows its person, unless ``on_missing`` is `error`, and finds them again after a cut, and wherever they
            come back.
        on_missing: a frame without it is an `error`, `hold`s the last known points, or `interpolate`s between the frames
            before and after; before the first and after the last known one both hold.
        crop: the square is cut around the `face` of the first frame, as released; is the `whole` picture (the largest square of it,
            nearest to the face), for pictures that are portrait crops already; or `follow`s the face, for subjects that move, and the
            motion crop with it.
        stiffness: for `follow`, frames before and after over which the square's place and size are smoothed, 0..250; 0 follows every
            box exactly. As many whole frames stay in memory.
        start: number of the first frame in its video, for the messages.

    Attributes:
        frames: frames added so far.
        face: the followed face in the last of them, None where it is missing.

    Raises:
        OptionError: an unknown ``on_missing`` or ``crop``, or a ``stiffness`` out of range.
    """

    def __init__(
        self,
        analyzer: FaceAnalyzer,
        config: FaceConfig,
        *,
        which: Which = "largest",
        on_missing: str = "error",
        crop: str = "face",
        stiffness: int = STIFFNESS,
        start: int = 0,
    ):
        check_choice("on_missing", on_missing, ON_MISSING)
        self.analyzer, self.config, self.which, self.on_missing, self.start = analyzer, config, which, on_missing, start
        self.crop = crop
        self.frames = 0
        self.face: Face | None = None
        self._cropper = Cropper(config, crop, stiffness)
        self._done: list[CroppedFrame] = []
        self._pending: list[np.ndarray] = []  # frames without the face, waiting for the next one with it
        self._last: Face | None = None
        self._follower: Follower | None = None
        self._shots = Shots()
        self._unlike: FaceError | None = None
        self._first_image: np.ndarray | None = None

    def add(self, image: np.ndarray) -> None:
        """Find the face in the next frame, (height, width, 3) uint8 RGB.

        Raises:
            FaceError: no such face under ``on_missing="error"``, or a frame of another size.
            OptionError: ``which`` names no face of the first frame.
        """
        if self._first_image is None:
            self._first_image = image
        index = self.start + self.frames
        if image.shape != self._first_image.shape:
            raise FaceError(f"Frame {index} is {_size(image)}, the first one {_size(self._first_image)}; all frames must have one size.")
        faces = self.analyzer.detect(image)
        if isinstance(self.which, Likeness) and self._shots.change(image) >= CUT:
            self._follower = None  # whoever is where the person was need not be them
        if self._follower is None:
            self.face = self._chosen(faces, image, index)
        else:
            self.face = self._follower.next(faces) or self._found_again(faces, image)
        if self.face is None:
            if self.on_missing == "error":
                raise FaceError(missing_message(index, len(faces), self.analyzer))
            self._fill_later(image, index)
        else:
            self._fill(self.face, self.on_missing)
            self._done += self._cropper.add(image, self.face, True)
            self._last = self.face
        self.frames += 1

    def _chosen(self, faces: list[Face], image: np.ndarray, index: int) -> Face | None:
        """The face to follow from here on, where this frame shows it."""
        if not faces:
            return None
        try:
            face = choose_face(faces, self.which, image.shape[:2], image)
        except FaceError as error:  # others are there, but not the one meant, for whom only a likeness can wait
            self._unlike = FaceError(f"Frame {index}: {error}")
            if self.on_missing == "error" or not isinstance(self.which, Likeness):
                raise self._unlike from error
            return None
        self._follower = Follower(face, faces)
        return face

    def _found_again(self, faces: list[Face], image: np.ndarray) -> Face | None:
        """The person of a `Likeness` where they cannot have walked to: after a cut, or back from outside the picture."""
        if not faces or not isinstance(self.which, Likeness):
            return None
        try:
            face = self.which.choose(faces, image)
        except FaceError:  # it is somebody else's
            return None
        self._follower = Follower(face, faces)
        return face

    def _fill_later(self, image: np.ndarray, index: int) -> None:
        """Keep a frame without the face until it can be cropped; under `hold` that is at once, where a face is known."""
        if self.on_missing == "hold" and self._last is not None:
            self._done += self._cropper.add(image, self._last, False)
            return
        if len(self._pending) == MAX_PENDING:
            why = self._unlike if self._unlike and self._last is None else _remedy(self.analyzer)
            raise FaceError(
                f"No face in {MAX_PENDING + 1} frames up to frame {index}, too many to wait for the next one. "
                f'Cut the video, or set on_missing="hold" once it has begun. {why}'
            )
        self._pending.append(image)

    def _fill(self, after: Face, rule: str) -> None:
        """Crop the frames that waited for a face, by the rule; before the first known one there is only ``after``."""
        gap = len(self._pending) + 1
        for i, image in enumerate(self._pending, 1):
            if self._last is None:
                face = after
            else:
                face = self._last if rule == "hold" else _between(self._last, after, i / gap)
            self._done += self._cropper.add(image, face, False)
        self._pending = []

    def finish(self, fps: Fraction = Fraction(25)) -> FaceTrack:
        """The track of all frames added.

        Raises:
            FaceError: no frame shows a face, or none the person of the likeness.
            OptionError: no frame was added.
        """
        if self._first_image is None:
            raise OptionError("The clip has no frames; face tracking needs at least one.")
        if self._last is None:
            if self._unlike is not None:
                raise self._unlike
            where = f" in any of {self.frames} frames" if self.frames > 1 else ""
            raise FaceError(f"No face found{where}. {_remedy(self.analyzer)}")
        self._fill(self._last, "hold")
        self._done += self._cropper.finish()
        faces = [frame.face for frame in self._done]
        dense = [face.landmarks for face in faces if face.landmarks is not None]
        square = self._done[0].square
        crop, points, found = self._portrait(faces[0], square)
        return FaceTrack(
            head_crops=np.stack([frame.head for frame in self._done]),
            motion_crops=np.stack([frame.motion for frame in self._done]),
            boxes=np.stack([face.box for face in faces]).astype(np.float32),
            five_points=np.stack([face.five_points for face in faces]).astype(np.float32),
            landmarks=np.stack(dense).astype(np.float32) if len(dense) == len(faces) else None,
            found=np.array([frame.found for frame in self._done]),
            on_missing=self.on_missing,
            square=square,
            portrait=self._first_image,
            portrait_crop=crop,
            crop_points=points,
            crop_points_found=found,
            fps=fps,
            analyzer=self.analyzer.name,
            squares=np.array([frame.square for frame in self._done], np.int32) if self.crop == "follow" else None,
        )

    def _portrait(self, first: Face, square: Square) -> tuple[np.ndarray, np.ndarray, bool]:
        """The first frame's square crop, the five points in it, and whether they were found there."""
        assert self._first_image is not None
        size = self.config.image_size
        crop = np.asarray(crop_square(self._first_image, square, size))
        expected = in_square(first.five_points, square, size)
        candidates = [face.five_points for face in self.analyzer.detect(crop)]
        nearest = min(candidates, key=lambda points: float(np.abs(points - expected).sum()), default=None)
        # A neighbour's face may lie in the crop too; more than a tenth of the side away it is not this one.
        if nearest is None or float(np.abs(nearest - expected).mean()) > size / 10:
            return crop, expected, False
        return crop, nearest.astype(np.float32), True


def track_faces(
    frames: Iterable[np.ndarray],
    analyzer: FaceAnalyzer,
    config: FaceConfig,
    *,
    total: int,
    which: Which = "largest",
    on_missing: str = "error",
    crop: str = "face",
    stiffness: int = STIFFNESS,
    fps: Fraction = Fraction(25),
    start: int = 0,
    stage: str = "face",
) -> Stage[FaceTrack]:
    """Follow one face through ``frames`` (height, width, 3) uint8 RGB; for the options and the errors see `FaceTracker`.

    Args:
        total: how many frames there are, for the progress.
    """
    tracker = FaceTracker(analyzer, config, which=which, on_missing=on_missing, crop=crop, stiffness=stiffness, start=start)
    for image in frames:
        tracker.add(image)
        yield Progress(stage, tracker.frames, total)
    track = tracker.finish(fps)
    filled = int((~track.found).sum())
    if filled:
        yield Notice(f"{filled} of {len(track)} frames lack the followed face and were filled by on_missing={on_missing}.")
    return track


def missing_message(index: int, others: int, analyzer: FaceAnalyzer) -> str:
    """Why the run stops at frame ``index``, and what to do."""
    what = f"The tracked face is gone, {others} other found," if others else "No face found"
    return f'{what} in frame {index}. Set on_missing="hold" or "interpolate" to go on where a few frames lack it. {_remedy(analyzer)}'


def _remedy(analyzer: FaceAnalyzer) -> str:
    threshold = f"Lower detection_threshold (now {analyzer.threshold:g})"
    return f"{threshold}, use a larger or more frontal face, or another analyzer than {analyzer.name}."


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _between(before: Face, after: Face, t: float) -> Face:
    def mix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a + (b - a) * t).astype(np.float32)

    dense = before.landmarks is not None and after.landmarks is not None
    return Face(
        box=mix(before.box, after.box),
        five_points=mix(before.five_points, after.five_points),
        landmarks=mix(before.landmarks, after.landmarks) if dense else None,  # type: ignore[arg-type]
    )
