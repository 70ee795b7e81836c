"""A TorchScript YOLOv5-face detector behind the `FaceAnalyzer` protocol: boxes and five points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hp_core.errors import FaceError
from hp_core.face.analyzer import MAX_FACES, Face
from hp_core.face.model_files import default_places, find_model
from hp_core.image import check_picture

MODEL_FILE = "yoloface_v5m.pt"
REMEDY = f"Put the TorchScript file {MODEL_FILE} there, or name it."

_SIDE = 640
_GREY = 114
_MAX_OVERLAP = 0.45
_COLUMNS = 16
"""Centre x, centre y, width, height, objectness, five (x, y) points, class score; pixels of the letterboxed picture."""


class YoloFaceAnalyzer:
    """YOLOv5-face, the detector the weights were released with.

    Attributes:
        name: ``yolo``.
        threshold: lowest confidence, objectness times class score, that counts as a face, 0..1.
        max_faces: most faces reported for one picture.
    """

    name = "yolo"

    def __init__(self, *, model: Path | None = None, threshold: float = 0.5, max_faces: int = MAX_FACES) -> None:
        """Load the model, to run on the processor.

        Args:
            model: a TorchScript file; None tries `default_places` for ``yoloface_v5m.pt``.
            threshold: lowest confidence that counts as a face, 0..1.
            max_faces: most faces reported for one picture.

        Raises:
            FaceError: no model file is found, or the file is not TorchScript.
        """
        path = find_model("YOLO face", model, default_places(MODEL_FILE), REMEDY)
        self.threshold = threshold
        self.max_faces = max_faces
        try:
            # Released files may be half precision, which many processors lack convolutions for.
            self._model: torch.nn.Module | None = torch.jit.load(str(path), map_location="cpu").float().eval()
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise FaceError(f"{path} is not a TorchScript model ({reason}). {REMEDY}") from error

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces in ``image`` (height, width, 3) uint8 RGB, largest box first, at most `max_faces`; empty when there is none.

        Boxes may reach outside the picture.

        Raises:
            ImageError: ``image`` has another shape or type.
            FaceError: the model's output is not (1, N, 16), or the analyzer was closed.
        """
        check_picture(image)
        if self._model is None:
            raise FaceError("This YOLO face analyzer was closed. Create another one.")
        canvas, scale, offset = _letterbox(image)
        with torch.inference_mode():
            rows = _rows(self._model(canvas))
        scores = rows[:, 4] * rows[:, 15]
        rows, scores = rows[scores >= self.threshold], scores[scores >= self.threshold]
        boxes = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)
        faces = [
            Face(
                box=((boxes[index].reshape(2, 2) - offset) / scale).reshape(4).astype(np.float32),
                five_points=((rows[index, 5:15].reshape(5, 2) - offset) / scale).astype(np.float32),
                score=float(scores[index]),
            )
            for index in _suppress(boxes, scores)
        ]
        return sorted(faces, key=lambda face: face.area, reverse=True)[: self.max_faces]

    def close(self) -> None:
        """Free the model; the analyzer cannot be used afterwards. Closing twice is harmless."""
        self._model = None


def _letterbox(image: np.ndarray) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """``image`` scaled into the middle of a grey square.

    Returns:
        The square (1, 3, 640, 640) in 0..1, the scale (2,) and the offset (2,), x first, of the picture in it.
    """
    height, width = image.shape[:2]
    ratio = _SIDE / max(height, width)
    new_height, new_width = max(round(height * ratio), 1), max(round(width * ratio), 1)
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None] / 255
    pixels = torch.nn.functional.interpolate(pixels, (new_height, new_width), mode="bilinear", antialias=True)
    top, left = (_SIDE - new_height) // 2, (_SIDE - new_width) // 2
    canvas = pixels.new_full((1, 3, _SIDE, _SIDE), _GREY / 255)
    canvas[:, :, top : top + new_height, left : left + new_width] = pixels
    return canvas, np.array([new_width / width, new_height / height]), np.array([left, top])


def _rows(output: object) -> np.ndarray:
    """The detections (N, 16) in a model's output, the first of a tuple or list."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, torch.Tensor) or output.ndim != 3 or output.shape[0] != 1 or output.shape[2] != _COLUMNS:
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise FaceError(f"The YOLO face model gives {got}, wanted a tensor (1, N, {_COLUMNS}). Use a YOLOv5-face model, {MODEL_FILE}.")
    return output[0].float().numpy()


def _suppress(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Indices of the boxes (N, 4) that no box of higher score overlaps by more than `_MAX_OVERLAP` of their union."""
    import cv2

    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)  # OpenCV wants corner, width and height
    return [int(index) for index in cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, _MAX_OVERLAP)]
