"""Small stand-ins for networks and readers that tests cannot have, of the same interface."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hp_core.evaluation.clip_readings import VALUES
from hp_core.evaluation.metrics.base import Outcome, Part
from hp_core.evaluation.readings import FullReading


class I3d(nn.Module):
    """StyleGAN-V's interface: the mean colour of each half of the clip, in whatever range it was given, as 6 of 400 features."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        if rescale:
            x = x / 127.5 - 1
        if resize:
            x = nn.functional.interpolate(x, size=[x.shape[2], 224, 224], mode="trilinear", align_corners=False)
        half = x.shape[2] // 2
        features = torch.cat([x[:, :, :half].mean(dim=[2, 3, 4]), x[:, :, half:].mean(dim=[2, 3, 4])], dim=1)
        return torch.cat([features, torch.zeros(x.shape[0], 394)], dim=1)


class Inception(nn.Module):
    """StyleGAN2-ADA's interface: mean and deviation of each channel of uint8 pictures."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        images = x.float()
        return torch.cat([images.mean(dim=[2, 3]), images.std(dim=[2, 3])], dim=1)


def save_script(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module.eval()).save(str(path))
    return path


def random_state(net: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Weights of ``net``'s shapes that keep the signal's size about the same from layer to layer."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in net.state_dict().items():
        if not tensor.is_floating_point():
            state[name] = tensor
        elif tensor.ndim > 1:
            state[name] = torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(("running_var", "weight")):
            state[name] = torch.rand(tensor.shape, generator=generator) * 0.2 + 0.9
        else:
            state[name] = torch.randn(tensor.shape, generator=generator) * 0.1
    return state


class Marked:
    """A reader that is told what is in a frame by its first pixel: the number of one of ``readings``, 255 for nobody."""

    def __init__(self, readings: list[FullReading]) -> None:
        self.readings = readings

    def read(self, frame: np.ndarray) -> FullReading | None:
        number = int(frame[0, 0, 0])
        return None if number == 255 else self.readings[number]


def reading(landmarks: np.ndarray, **values: Any) -> FullReading:
    """A reading of ``landmarks`` (478, 2); the other numbers 0 unless given."""
    numbers = dict.fromkeys(VALUES, 0.0) | values
    shapes = numbers.pop("blendshapes", np.zeros(52, np.float32))
    return FullReading(landmarks=np.asarray(landmarks, np.float32), blendshapes=shapes, **numbers)  # type: ignore[arg-type]


def marked(numbers: list[int], size: tuple[int, int] = (32, 48)) -> np.ndarray:
    """Frames for `Marked`, black but for their first pixel."""
    frames = np.zeros((len(numbers), *size, 3), np.uint8)
    frames[:, 0, 0, 0] = numbers
    return frames


def outcome(metric: Any, clips: dict[str, np.ndarray], reader: Any = None, portrait: np.ndarray | None = None, step: int = 5) -> Outcome:
    """What ``metric`` says of a pair that it sees in parts of ``step`` frames."""
    score, shared = metric.start(), {}  # type: ignore[var-annotated]
    for start in range(0, len(next(iter(clips.values()))), step):
        part = {name: frames[start : start + step] for name, frames in clips.items()}
        score.add(Part(start, part, portrait, reader, shared))
    result: Outcome = score.outcome()
    return result


def set_value(metric: Any, pairs: list[dict[str, np.ndarray]], step: int = 5) -> Outcome:
    """What a metric on sets says of pairs that it sees in parts of ``step`` frames."""
    features = []
    for clips in pairs:
        gathering = metric.gather()
        for start in range(0, len(next(iter(clips.values()))), step):
            gathering.add(Part(start, {name: frames[start : start + step] for name, frames in clips.items()}))
        features.append(gathering.features())
    result: Outcome = metric.value(features)
    return result
