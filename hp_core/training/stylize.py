"""Restyled pictures for training, so that drawn faces can be animated too (paper 3.5). Rendered portraits bring styles of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hp_core.errors import OptionError
from hp_core.training.clips import Clip


class AnimeGan:
    """AnimeGANv3 (Liu et al. 2024) from a user's ONNX file: one NHWC float32 picture in -1..1, sides multiples of 8, at least 256.

    Raises:
        OptionError: onnxruntime is absent, or the file is not such a model.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise OptionError(f"The stylizer {path} needs onnxruntime: pip install onnxruntime.") from error
        if not path.is_file():
            raise OptionError(f"There is no stylizer {path}. Name an AnimeGANv3 .onnx file, or, for rendered clips, none.")
        try:
            self.session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise OptionError(f"{path} is not an ONNX model that onnxruntime can load: {error}.") from error
        (given,) = self.session.get_inputs()
        if len(given.shape) != 4 or given.shape[-1] != 3:
            raise OptionError(f"{path} takes {given.shape}; AnimeGANv3 takes pictures (1, height, width, 3).")
        self.name, self.multiple = given.name, 16 if "tiny" in path.stem.lower() else 8

    def __call__(self, clip: Clip) -> np.ndarray:
        """(F, S, S, 3) uint8."""
        return np.stack([self.restyle(frame) for frame in clip.frames])

    def restyle(self, frame: np.ndarray) -> np.ndarray:
        """One picture (height, width, 3) uint8, restyled, of the same size."""
        from PIL import Image

        height, width = frame.shape[:2]
        sides = [max(256, round(side / self.multiple) * self.multiple) for side in (width, height)]
        resized = np.asarray(Image.fromarray(frame).resize((sides[0], sides[1]), Image.Resampling.BICUBIC), np.float32)
        (drawn,) = self.session.run(None, {self.name: resized[None] / 127.5 - 1})
        picture = ((np.asarray(drawn[0]) + 1) * 127.5).clip(0, 255).round().astype(np.uint8)
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
