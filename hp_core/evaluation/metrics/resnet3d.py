"""3D ResNet-50 with the names of the published Kinetics checkpoints (Hara et al. 2018), shortcut B, without its classifier."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

BLOCKS, WIDTHS, EXPANSION = (3, 4, 6, 3), (64, 128, 256, 512), 4


class Bottleneck(nn.Module):
    """1x1x1, 3x3x3 with the stride, 1x1x1, and a convolution as shortcut where the shape changes."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * EXPANSION
        self.conv1 = nn.Conv3d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv3d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm3d(out))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet3d(nn.Module):
    """(n, 3, 16, 112, 112), mean subtracted, to (n, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        channels = 64
        for number, (blocks, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True), 1):
            layers = []
            for index in range(blocks):
                layers.append(Bottleneck(channels, width, 2 if number > 1 and index == 0 else 1))
                channels = width * EXPANSION
            self.add_module(f"layer{number}", nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool3d(functional.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        for number in range(1, len(BLOCKS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(dim=(2, 3, 4))
