"""LPIPS (Zhang et al. 2018), and how much more or less of it lies between neighbouring frames than in the reference."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hp_core.errors import WeightsError
from hp_core.evaluation.metrics.base import Better, FrameMetric, Outcome, Part, Score, Setting
from hp_core.evaluation.metrics.networks import fill, load_state, named

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the network's input, which lies in -1..1: ImageNet's mean and deviation in that range."""
TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
"""Layers of torchvision's `features` after which the pictures are compared: the ReLUs before each change of width or size."""
TITLES = {"alex": "LPIPS (AlexNet)", "vgg": "LPIPS (VGG-16)"}
_EPS = 1e-10


def trunk(net: str) -> nn.Sequential:
    """The convolutions of AlexNet or VGG-16 up to the last tap, under torchvision's numbers."""
    from torch import nn

    layers: list[nn.Module] = []
    if net == "alex":
        for channels, width, kernel, stride, padding in ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1)):
            layers += [nn.Conv2d(channels, width, kernel, stride, padding), nn.ReLU()]
            if width in (64, 192):
                layers.append(nn.MaxPool2d(3, 2))
        return nn.Sequential(*layers, nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU())
    channels = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers[:-1])


def heads_file(net: str) -> Path:
    """The linear heads, version 0.1, which the packages `torchmetrics` and `lpips` carry; neither is imported.

    Raises:
        WeightsError: neither is installed.
    """
    for package, inside in (("torchmetrics", "functional/image/lpips_models"), ("lpips", "weights/v0.1")):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (Path(folder) / inside / f"{net}.pth").is_file():
                return Path(folder) / inside / f"{net}.pth"
    raise WeightsError("LPIPS's linear heads come with the package torchmetrics. Run `pip install torchmetrics`.")


class Lpips:
    """The distance of two pictures; the backbone from torchvision's checkpoint, the heads from `heads_file`.

    Args:
        path: `alexnet-owt-7be5be79.pth` or `vgg16-397923af.pth`; its classifier is not used.
        net: `alex` or `vgg`.

    Raises:
        WeightsError: a file is absent or of another model.
    """

    def __init__(self, path: Path, net: str, device: torch.device) -> None:
        import torch

        prefix = "features."
        state = {name.removeprefix(prefix): value for name, value in load_state(path).items() if name.startswith(prefix)}
        self.trunk = trunk(net)
        fill(self.trunk, state, path)
        self.trunk.to(device)
        heads, count = load_state(heads_file(net)), len(TAPS[net])
        self.heads = [heads[f"lin{index}.model.1.weight"].to(device) for index in range(count)]
        self.taps, self.device, self.name = set(TAPS[net]), device, named(path)
        self.shift, self.scale = (torch.tensor(values, device=device)[:, None, None] for values in (SHIFT, SCALE))

    def distances(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Of pictures (F, H, W, 3) uint8 from those at the same place, (F,) float64, 0 or more."""
        import torch

        with torch.inference_mode():
            values = [float(self._distance(self._input(a), self._input(b))) for a, b in zip(one, other, strict=True)]
        return np.array(values, np.float64)

    def _input(self, picture: np.ndarray) -> Tensor:
        import torch

        image = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].to(self.device).float()
        return (image / 127.5 - 1 - self.shift) / self.scale

    def _distance(self, one: Tensor, other: Tensor) -> Any:
        total: Any = 0.0
        heads = iter(self.heads)
        for index, layer in enumerate(self.trunk):
            one, other = layer(one), layer(other)
            if index in self.taps:
                unit = [x / (x.square().sum(dim=1, keepdim=True).sqrt() + _EPS) for x in (one, other)]
                total = total + ((unit[0] - unit[1]).square() * next(heads)).sum(dim=1).mean()
        return total


def _settings(net: Lpips) -> dict[str, Setting]:
    return {"backbone": net.name, "heads": "v0.1", "input": "-1..1", "average": "over places, then frames"}


def lpips(net: Lpips, kind: str) -> FrameMetric:
    """LPIPS of result and truth as a metric."""
    return FrameMetric(
        name=f"lpips_{kind}",
        title=TITLES[kind],
        better="lower",
        inputs=("result", "truth"),
        settings=_settings(net),
        compute=lambda part: net.distances(part.clips["result"], part.clips["truth"]),
    )


class TemporalLpips:
    """tLP: |LPIPS of a frame and the one before it - the same in the reference| x 1000, mean over the clip; a `Metric`."""

    name: str = "tlpips"
    title: str = "temporal LPIPS (x1e-3)"
    better: Better = "lower"
    faces: bool = False

    def __init__(self, net: Lpips, against: str) -> None:
        self.net, self.against, self.inputs = net, against, ("result", against)
        self.settings = _settings(net) | {"against": against}

    def start(self) -> Score:
        return _TemporalScore(self.net, self.against)


class _TemporalScore:
    def __init__(self, net: Lpips, against: str) -> None:
        self.net, self.against = net, against
        self.last: dict[str, np.ndarray] = {}
        self.steps: dict[str, list[np.ndarray]] = {"result": [], against: []}

    def add(self, part: Part) -> None:
        for which, steps in self.steps.items():
            frames = part.clips[which]
            before = self.last[which][None] if which in self.last else frames[:0]
            frames = np.concatenate([before, frames])
            steps.append(self.net.distances(frames[:-1], frames[1:]))
            self.last[which] = frames[-1]

    def outcome(self) -> Outcome:
        result, reference = (np.concatenate(steps) for steps in self.steps.values())
        if not len(result):
            return Outcome(None, "a single frame has no neighbour")
        apart = 1000 * np.abs(result - reference)
        return Outcome(float(apart.mean()), frames=(None, *map(float, apart)))
