"""Face Crop: one face followed through a clip, and the crops of every frame (released-model, Preprocessing)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hp_core.config import FaceConfig, check_choice
from hp_core.errors import FaceError, OptionError
from hp_core.face.analyzer import Face, FaceAnalyzer
from hp_core.face.crop import crop_square, head_crop, map_points, motion_crop, square_box
from hp_core.progress import Notice, Progress, Stage
from hp_core.values import ON_MISSING, FaceTrack

# A face further than this from where it was last seen, in box sides, is somebody else's; after a gap it may be a little further.
MAX_JUMP, MAX_JUMP_AFTER_GAP = 0.6, 1.0
MAX_SIZE_RATIO = 2.0  # and one that is this much larger or smaller
MAX_PENDING = 250  # whole frames kept while a rule waits for the face to come back
CROPS = ("face", "whole")
CHOICES = ("largest", "leftmost", "rightmost", "topmost", "bottommost", "center")


def choose_face(faces: list[Face], which: str | int, image_size: tuple[int, int]) -> Face:
    """The face ``which`` names: `largest`, an edge, `center`, or an index into the faces by falling area.

    Raises:
        OptionError: unknown name, or an index beyond the faces found.
    """
    if isinstance(which, int):
        if not 0 <= which < len(faces):
            raise OptionError(f"Face {which} was asked for, {len(faces)} found; choose 0 to {len(faces) - 1} (largest first).")
        return faces[which]
    height, width = image_size
    order: dict[str, Callable[[Face], float]] = {
        "largest": lambda face: -face.area,
        "leftmost": lambda face: face.center[0],
        "rightmost": lambda face: -face.center[0],
        "topmost": lambda face: face.center[1],
        "bottommost": lambda face: -face.center[1],
        "center": lambda face: float(np.hypot(face.center[0] - width / 2, face.center[1] - height / 2)),
    }
    if which not in order:
        raise OptionError(f"Unknown choice of face '{which}'. Choose one of {', '.join(CHOICES)}, or an index from 0.")
    return min(faces, key=order[which])


def same_face(faces: list[Face], last: Face, missing: int) -> Face | None:
    """The face that continues ``last`` after ``missing`` frames without it: the nearest one within reach, or None."""
    if not faces:
        return None
    side = max(last.area, 1.0) ** 0.5
    reach = side * (MAX_JUMP_AFTER_GAP if missing else MAX_JUMP)
    alike = [face for face in faces if side / MAX_SIZE_RATIO <= max(face.area, 1.0) ** 0.5 <= side * MAX_SIZE_RATIO]
    distances = [float(np.hypot(*np.subtract(face.center, last.center))) for face in alike]
    nearest = min(range(len(alike)), key=distances.__getitem__, default=None)
    return alike[nearest] if nearest is not None and distances[nearest] <= reach else None


@dataclass
class _Frame:
    """One frame's share of the track."""

    face: Face
    found: bool
    head: np.ndarray
    motion: np.ndarray


class _Cropper:
    """Crops frames by the square and the box of the clip's first frame."""

    def __init__(self, first: Face, image_size: tuple[int, int], config: FaceConfig, crop: str):
        self.config, self.first_box = config, first.box
        # The largest square of the picture is that around a face which has grown beyond all bounds.
        self.square = square_box(first.box, image_size, growth=config.square_growth if crop == "face" else max(image_size))

    def __call__(self, image: np.ndarray, face: Face, found: bool) -> _Frame:
        square = crop_square(image, self.square, self.config.image_size)
        motion = motion_crop(image, face.five_points, self.first_box, self.config)
        return _Frame(face, found, head_crop(square, self.config), motion)


class FaceTracker:
    """Follows one face frame by frame, keeping the crops and nothing else of each frame.

        tracker = FaceTracker(analyzer, config, which="largest", on_missing="hold")
        for image in frames:
            tracker.add(image)
        track = tracker.finish(fps)

    Args:
        which: the face in the first frame that shows one (`choose_face`); later frames keep to the same face.
        on_missing: a frame without it is an `error`, `hold`s the last known points, or `interpolate`s between the frames
            before and after; before the first and after the last known one both hold.
        crop: the square is cut around the `face`, as released, or is the `whole` picture (the largest square of it, nearest to
            the face), for pictures that are portrait crops already.
        start: number of the first frame in its video, for the messages.

    Raises:
        OptionError: an unknown ``on_missing`` or ``crop``.
    """

    def __init__(
        self,
        analyzer: FaceAnalyzer,
        config: FaceConfig,
        *,
        which: str | int = "largest",
        on_missing: str = "error",
        crop: str = "face",
        start: int = 0,
    ):
        check_choice("on_missing", on_missing, ON_MISSING)
        check_choice("crop", crop, CROPS)
        self.analyzer, self.config, self.which, self.on_missing, self.start = analyzer, config, which, on_missing, start
        self.crop = crop
        self._done: list[_Frame] = []
        self._pending: list[np.ndarray] = []  # frames without the face, waiting for the next one with it
        self._missing = 0
        self._last: Face | None = None
        self._first_image: np.ndarray | None = None
        self._cropper: _Cropper | None = None

    @property
    def frames(self) -> int:
        """Frames added so far."""
        return len(self._done) + len(self._pending)

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
        if self._last is None:
            face = choose_face(faces, self.which, image.shape[:2]) if faces else None
        else:
            face = same_face(faces, self._last, self._missing)
        if face is None:
            if self.on_missing == "error":
                raise FaceError(missing_message(index, len(faces), self.analyzer))
            self._fill_later(image, index)
            return
        self._cropper = self._cropper or _Cropper(face, image.shape[:2], self.config, self.crop)
        self._done += _filled(self._pending, self._last, face, self.on_missing, self._cropper)
        self._done.append(self._cropper(image, face, True))
        self._pending, self._missing, self._last = [], 0, face

    def _fill_later(self, image: np.ndarray, index: int) -> None:
        """Keep a frame without the face until it can be cropped; under `hold` that is at once, where a face is known."""
        self._missing += 1
        if self.on_missing == "hold" and self._last is not None and self._cropper is not None:
            self._done.append(self._cropper(image, self._last, False))
            return
        if len(self._pending) == MAX_PENDING:
            raise FaceError(
                f"No face in {MAX_PENDING + 1} frames up to frame {index}, too many to wait for the next one. "
                f'Cut the video, or set on_missing="hold" once it has begun. {_remedy(self.analyzer)}'
            )
        self._pending.append(image)

    def finish(self, fps: Fraction = Fraction(25)) -> FaceTrack:
        """The track of all frames added.

        Raises:
            FaceError: no frame shows a face.
            OptionError: no frame was added.
        """
        if self._first_image is None:
            raise OptionError("The clip has no frames; face tracking needs at least one.")
        if self._last is None or self._cropper is None:
            where = f" in any of {self.frames} frames" if self.frames > 1 else ""
            raise FaceError(f"No face found{where}. {_remedy(self.analyzer)}")
        self._done += _filled(self._pending, self._last, self._last, "hold", self._cropper)
        self._pending = []
        faces = [frame.face for frame in self._done]
        dense = [face.landmarks for face in faces if face.landmarks is not None]
        crop, points, found = self._portrait(faces[0])
        return FaceTrack(
            head_crops=np.stack([frame.head for frame in self._done]),
            motion_crops=np.stack([frame.motion for frame in self._done]),
            boxes=np.stack([face.box for face in faces]).astype(np.float32),
            five_points=np.stack([face.five_points for face in faces]).astype(np.float32),
            landmarks=np.stack(dense).astype(np.float32) if len(dense) == len(faces) else None,
            found=np.array([frame.found for frame in self._done]),
            on_missing=self.on_missing,
            square=self._cropper.square,
            portrait=self._first_image,
            portrait_crop=crop,
            crop_points=points,
            crop_points_found=found,
            fps=fps,
            analyzer=self.analyzer.name,
        )

    def _portrait(self, first: Face) -> tuple[np.ndarray, np.ndarray, bool]:
        """The first frame's square crop, the five points in it, and whether they were found there."""
        assert self._cropper is not None
        assert self._first_image is not None
        size = self.config.image_size
        crop = np.asarray(crop_square(self._first_image, self._cropper.square, size))
        expected = map_points(first.five_points, self._cropper.square, size)
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
    which: str | int = "largest",
    on_missing: str = "error",
    crop: str = "face",
    fps: Fraction = Fraction(25),
    start: int = 0,
    stage: str = "face",
) -> Stage[FaceTrack]:
    """Follow one face through ``frames`` (height, width, 3) uint8 RGB; for the options and the errors see `FaceTracker`.

    Args:
        total: how many frames there are, for the progress.
    """
    tracker = FaceTracker(analyzer, config, which=which, on_missing=on_missing, crop=crop, start=start)
    for image in frames:
        tracker.add(image)
        yield Progress(stage, tracker.frames, total)
    track = tracker.finish(fps)
    filled = int((~track.found).sum())
    if filled:
        yield Notice(f"{filled} of {len(track)} frames show no face and were filled by on_missing={on_missing}.")
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


def _filled(images: list[np.ndarray], before: Face | None, after: Face, rule: str, cropper: _Cropper) -> list[_Frame]:
    """Frames between two known faces (``before`` is None at the clip's start), by the rule."""
    frames = []
    for i, image in enumerate(images, 1):
        if before is None:
            face = after
        elif rule == "hold":
            face = before
        else:
            face = _between(before, after, i / (len(images) + 1))
        frames.append(cropper(image, face, False))
    return frames


def _between(before: Face, after: Face, t: float) -> Face:
    def mix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a + (b - a) * t).astype(np.float32)

    dense = before.landmarks is not None and after.landmarks is not None
    return Face(
        box=mix(before.box, after.box),
        five_points=mix(before.five_points, after.five_points),
        landmarks=mix(before.landmarks, after.landmarks) if dense else None,  # type: ignore[arg-type]
    )
