"""SMIRK's encoder (Retsinas et al. 2024): from a face to FLAME's expression and pose. No FLAME model is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hp_core.errors import WeightsError
from hp_core.evaluation.metrics.mobilenet import LAST, MobileNet
from hp_core.evaluation.metrics.networks import fill, load_state

if TYPE_CHECKING:
    from hp_core.evaluation.clip_readings import ClipReadings

SIZE = 224
CROP = 1.4
"""Side of the square around all landmarks, of the mean of their width and height."""
EXPRESSION, EYELIDS, JAW = slice(0, 50), slice(50, 52), slice(52, 55)
"""Of the 55 numbers of the expression head."""
PREFIX = "smirk_encoder."


class _Branch(nn.Module):
    def __init__(self, kind: str, head: str, out: int) -> None:
        super().__init__()
        self.encoder = MobileNet(kind)
        self.head = head
        self.add_module(head, nn.Sequential(nn.Linear(LAST[kind], out)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.get_submodule(self.head)(self.encoder(x).mean(dim=(2, 3)))
        return out


class SmirkEncoder(nn.Module):
    """(n, 3, 224, 224) in 0..1 to the head's pose (n, 3), axis and angle in radians, and (n, 55) of `EXPRESSION`, `EYELIDS`, `JAW`.

    The branch of the face's shape is kept, so that a checkpoint is filled in to its last tensor, and not run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pose_encoder = _Branch("small", "pose_cam_layers", 6)
        self.shape_encoder = _Branch("large", "shape_layers", 300)
        self.expression_encoder = _Branch("large", "expression_layers", 55)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pose = self.pose_encoder(x)[:, :3]
        raw = self.expression_encoder(x)
        jaw = raw[:, JAW]
        jaw = torch.cat([jaw[:, :1].relu(), jaw[:, 1:].clamp(-0.2, 0.2)], dim=1)
        return pose, torch.cat([raw[:, EXPRESSION], raw[:, EYELIDS].clamp(0, 1), jaw], dim=1)

    @staticmethod
    def load(path: Path, device: torch.device) -> SmirkEncoder:
        """From `SMIRK_em1.pt`, whose generator is left out, or the encoder's tensors alone.

        Raises:
            WeightsError: the file is of another model.
        """
        state = load_state(path)
        state = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)} or state
        if not state:
            raise WeightsError(f"{path} holds no tensors. Fetch it again.")
        encoder = SmirkEncoder()
        fill(encoder, state, path)
        return encoder.to(device)


def face_crop(frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The square around the ``landmarks`` (478, 2) pixels of ``frame`` (H, W, 3) uint8: (224, 224, 3) float32 in 0..1, zero outside."""
    import cv2

    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    side = CROP * float((high - low).mean())
    left, top = (low + high) / 2 - side / 2
    scale = (SIZE - 1) / side
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    cut = cv2.warpAffine(frame.astype(np.float32) / 255, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    return np.asarray(cut, np.float32)


def encode_clip(encoder: SmirkEncoder, frames: np.ndarray, read: ClipReadings) -> dict[str, np.ndarray]:
    """`pose` (F, 3) and `expression` (F, 55) float64 of ``frames`` (F, H, W, 3) uint8; NaN where ``read`` found no face."""
    values = {"pose": np.full((len(frames), 3), np.nan), "expression": np.full((len(frames), 55), np.nan)}
    device = next(encoder.parameters()).device
    with torch.inference_mode():
        for index in np.flatnonzero(read.found):
            image = torch.from_numpy(face_crop(frames[index], read.landmarks[index])).permute(2, 0, 1)[None].to(device)
            pose, expression = encoder(image)
            values["pose"][index], values["expression"][index] = pose[0].cpu().numpy(), expression[0].cpu().numpy()
    return values
