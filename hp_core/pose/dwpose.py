"""DWPose (Yang et al. 2023): whole-body keypoints of everybody in a picture, through `rtmlib` and onnxruntime."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from hp_core.errors import PortraitError, WeightsError
from hp_core.image import check_picture
from hp_core.pose.keypoints import POINTS, followed
from hp_core.progress import Progress, Stage
from hp_core.values import PoseKeypoints

DETECTOR_FILE, ESTIMATOR_FILE = "dwpose/yolox_l.onnx", "dwpose/dw-ll_ucoco_384.onnx"
REMEDY = "Fetch both files with `hp-portrait download --for dwpose`."
_INSTALL = (
    "Run `pip install --no-deps rtmlib` (its own list of packages brings a second OpenCV) and `pip install onnxruntime` "
    "(or onnxruntime-gpu, never both)."
)

_DETECTOR_SIZE, _ESTIMATOR_SIZE = (640, 640), (288, 384)  # height and width; width and height
_DETECTOR_SCORE, _DETECTOR_OVERLAP = 0.3, 0.45
_PERSON = 0  # of COCO's kinds
_KEPT = [*range(18), *range(24, 92), *range(92, 134)]
"""Of rtmlib's 134 points: body, face, hands; the six of the feet are left out."""


class DwposeEstimator:
    """The detector of people and the estimator of their keypoints.

    Args:
        detector: ``yolox_l.onnx``.
        estimator: ``dw-ll_ucoco_384.onnx``.
        device: of onnxruntime, in rtmlib's words; None takes the best it knows.

    Raises:
        WeightsError: rtmlib or onnxruntime is not installed, a file is absent, or is no such model.
    """

    def __init__(self, detector: Path, estimator: Path, *, device: str | None = None) -> None:
        for path in (detector, estimator):
            if not Path(path).is_file():  # rtmlib would take the name for an address and download it
                raise WeightsError(f"DWPose needs {path}, which is not there. {REMEDY}")
        try:
            import onnxruntime
            from rtmlib import YOLOX, RTMPose
            from rtmlib.tools.base import RTMLIB_SETTINGS
        except ImportError as error:
            raise WeightsError(f"DWPose needs the packages rtmlib and onnxruntime ({error}). {_INSTALL}") from error
        names = {provider: name for name, provider in RTMLIB_SETTINGS["onnxruntime"].items()}
        # onnxruntime names its providers from the best on, some of which (TensorRT) rtmlib does not know.
        chosen = device or next((names[name] for name in onnxruntime.get_available_providers() if name in names), "cpu")
        try:
            with redirect_stdout(io.StringIO()):  # rtmlib prints what it loads
                self._detector: Any = YOLOX(
                    str(detector),
                    _DETECTOR_SIZE,
                    "multiclass",  # else boxes of COCO's 80 kinds of things come without saying which; its name differs by version
                    nms_thr=_DETECTOR_OVERLAP,
                    score_thr=_DETECTOR_SCORE,
                    device=chosen,
                )
                self._estimator: Any = RTMPose(str(estimator), _ESTIMATOR_SIZE, to_openpose=True, device=chosen)
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise WeightsError(f"{detector} or {estimator} cannot be loaded ({error}). {REMEDY}") from error

    def people(self, image: np.ndarray) -> list[np.ndarray]:
        """(128, 3) keypoints in pixels of everybody in ``image`` (height, width, 3) uint8 RGB.

        Where the detector sees nobody, the whole picture is taken for one person; confidences tell whether somebody is there.

        Raises:
            ImageError: another shape or type.
            PortraitError: the models give something else than DWPose's output.
        """
        check_picture(image)
        # The detector was trained on blue first, the estimator's mean and deviation are those of red first.
        try:
            boxes, kinds = self._detector(np.ascontiguousarray(image[..., ::-1]))
            places, scores = self._estimator(image, list(boxes[kinds == _PERSON]))
        except Exception as error:  # of onnxruntime or rtmlib, at the wrong kind of model
            raise PortraitError(f"DWPose failed on a picture of {image.shape[1]}x{image.shape[0]}: {error}. {REMEDY}") from error
        if places.shape[1:] != (134, 2):
            raise PortraitError(f"The DWPose model gives {places.shape[1]} points after conversion, not 134. {REMEDY}")
        points = np.concatenate([places, scores[..., None]], axis=-1)[:, _KEPT].astype(np.float32)
        assert points.shape[1] == POINTS
        return list(points)


def estimate_keypoints(
    frames: Iterable[np.ndarray], estimator: DwposeEstimator, *, total: int, near: np.ndarray | None = None, stage: str = "pose"
) -> Stage[PoseKeypoints]:
    """One person's keypoints through ``frames`` (height, width, 3) uint8 RGB.

    Args:
        total: how many frames there are, for the progress.
        near: (frames, 2) pixels, where the nose of the person meant is (a face track's); None follows the largest person.
    """
    people: list[list[np.ndarray]] = []
    size = (0, 0)
    for image in frames:
        size = (image.shape[1], image.shape[0])
        people.append(estimator.people(image))
        yield Progress(stage, len(people), total)
    return followed(people, size, "DWPose", near)
