"""The temporal layers of SVD's blocks as something that can be left out: for training on single frames, and where they do nothing."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from diffusers.models.attention import TemporalBasicTransformerBlock
from diffusers.models.resnet import SpatioTemporalResBlock, TemporalResnetBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn


class PortraitResBlock(SpatioTemporalResBlock):
    """diffusers' pair of a spatial and a temporal residual block, of which the second can be left out (`set_spatial_only`)."""

    spatial_only = False

    def forward(self, hidden_states: Tensor, temb: Tensor | None = None, image_only_indicator: Tensor | None = None) -> Tensor:
        """hidden_states (batch * frames, channels, height, width), temb (batch * frames, channels) -> the same shape."""
        if self.spatial_only:
            return self.spatial_res_block(hidden_states, temb)
        return super().forward(hidden_states, temb, image_only_indicator)


def set_spatial_only(module: nn.Module, spatial_only: bool) -> None:
    """Leave every temporal layer of ``module`` (a UNet, or a VAE with a temporal decoder) out, or take it in again."""
    for part in module.modules():
        if isinstance(part, SpatioTemporalResBlock):
            part.__class__ = PortraitResBlock  # diffusers' constructors name their class themselves; same state, other forward
        if hasattr(part, "spatial_only"):
            setattr(part, "spatial_only", spatial_only)  # noqa: B010  # an attribute of some modules alone, says mypy


def is_temporal(name: str) -> bool:
    """Whether the parameter ``name`` of a UNet belongs to its temporal layers."""
    return any(part.startswith(("temporal_", "time_pos_embed")) for part in name.split("."))


def temporal_outputs(module: nn.Module) -> Iterator[nn.Module]:
    """The layers that carry what temporal layers say: with zeros in all of them, time passes through unchanged."""
    for part in module.modules():
        if isinstance(part, TemporalResnetBlock):
            yield part.conv2
        elif isinstance(part, TemporalBasicTransformerBlock):
            yield part.ff.net[-1]
            yield part.attn1.to_out[0]
            if part.attn2 is not None:
                yield part.attn2.to_out[0]
            if part.ff_in is not None:
                yield part.ff_in.net[-1]
        elif isinstance(part, TransformerSpatioTemporalModel):
            yield part.time_pos_embed.linear_2


def is_still(module: nn.Module) -> bool:
    """Whether the temporal layers of ``module`` change nothing, as before their training."""
    return not any(bool(torch.any(parameter)) for layer in temporal_outputs(module) for parameter in layer.parameters())
