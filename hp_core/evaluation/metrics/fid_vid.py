"""FID-VID: Frechet distance of a 3D ResNet's features of short clips, as DisCo defines it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hp_core.evaluation.metrics.base import Better, Gathering, Outcome, Setting
from hp_core.evaluation.metrics.frechet import distance_of
from hp_core.evaluation.metrics.networks import fill, load_state, named
from hp_core.evaluation.metrics.resize import squashed
from hp_core.evaluation.metrics.windows import WindowFeatures

if TYPE_CHECKING:
    import torch

LENGTH, SIDE = 16, 112
MEAN = (114.7748, 107.7354, 99.4750)
"""Of Kinetics, RGB in 0..255, subtracted; there is no division."""
FEWEST = 2


class FidVid:
    """FID-VID; a `SetMetric`.

    Windows of 16 frames that do not overlap, the last filled up with its last frame; frames squashed to 112; the features of a
    clip's windows averaged, one row a clip.

    Args:
        path: `resnet-50-kinetics.pth` (3D ResNet-50, shortcut B), of Hara et al. 2018.
        against: `truth` or `driving`.

    Raises:
        WeightsError: the file is of another model.
    """

    name: str = "fid_vid"
    title: str = "FID-VID"
    better: Better = "lower"
    faces: bool = False

    def __init__(self, path: Path, against: str, device: torch.device) -> None:
        from hp_core.evaluation.metrics.resnet3d import ResNet3d

        self.inputs, self.against, self.device = ("result", against), against, device
        self.net = ResNet3d()
        state = {name.removeprefix("module."): value for name, value in load_state(path).items()}
        fill(self.net, {name: value for name, value in state.items() if not name.startswith("fc.")}, path)
        self.net.to(device)
        self.settings: dict[str, Setting] = {
            "network": named(path),
            "features": "2048, mean over a clip's windows",
            "frames": LENGTH,
            "stride": LENGTH,
            "padding": "last frame",
            "resize": f"squashed to {SIDE}, bicubic",
            "against": against,
        }

    def gather(self) -> Gathering:
        return WindowFeatures(
            self.features, lambda frames: squashed(frames, SIDE), self.against, length=LENGTH, stride=LENGTH, pad=True, mean=True
        )

    def value(self, features: Iterable[dict[str, np.ndarray]]) -> Outcome:
        return distance_of(features, FEWEST, "clips")

    def features(self, window: np.ndarray) -> np.ndarray:
        """(16, 112, 112, 3) uint8 to (2048,) float32."""
        import torch

        with torch.inference_mode():
            video = torch.from_numpy(window.astype(np.float32) - np.array(MEAN, np.float32)).permute(3, 0, 1, 2)[None]
            return np.asarray(self.net(video.to(self.device))[0].float().cpu().numpy())
