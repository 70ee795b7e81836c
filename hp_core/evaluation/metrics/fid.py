"""FID: Frechet distance of Inception features of single frames (Heusel et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hp_core.evaluation.metrics.base import Better, Gathering, Outcome, Part, Setting
from hp_core.evaluation.metrics.frechet import distance_of
from hp_core.evaluation.metrics.networks import load_script, named

if TYPE_CHECKING:
    import torch

FEWEST = 2
"""Frames a side: one has no deviation. Thousands are usual; the number of frames is in the report."""


class Fid:
    """FID over all frames of all pairs; a `SetMetric`.

    The network is the TorchScript port of the original Inception that StyleGAN2-ADA published: uint8 pictures in, resized to 299
    by itself, 2048 features of the last pooling.

    Args:
        path: `inception-2015-12-05.pt`.
        against: `truth` or `driving`.

    Raises:
        WeightsError: the file is not TorchScript.
    """

    name: str = "fid"
    title: str = "FID"
    better: Better = "lower"
    faces: bool = False

    def __init__(self, path: Path, against: str, device: torch.device) -> None:
        self.inputs, self.against, self.device = ("result", against), against, device
        self.net = load_script(path, device)
        self.settings: dict[str, Setting] = {
            "network": named(path),
            "features": "2048, last pooling",
            "resize": "by the network",
            "against": against,
        }

    def gather(self) -> Gathering:
        return _FrameFeatures(self)

    def value(self, features: Iterable[dict[str, np.ndarray]]) -> Outcome:
        return distance_of(features, FEWEST, "frames")

    def features(self, frames: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8 to (F, 2048) float32."""
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous().to(self.device)
            return np.asarray(self.net(images, return_features=True).float().cpu().numpy())


class _FrameFeatures:
    def __init__(self, metric: Fid) -> None:
        self.metric = metric
        self.rows: dict[str, list[np.ndarray]] = {"result": [], "reference": []}

    def add(self, part: Part) -> None:
        self.rows["result"].append(self.metric.features(part.clips["result"]))
        self.rows["reference"].append(self.metric.features(part.clips[self.metric.against]))

    def features(self) -> dict[str, np.ndarray]:
        return {side: np.concatenate(rows) for side, rows in self.rows.items()}
