"""An encoder of SVD's class that is the principal component analysis of patches, in closed form.

A learned encoder must be trained before anything else can, and moves while its decoder learns. The leading components of the
pictures themselves carry as much after seconds, and the squared error of a latent is that of the picture it stands for. The
residual branches are silent, so the network is linear but for its last norm and activation, which are undone: each norm group
holds two components beside two large constants that bring its mean to zero, so that it divides by nearly the same number whatever
the picture, and silu is the identity far above zero.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from hp_core.errors import OptionError

_DEVIATION = 0.5  # of every component in the norm groups, beside their constants
_CONSTANT = 16.0  # of the norm groups
_SHIFT = 12.0  # to where silu is the identity but for 1e-4; further up half precision has fewer digits left
_LOG_VARIANCE = -10.0
_LINEAR = 0.01  # most that a linear encoder errs by, of its answer


@torch.no_grad()
def fit_patch_encoder(vae: Any, images: Tensor) -> Tensor:
    """Write the encoder's weights from ``images`` (n, 3, S, S) in -1..1; returns the deviation of each latent channel (z,).

    A component of deviation s becomes a channel of deviation proportional to the square root of s, all of them together of
    variance one: between the pictures' own scale, which buries the details in noise, and equal scales, which bury the picture.

    Raises:
        OptionError: the VAE has too few channels for its latents.
    """
    encoder, z = vae.encoder, int(vae.config.latent_channels)
    channels, last = list(vae.config.block_out_channels), int(vae.config.block_out_channels[-1])
    carried = 3  # components that reach the last block
    for count in channels[:-1]:
        carried = min(count, 4 * carried)
    if min(last // 2, carried) < z or last != 4 * encoder.conv_norm_out.num_groups:
        raise OptionError(
            f"vae.encoder is patches and the VAE has {channels} channels for {z} latents; "
            f"it needs 128 channels in the last block and has room for {min(last // 2, carried)} latents."
        )
    for block in [*encoder.down_blocks, encoder.mid_block]:
        _silence(block)
    _pass_on(encoder.conv_in, 3)
    x = images  # what arrives at each stage: the components kept so far, (n, c, h, w)
    width = 3
    for block in encoder.down_blocks[:-1]:
        _carry(block.resnets, width)
        downsample = block.downsamplers[0].conv
        cells = rearrange(x, "n c (h p) (w q) -> n (c p q) h w", p=2, q=2)
        basis, _, _ = _components(cells, min(downsample.out_channels, 4 * width))  # (4 c, k)
        downsample.weight.zero_()
        downsample.weight[: basis.shape[1], :width, :2, :2] = rearrange(basis, "(c p q) k -> k c p q", p=2, q=2)
        downsample.bias.zero_()
        x, width = torch.einsum("nchw,ck->nkhw", cells, basis), basis.shape[1]
    basis, mean, deviation = _components(x, z)
    channel = deviation.sqrt() / deviation.mean().sqrt()  # deviation of each latent channel
    inside = _DEVIATION / deviation.clamp(min=1e-6)
    _carry(encoder.down_blocks[-1].resnets, width, last=basis.T * inside[:, None], shift=-(mean @ basis) * inside)
    _undo_norm(encoder, channel / _DEVIATION)
    _pass_on(vae.quant_conv, 2 * z)
    return channel


class PatchEncoder(nn.Module):
    """What the fitted encoder computes, as one product a patch: a hundredth of the work, to a thousandth of the latents' deviation.

    Raises:
        OptionError: the VAE's encoder is not linear in patches.
    """

    weight: Tensor
    offset: Tensor

    @torch.no_grad()
    def __init__(self, vae: Any) -> None:
        super().__init__()
        weight, offset, error = _affine_map(vae)
        if not error < _LINEAR:
            raise OptionError(
                f"The VAE's encoder is not linear: it errs by {error:.2g} of its answers. Train it with vae.encoder: patches."
            )
        self.side = _side(vae)
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, side h, side w) in -1..1 -> (n, z, h, w), the mode, unscaled."""
        patches = rearrange(pictures, "n c (h p) (w q) -> n h w (c p q)", p=self.side, q=self.side)
        return rearrange(patches @ self.weight + self.offset, "n h w z -> n z h w")


def is_linear(vae: Any) -> bool:
    """Whether the VAE has a patch encoder, not a learned one."""
    with torch.no_grad():
        return _affine_map(vae)[2] < _LINEAR


class PatchDecoder(nn.Module):
    """The patch encoder run backwards: latents to the smallest pictures that have them, by least squares.

    Far faster than the VAE's decoder, and gradients pass through it unchanged.

    Raises:
        OptionError: the VAE's encoder is not linear in patches.
    """

    weight: Tensor
    offset: Tensor

    @torch.no_grad()
    def __init__(self, vae: Any) -> None:
        super().__init__()
        forwards = PatchEncoder(vae)
        weight = torch.linalg.pinv(forwards.weight.double()).float()  # (z, c p q)
        self.side = forwards.side
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("offset", -forwards.offset @ weight, persistent=False)

    def forward(self, latents: Tensor) -> Tensor:
        """(n, z, h, w), unscaled -> (n, 3, side h, side w), in -1..1 but for overshoots."""
        patches = rearrange(latents, "n z h w -> n h w z") @ self.weight + self.offset
        return rearrange(patches, "n h w (c p q) -> n c (h p) (w q)", c=3, p=self.side)


def _side(vae: Any) -> int:
    """Pixels of a patch each way."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))


def _affine_map(vae: Any) -> tuple[Tensor, Tensor, float]:
    """What the encoder does to a patch, (c p q, z) and (z,), read off it by probes; and how far that is from what it does, as a part of
    its answers."""
    side = _side(vae)
    count = 3 * side**2
    rows = int(count**0.5) + 1  # one patch of the picture for each number of a patch, and some that are zero
    probes = torch.zeros(rows * rows, count)
    probes[:count] = 0.5 * torch.eye(count)
    picture = rearrange(probes, "(h w) (c p q) -> 1 c (h p) (w q)", h=rows, p=side, q=side)
    parameter = next(vae.parameters())
    pictures = torch.cat([picture, -picture]).to(parameter.device, parameter.dtype)
    up, down = rearrange(vae.encode(pictures).latent_dist.mode().float(), "n z h w -> n (h w) z").unbind()
    zero = up[-1]  # of a black-and-white middle grey
    error = (up + down - 2 * zero).square().mean().sqrt() / (up - down).square().mean().sqrt()
    return (up - zero)[:count] / 0.5, zero, float(error)


def _components(x: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Leading ``count`` principal directions (c, count) of x (n, c, h, w) over positions, its mean (c,), deviations (count,).

    About zero for the directions, so that a constant picture is a component like any other.
    """
    flat = rearrange(x, "n c h w -> (n h w) c").double()
    mean = flat.mean(0)
    _, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    basis = vectors.flip(1)[:, :count]
    deviation = ((flat - mean) @ basis).std(0)
    return basis.float(), mean.float(), deviation.float()


def _silence(block: nn.Module) -> None:
    """Nothing but the shortcuts of residual blocks and attentions."""
    for resnet in block.resnets:  # type: ignore[union-attr]
        nn.init.zeros_(resnet.conv2.weight)
        nn.init.zeros_(resnet.conv2.bias)
    for attention in getattr(block, "attentions", []):
        nn.init.zeros_(attention.to_out[0].weight)
        nn.init.zeros_(attention.to_out[0].bias)


def _pass_on(conv: Any, count: int) -> None:
    """The first ``count`` channels unchanged, the others zero."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    middle = conv.weight.shape[-1] // 2
    for channel in range(count):
        conv.weight[channel, channel, middle, middle] = 1.0


def _carry(resnets: Any, width: int, *, last: Tensor | None = None, shift: Tensor | None = None) -> None:
    """The shortcuts hand ``width`` channels on; the last one, if told, maps them to norm groups of four by ``last`` (z, width)."""
    for number, resnet in enumerate(resnets):
        shortcut = resnet.conv_shortcut
        if shortcut is not None:
            _pass_on(shortcut, min(width, shortcut.in_channels))
        if last is not None and number == len(resnets) - 1:
            if shortcut is None or shift is None:
                raise OptionError("vae.encoder is patches; the last block of the VAE must widen its channels.")
            shortcut.weight.zero_()
            shortcut.bias.zero_()
            rows = _places(len(last), shortcut.out_channels)
            shortcut.weight[rows, :width, 0, 0] = last
            shortcut.bias[rows] = shift
            for values in (shortcut.weight, shortcut.bias):  # the other two channels bring the group's mean to zero
                values[2::4] = values[3::4] = -(values[0::4] + values[1::4]) / 2
            shortcut.bias[2::4] += _CONSTANT
            shortcut.bias[3::4] -= _CONSTANT


def _undo_norm(encoder: Any, size: Tensor) -> None:
    """Last norm, activation and convolution together hand the components on, ``size`` (z,) times as large; the log-variance is small
    and constant."""
    norm, conv, z = encoder.conv_norm_out, encoder.conv_out, len(size)
    # Of the four channels of a group two hold components, and the constants half their sum beside their own.
    nn.init.constant_(norm.weight, ((1.5 * _DEVIATION**2 + _CONSTANT**2) / 2) ** 0.5)
    nn.init.constant_(norm.bias, _SHIFT)
    nn.init.zeros_(conv.weight)
    conv.weight[torch.arange(z), _places(z, conv.in_channels), 1, 1] = size
    conv.bias[:z] = -_SHIFT * size
    conv.bias[z:] = _LOG_VARIANCE


def _places(z: int, channels: int) -> Tensor:
    """Channel of each component: a large one beside a small one in each group of four."""
    groups = channels // 4
    component = torch.arange(z)
    return 4 * (component % groups) + component // groups
