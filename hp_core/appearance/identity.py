"""ArcFace identity embedding through onnxruntime (Deng et al. 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hp_core.errors import WeightsError


class ArcFaceOnnx:
    """An ONNX model of ArcFace's interface: input (1, 3, 112, 112), output (1, 512).

    Raises:
        WeightsError: onnxruntime is absent, or the file is not such a model.
    """

    def __init__(self, path: Path):
        try:
            import onnxruntime
        except ImportError as error:
            raise WeightsError(f"{path} needs onnxruntime: pip install onnxruntime (or onnxruntime-gpu, never both).") from error
        try:
            # Embedding one picture is not worth a card's memory, and the CPU provider is always there.
            self.session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise WeightsError(f"{path} is not an ONNX model that onnxruntime can load: {error}. Fetch it again.") from error
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if len(inputs) != 1 or list(inputs[0].shape[1:]) != [3, 112, 112]:
            shapes = [i.shape for i in inputs]
            raise WeightsError(f"{path} takes {shapes}; an ArcFace model takes one input (1, 3, 112, 112).")
        self.input_name, self.output_name = inputs[0].name, outputs[0].name

    def embed(self, face: np.ndarray) -> np.ndarray:
        """Aligned face (112, 112, 3) float32 RGB in 0..1 -> (512,) float32, L2-normalised."""
        batch = np.ascontiguousarray(face.transpose(2, 0, 1)[None], dtype=np.float32)
        (embedding,) = self.session.run([self.output_name], {self.input_name: batch})
        vector = np.asarray(embedding, dtype=np.float32).reshape(-1)
        return vector / max(float(np.linalg.norm(vector)), 1e-12)
