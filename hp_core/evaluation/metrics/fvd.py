"""FVD: Frechet distance of I3D's features of short clips (Unterthiner et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hp_core.checks import check_choice, check_range
from hp_core.evaluation.metrics.base import Better, Gathering, Outcome, Setting
from hp_core.evaluation.metrics.frechet import distance_of
from hp_core.evaluation.metrics.networks import load_script, named
from hp_core.evaluation.metrics.resize import centre_cut, squashed
from hp_core.evaluation.metrics.windows import WindowFeatures

if TYPE_CHECKING:
    import torch

RESIZES = ("network", "squash", "crop")
SIDE = 224
SHORTEST = 10
"""Frames: fewer leave nothing for the last pooling of I3D."""
FEWEST = 2


class Fvd:
    """FVD over all windows of all pairs; a `SetMetric`.

    The network is StyleGAN-V's TorchScript of I3D on Kinetics-400; features are its 400 numbers before the softmax.

    Args:
        path: `i3d_torchscript.pt`.
        against: `truth` or `driving`.
        length: frames of a window, 10 or more; clips shorter than that have none.
        stride: frames from window to window, 1 or more.
        resize: `network`, by the network itself as StyleGAN-V asks it to; `squash`, by Pillow's bicubic as DisCo does; or `crop`,
            shorter side bilinear to 224 and the middle, as common_metrics does.

    Raises:
        OptionError: a number or ``resize`` out of range.
        WeightsError: the file is not TorchScript.
    """

    name: str = "fvd"
    title: str = "FVD"
    better: Better = "lower"
    faces: bool = False

    def __init__(
        self, path: Path, against: str, device: torch.device, *, length: int = 16, stride: int = 16, resize: str = "network"
    ) -> None:
        check_range("frames of an FVD window", length, SHORTEST)
        check_range("stride of the FVD windows", stride, 1)
        check_choice("resize of FVD", resize, RESIZES)
        self.inputs, self.against, self.device = ("result", against), against, device
        self.length, self.stride, self.resize = length, stride, resize
        self.net = load_script(path, device)
        self.settings: dict[str, Setting] = {
            "network": named(path),
            "features": "400, before the softmax",
            "frames": length,
            "stride": stride,
            "resize": resize,
            "against": against,
        }

    def gather(self) -> Gathering:
        return WindowFeatures(self.features, self._prepared, self.against, length=self.length, stride=self.stride)

    def value(self, features: Iterable[dict[str, np.ndarray]]) -> Outcome:
        return distance_of(features, FEWEST, f"windows of {self.length} frames")

    def features(self, window: np.ndarray) -> np.ndarray:
        """(length, H, W, 3) in 0..255 to (400,) float32."""
        import torch

        by_network = self.resize == "network"
        with torch.inference_mode():
            video = torch.from_numpy(window).to(self.device).float().permute(3, 0, 1, 2)[None]
            if not by_network:
                video = video / 127.5 - 1
            logits = self.net(video.contiguous(), rescale=by_network, resize=by_network, return_features=True)
            return np.asarray(logits[0].float().cpu().numpy())

    def _prepared(self, frames: np.ndarray) -> np.ndarray:
        if self.resize == "network":
            return frames
        return squashed(frames, SIDE) if self.resize == "squash" else centre_cut(frames, SIDE)
