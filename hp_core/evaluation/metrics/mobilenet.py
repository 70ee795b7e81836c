"""MobileNetV3 "minimal" (Howard et al. 2019) as SMIRK uses it, under timm's names: no squeeze, no hard swish, 3x3 everywhere.

Written here because timm cannot be imported without torchvision; the tests compare it with timm where timm can.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

STEM = 16
SMALL = (
    ((1, 2, 16),),
    ((4.5, 2, 24), (3.67, 1, 24)),
    ((4, 2, 40), (6, 1, 40), (6, 1, 40)),
    ((3, 1, 48), (3, 1, 48)),
    ((6, 2, 96), (6, 1, 96), (6, 1, 96)),
)
LARGE = (
    ((1, 1, 16),),
    ((4, 2, 24), (3, 1, 24)),
    ((3, 2, 40), (3, 1, 40), (3, 1, 40)),
    ((6, 2, 80), (2.5, 1, 80), (2.3, 1, 80), (2.3, 1, 80)),
    ((6, 1, 112), (6, 1, 112)),
    ((6, 2, 160), (6, 1, 160), (6, 1, 160)),
)
"""Stages of blocks: expansion, stride, width."""
LAST = {"small": 576, "large": 960}
_EPS = 1e-3
"""Of the batch norms, TensorFlow's."""


class SameConv2d(nn.Conv2d):
    """Padded as TensorFlow does: what stride and size ask for, one more at the end where it is odd."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for side, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return functional.conv2d(functional.pad(x, pads), self.weight, None, self.stride, 0, 1, self.groups)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_EPS)


class Separable(nn.Module):
    """Depthwise 3x3, pointwise."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = SameConv2d(channels, channels, 3, stride, groups=channels, bias=False), _norm(channels)
        self.conv_pw, self.bn2 = nn.Conv2d(channels, width, 1, bias=False), _norm(width)
        self.skip = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv_dw(x)))
        y = self.bn2(self.conv_pw(y))
        return x + y if self.skip else y


class Inverted(nn.Module):
    """Pointwise expansion, depthwise 3x3, pointwise projection."""

    def __init__(self, channels: int, width: int, stride: int, expansion: float) -> None:
        super().__init__()
        inner = _rounded(channels * expansion)
        self.conv_pw, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), _norm(inner)
        self.conv_dw, self.bn2 = SameConv2d(inner, inner, 3, stride, groups=inner, bias=False), _norm(inner)
        self.conv_pwl, self.bn3 = nn.Conv2d(inner, width, 1, bias=False), _norm(width)
        self.skip = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv_pw(x)))
        y = functional.relu(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.skip else y


class Pointwise(nn.Module):
    """The last stage."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), _norm(width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn1(self.conv(x)))


class MobileNet(nn.Module):
    """(n, 3, H, W) to the last map (n, 576 or 960, H / 32, W / 32); ``kind`` is `small` or `large`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = SameConv2d(3, STEM, 3, 2, bias=False), _norm(STEM)
        stages, channels = [], STEM
        for stage in SMALL if kind == "small" else LARGE:
            blocks: list[nn.Module] = []
            for expansion, stride, width in stage:
                alone = expansion == 1
                blocks.append(Separable(channels, width, stride) if alone else Inverted(channels, width, stride, expansion))
                channels = width
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages, nn.Sequential(Pointwise(channels, LAST[kind])))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(functional.relu(self.bn1(self.conv_stem(x))))
        return out


def _rounded(width: float) -> int:
    """To a multiple of 8, the nearest, but never more than a tenth below (Howard et al. 2017)."""
    near = max(8, int(width + 4) // 8 * 8)
    return near + 8 if near < 0.9 * width else near
