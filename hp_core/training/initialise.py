"""What new layers begin as."""

from __future__ import annotations

import torch
from torch import nn

from hp_core.unet.temporal import temporal_outputs

_DEGREES = 20.0  # a common head rotation


@torch.no_grad()
def still_time(module: nn.Module) -> None:
    """Make every temporal layer of ``module`` (a UNet, or a VAE with a temporal decoder) the identity.

    Training on single frames then loses nothing when the temporal layers join in.
    """
    for layer in temporal_outputs(module):
        _zero(layer)
    last = getattr(getattr(module, "decoder", None), "time_conv_out", None)
    if last is not None:
        _zero(last)
        nn.init.dirac_(last.weight)


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.zero_()


@torch.no_grad()
def begin(name: str, module: nn.Module) -> None:
    """Give a new module, by its published file's name, the weights that training starts from.

    The UNet and the VAE treat each frame by itself at first. The head rotation stands in the motion tokens in degrees, beside
    features of about one: its columns of the motion attention begin in proportion. A ViT without DINOv2's training needs layer
    scales of one to learn from its blocks at all.
    """
    if name in ("unet", "vae"):
        still_time(module)
    if name == "unet":
        for part in module.cross_attentions:  # type: ignore[union-attr]
            for projection in (part.processor.to_k_ip[0], part.processor.to_v_ip[0]):
                projection.weight[:, -6:-3] /= _DEGREES
    if name == "dino":
        for block in module.blocks:  # type: ignore[union-attr]
            block.ls1.gamma.fill_(1.0)
            block.ls2.gamma.fill_(1.0)
