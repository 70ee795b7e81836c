"""What every face detector of this package gives: boxes and five points, in the pixels of the image it was shown.

Three implementations stand behind the one protocol, each imported only when it is chosen (`create_analyzer`):
`mediapipe` (the default), `insightface`, and `yolo`, the TorchScript detector the weights were released with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from hp_core.errors import OptionError

ANALYZERS = ("mediapipe", "insightface", "yolo")
MAX_FACES = 32  # in one picture


@dataclass(frozen=True, eq=False)
class Face:
    """One detected face; coordinates in pixels of the image, x to the right, y down.

    Attributes:
        box: (4,) float32, x1, y1, x2, y2.
        five_points: (5, 2) float32: left eye, right eye, nose tip, left and right mouth corner, image left first.
        score: detector confidence in 0..1, or None where the detector reports none (MediaPipe).
        landmarks: (478, 3) float32 in MediaPipe's numbering, z in pixels like x, or None.
        blendshapes: (52,) float32 in 0..1, MediaPipe's order, or None.
        head_transform: (4, 4) float32, canonical face to camera, translation in centimetres, or None.
        embedding: (512,) float32 L2-normalised ArcFace embedding, or None.
    """

    box: np.ndarray
    five_points: np.ndarray
    score: float | None = None
    landmarks: np.ndarray | None = None
    blendshapes: np.ndarray | None = None
    head_transform: np.ndarray | None = None
    embedding: np.ndarray | None = None

    @property
    def head_angles(self) -> tuple[float, float, float] | None:
        """Yaw, pitch and roll of the head in degrees, or None where the detector gives no `head_transform`.

        As `hp_core.demo.performance.Performance` counts them: positive yaw turns the nose to the image right, positive pitch lowers
        it, positive roll tilts the head clockwise; the head nods first, turns then and is tilted last.
        """
        if self.head_transform is None:
            return None
        rotation = np.asarray(self.head_transform, np.float64)[:3, :3]  # x right, y up, z to the viewer
        rotation = rotation / np.linalg.norm(rotation, axis=0)
        yaw = np.arcsin(np.clip(-rotation[2, 0], -1, 1))
        pitch, roll = np.arctan2(rotation[2, 1], rotation[2, 2]), np.arctan2(-rotation[1, 0], rotation[0, 0])
        return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))

    @property
    def area(self) -> float:
        """Box area in square pixels."""
        x1, y1, x2, y2 = (float(v) for v in self.box)
        return (x2 - x1) * (y2 - y1)

    @property
    def center(self) -> tuple[float, float]:
        """Box centre (x, y) in pixels."""
        x1, y1, x2, y2 = (float(v) for v in self.box)
        return (x1 + x2) / 2, (y1 + y2) / 2


class FaceAnalyzer(Protocol):
    """A face detector."""

    name: str
    threshold: float
    """Lowest detector confidence that counts as a face, 0..1."""

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces in ``image`` (height, width, 3) uint8 RGB, largest box first; empty when there is none."""
        ...

    def close(self) -> None:
        """Free the native session; the analyzer cannot be used afterwards."""
        ...


def create_analyzer(
    name: str = "mediapipe", *, model: Path | None = None, threshold: float = 0.5, max_faces: int = MAX_FACES
) -> FaceAnalyzer:
    """The face analyzer called ``name``.

    Args:
        name: one of `ANALYZERS`.
        model: its model file (a folder of ONNX files for ``insightface``); None looks in the usual places.
        threshold: lowest confidence that counts as a face, 0..1.
        max_faces: most faces reported for one image.

    Raises:
        OptionError: unknown name, or a threshold outside 0..1.
        FaceError: the library or the model file is absent.
    """
    if not 0 < threshold < 1:
        raise OptionError(f"detection_threshold is {threshold}, it must lie between 0 and 1. The default is 0.5.")
    if name == "mediapipe":
        from hp_core.face.mediapipe import MediaPipeAnalyzer

        return MediaPipeAnalyzer(model=model, threshold=threshold, max_faces=max_faces)
    if name == "insightface":
        from hp_core.face.insightface import InsightFaceAnalyzer

        return InsightFaceAnalyzer(model=model, threshold=threshold, max_faces=max_faces)
    if name == "yolo":
        from hp_core.face.yolo import YoloFaceAnalyzer

        return YoloFaceAnalyzer(model=model, threshold=threshold, max_faces=max_faces)
    raise OptionError(f"Unknown face analyzer '{name}'. Choose one of: {', '.join(ANALYZERS)}.")
