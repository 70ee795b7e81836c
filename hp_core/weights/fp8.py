"""Weights kept in eight bits: half of float16's memory, computed in the dtype of whatever runs through them.

Every output channel is divided by its own scale, so that its largest weight is the largest number of float8_e4m3fn (OCP 8-bit
floating point specification, 2023), and multiplied back for the moment of use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.embeddings import TimestepEmbedding
from torch import Tensor, nn
from torch.nn import functional as F

from hp_core.errors import OptionError

FP8 = torch.float8_e4m3fn


class Fp8Layer(nn.Module):
    """What a layer with 8-bit weights has beside the plain one; its bias stays in the dtype of the computation.

    Its tensors may lie on another device than its input: they are brought over for the moment they are needed.

    Attributes:
        weight: of the plain layer's shape, `FP8`.
        scale: float32, one for each output channel, of a shape that broadcasts over ``weight``.
    """

    if TYPE_CHECKING:
        weight: Tensor
        scale: Tensor
        bias: Any

    def dequantised(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight and bias in the dtype and on the device of the input ``x``."""
        weight = self.weight.to(x.device).to(x.dtype)  # in this order, so that eight bits travel
        # In place, and still multiplied in float32: scales are too small for float16.
        weight.mul_(self.scale.to(x.device))
        return weight, None if self.bias is None else self.bias.to(x)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """`Module.to` and its kin: stored numbers move with the rest, and keep their dtype."""

        def moved(tensor: Tensor) -> Tensor:
            changed = fn(tensor)
            stored = tensor is self.weight or tensor is self.scale
            return tensor.to(changed.device) if stored and changed.dtype != tensor.dtype else changed

        return super()._apply(moved, recurse)


class Fp8Linear(Fp8Layer, nn.Linear):
    """`nn.Linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """See `nn.Linear`."""
        return F.linear(input, *self.dequantised(input))


class Fp8Conv2d(Fp8Layer, nn.Conv2d):
    """`nn.Conv2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """See `nn.Conv2d`."""
        return self._conv_forward(input, *self.dequantised(input))


class Fp8Conv3d(Fp8Layer, nn.Conv3d):
    """`nn.Conv3d`."""

    def forward(self, input: Tensor) -> Tensor:
        """See `nn.Conv3d`."""
        return self._conv_forward(input, *self.dequantised(input))


_KINDS: dict[type[nn.Module], type[Fp8Layer]] = {nn.Linear: Fp8Linear, nn.Conv2d: Fp8Conv2d, nn.Conv3d: Fp8Conv3d}


@torch.no_grad()
def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight (out, ...) -> the same shape in `FP8`, and float32 scales (out, 1, ...); ``weight`` is about their product.

    A weight is off by at most 1/16 of itself, or by scale / 1024 where it is smaller than scale / 64: what three bits of mantissa give.
    """
    exact = weight.float()
    largest = exact.flatten(1).abs().amax(1).view(-1, *(1,) * (exact.ndim - 1))
    # A channel of zeros has any scale; so has one that float32 could not divide by.
    scale = torch.where(largest < torch.finfo(torch.float32).tiny * 1024, torch.ones_like(largest), largest / torch.finfo(FP8).max)
    return (exact / scale).to(FP8), scale


def store_in_fp8(unet: nn.Module) -> None:
    """Turn the linear and convolutional layers of a `PortraitUNet` into `Fp8Layer`, in place, one after another.

    Left as they are: norms and biases (few numbers that touch every channel), embeddings of time and place (what they give is
    the same for every position, so an error in it is not averaged away), and the first and the last convolution (their input and
    output are the picture; the first one's dtype is also what `PortraitUNet.dtype` tells).
    """
    for layer in list(_stored_layers(unet)):
        weight, scale = quantised(layer.weight)  # type: ignore[arg-type]
        layer.__class__ = _KINDS[type(layer)]  # same state beside the weight, other forward; whoever holds the layer goes on holding it
        layer.weight = nn.Parameter(weight, requires_grad=False)
        layer.register_parameter("scale", nn.Parameter(scale, requires_grad=False))  # a buffer would be replaced, not refilled, by `to`


def _stored_layers(unet: nn.Module) -> Iterator[nn.Module]:
    for name, part in unet.named_children():
        if name not in ("conv_in", "conv_out"):
            yield from _inside(part)


def _inside(part: nn.Module) -> Iterator[nn.Module]:
    if type(part) in _KINDS:
        yield part
    elif not isinstance(part, TimestepEmbedding):
        for child in part.children():
            yield from _inside(child)


def check_fp8(device: torch.device | str) -> None:
    """Raise `OptionError` where ``device`` cannot hold eight-bit numbers or make others of them."""
    try:
        torch.zeros(1, dtype=FP8, device=device).to(torch.float16)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        reason = str(error).split("\n", 1)[0]
        raise OptionError(f"unet_storage is 'fp8', which '{device}' cannot hold ({reason}). Use 'compute', or another device.") from error
