"""The pre-trained motion encoders (paper 3.3, C.2): an implicit expression descriptor and the head pose."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hp_core.config import MotionConfig
from hp_core.motion.resnet import BasicBlock, Bottleneck, ResNet


class ExpressionEncoder(nn.Module):
    """ResNet-50 with one-group norms: motion crops to the coarse motion features F_m."""

    def __init__(self, config: MotionConfig):
        super().__init__()
        self.resnet50 = ResNet(
            Bottleneck,
            config.expression_blocks,
            width=config.expression_width,
            out_dim=config.expression_dim,
            groups=config.expression_groups,
        )

    def forward(self, motion_crops: Tensor) -> Tensor:
        """(frames, 3, 256, 256) in 0..1 -> (frames, 512)."""
        return self.resnet50(motion_crops)


class HeadPoseEncoder(nn.Module):
    """ResNet-18 that reads head rotation and translation off the square crop."""

    def __init__(self, config: MotionConfig):
        super().__init__()
        # The weights were released with `pixels * 2 + 1`, most likely a slip for `- 1`.
        self.offset = 1.0 if config.head_input == "released" else -1.0
        self.head_pose_net = ResNet(
            BasicBlock, config.head_blocks, width=config.head_width, out_dim=6, groups=config.head_groups, norm="bn", skip="shortcut"
        )

    def forward(self, head_crops: Tensor) -> tuple[Tensor, Tensor]:
        """(frames, 3, 256, 256) in 0..1 -> rotation (frames, 3) in degrees, -180..180, and translation (frames, 3), -2..2."""
        # In float32, also under autocast: bfloat16 has steps of a degree here.
        out = torch.sigmoid(self.head_pose_net(head_crops * 2 + self.offset).float())
        return out[:, :3] * 360 - 180, out[:, 3:] * 4 - 2
