"""SCRFD and ArcFace through the package ``insightface``, behind the `FaceAnalyzer` protocol: five points and an embedding."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from hp_core.errors import FaceError
from hp_core.face.analyzer import MAX_FACES, Face
from hp_core.image import check_picture

REMEDY = (
    "Download buffalo_l.zip from https://github.com/deepinsight/insightface/releases/tag/v0.7 and unpack det_10g.onnx and "
    "w600k_r50.onnx there, or name another folder. InsightFace's weights are for non-commercial research use only."
)

_USUAL_NAMES = ("det", "scrfd", "w600k", "glint")
"""How the files needed begin in InsightFace's model packs; the packs' other models are large and only load to be dropped."""

_SIZES = ((640, 640), (128, 128))
"""Detector inputs tried in this order: the first misses faces that fill the picture, the second small ones."""


def default_folder() -> Path:
    """The folder of ONNX files read when none is named: ``~/.insightface/models/buffalo_l``."""
    return Path.home() / ".insightface" / "models" / "buffalo_l"


class InsightFaceAnalyzer:
    """InsightFace's SCRFD detector and, where its file is there too, ArcFace.

    Attributes:
        name: ``insightface``.
        threshold: lowest confidence of the detector that counts as a face, 0..1.
        max_faces: most faces reported for one picture.
    """

    name = "insightface"

    def __init__(self, *, model: Path | None = None, threshold: float = 0.5, max_faces: int = MAX_FACES) -> None:
        """Load the models; nothing is downloaded.

        Args:
            model: a folder of ONNX files with a detector and, for embeddings, a recognition model; None is `default_folder`.
            threshold: lowest confidence that counts as a face, 0..1.
            max_faces: most faces reported for one picture.

        Raises:
            FaceError: the package ``insightface`` is not installed, or the folder has no detector that gives five points.
        """
        folder = default_folder() if model is None else Path(model).expanduser()
        if not folder.is_dir():
            raise FaceError(f"InsightFace wants a folder of ONNX files, and {folder} is not a folder. {REMEDY}")
        try:
            import onnxruntime
            from insightface import model_zoo
        except ImportError as error:
            raise FaceError(
                f"The face analyzer 'insightface' needs the packages insightface and onnxruntime ({error}). "
                "Run `pip install insightface onnxruntime`, or choose the analyzer 'mediapipe'."
            ) from error
        self.threshold = threshold
        self.max_faces = max_faces
        models: dict[str, Any] = {}
        for path in sorted(folder.glob("*.onnx"), key=lambda path: (not path.name.startswith(_USUAL_NAMES), path.name)):
            try:
                found = model_zoo.get_model(str(path), providers=onnxruntime.get_available_providers())
            except Exception as error:  # onnxruntime's own errors share no narrower base
                raise FaceError(f"{path} cannot be loaded ({error}). {REMEDY}") from error
            models.setdefault(getattr(found, "taskname", ""), found)
            if "detection" in models and "recognition" in models:
                break
        if "detection" not in models:
            raise FaceError(f"The folder {folder} holds no face detector, a file such as det_10g.onnx. {REMEDY}")
        self._detector = models["detection"]
        self._recognizer = models.get("recognition")
        if not self._detector.use_kps:
            raise FaceError(f"The detector in {folder} gives boxes without the five points needed. {REMEDY}")
        # Zero keeps the providers the models were loaded with; a negative number would drop all but the slowest.
        self._detector.prepare(0, det_thresh=threshold)
        fixed = isinstance(self._detector.session.get_inputs()[0].shape[2], int)
        self._sizes: tuple[tuple[int, int] | None, ...] = (None,) if fixed else _SIZES

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces in ``image`` (height, width, 3) uint8 RGB, largest box first, at most `max_faces`; empty when there is none.

        Boxes may reach outside the picture. ``embedding`` is None where the folder has no recognition model.

        Raises:
            ImageError: ``image`` has another shape or type.
            FaceError: the analyzer was closed.
        """
        check_picture(image)
        if self._detector is None:
            raise FaceError("This InsightFace analyzer was closed. Create another one.")
        if max(image.shape[:2]) > _SIZES[-1][0] * min(image.shape[:2]):
            return []  # too thin for a face; the library would scale its short side to nothing
        blue_first = np.ascontiguousarray(image[:, :, ::-1])
        for size in self._sizes:
            boxes, points = self._detector.detect(blue_first, input_size=size)
            if len(boxes):
                break
        faces = [
            Face(box=box[:4].astype(np.float32), five_points=five.astype(np.float32), score=float(box[4]))
            for box, five in zip(boxes, points, strict=True)
        ]
        faces = sorted(faces, key=lambda face: face.area, reverse=True)[: self.max_faces]
        return [self._with_embedding(face, blue_first) for face in faces]

    def close(self) -> None:
        """Free the native sessions; the analyzer cannot be used afterwards. Closing twice is harmless."""
        self._detector = self._recognizer = None

    def _with_embedding(self, face: Face, blue_first: np.ndarray) -> Face:
        if self._recognizer is None:
            return face
        vector = np.asarray(self._recognizer.get(blue_first, SimpleNamespace(kps=face.five_points)), np.float32)
        norm = max(float(np.linalg.norm(vector)), 1e-12)
        return Face(box=face.box, five_points=face.five_points, score=face.score, embedding=vector / norm)
