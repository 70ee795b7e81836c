"""ResNets with group normalisation (He et al. 2016, Wu & He 2018), under the published checkpoints' names.

The two encoders name the same layers differently (`gn1`/`downsample` and `bn1`/`shortcut`), hence `norm` and `skip`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class _Block(nn.Module):
    """Shared by both residual blocks: convolutions `conv1..n`, norms `<norm>1..n`, and a projected skip where shapes change."""

    expansion: int

    def __init__(self, layers: list[nn.Conv2d], *, stride: int, groups: int, norm: str, skip: str):
        super().__init__()
        channels, out = layers[0].in_channels, layers[-1].out_channels
        self.depth, self.norm, self.skip = len(layers), norm, skip
        for i, layer in enumerate(layers, 1):
            self.add_module(f"conv{i}", layer)
            self.add_module(f"{norm}{i}", nn.GroupNorm(groups, layer.out_channels))
        if stride != 1 or channels != out:
            self.add_module(skip, nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.GroupNorm(groups, out)))

    def forward(self, x: Tensor) -> Tensor:
        modules: Any = self._modules
        residual = modules[self.skip](x) if self.skip in modules else x
        for i in range(1, self.depth + 1):
            x = modules[f"{self.norm}{i}"](modules[f"conv{i}"](x))
            if i < self.depth:
                x = F.relu(x)
        return F.relu(x + residual)


class BasicBlock(_Block):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, channels: int, width: int, *, stride: int, groups: int, norm: str, skip: str):
        first = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        super().__init__([first, second], stride=stride, groups=groups, norm=norm, skip=skip)


class Bottleneck(_Block):
    """1x1, 3x3 (carries the stride), 1x1 to four times the width."""

    expansion = 4

    def __init__(self, channels: int, width: int, *, stride: int, groups: int, norm: str, skip: str):
        first = nn.Conv2d(channels, width, 1, bias=False)
        second = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        third = nn.Conv2d(width, width * 4, 1, bias=False)
        super().__init__([first, second, third], stride=stride, groups=groups, norm=norm, skip=skip)


class ResNet(nn.Module):
    """Stem 7x7/2, max-pool 3x3/2, four stages, global average pool, `fc`. Input (n, 3, height, width), output (n, out_dim)."""

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: tuple[int, ...],
        *,
        width: int,
        out_dim: int,
        groups: int,
        norm: str = "gn",
        skip: str = "downsample",
    ):
        super().__init__()
        self.norm, self.stages = norm, len(blocks)
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.add_module(f"{norm}1", nn.GroupNorm(groups, width))
        channels = width
        for stage, count in enumerate(blocks):
            layers = []
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                layers.append(block(channels, width << stage, stride=stride, groups=groups, norm=norm, skip=skip))
                channels = (width << stage) * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(channels, out_dim)

    def activations(self, x: Tensor) -> list[Tensor]:
        """Of the stem and of every stage, each (n, channels, height, width)."""
        modules: Any = self._modules
        found = [F.relu(modules[f"{self.norm}1"](self.conv1(x)))]
        x = F.max_pool2d(found[0], 3, 2, 1)
        for stage in range(1, self.stages + 1):
            x = modules[f"layer{stage}"](x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.activations(x)[-1])

    def head(self, x: Tensor) -> Tensor:
        """The last stage's activations to the output (n, out_dim)."""
        return self.fc(x.mean((2, 3)))
