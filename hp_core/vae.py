"""SVD's temporal-decoder VAE at the two ends of the pipeline: the reference latent in, frames out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hp_core.errors import PortraitError

if TYPE_CHECKING:
    from diffusers import AutoencoderKLTemporalDecoder


@torch.no_grad()
def encode_reference(vae: AutoencoderKLTemporalDecoder, image: Tensor) -> Tensor:
    """The mode of the posterior, unscaled: image (1, 3, height, width) in -1..1 -> (1, 4, height / 8, width / 8) float32."""
    weight = vae.encoder.conv_in.weight
    upcast = vae.config.force_upcast and weight.dtype == torch.float16  # SVD's encoder overflows in float16
    stored, dtype = weight.dtype, torch.float32 if upcast else weight.dtype
    nn.Module.to(vae, dtype)  # past diffusers' own `to`, which warns at every cast
    try:
        return vae.encode(image.to(weight.device, dtype)).latent_dist.mode().float()
    finally:
        nn.Module.to(vae, stored)


@torch.no_grad()
def decode_chunks(
    vae: AutoencoderKLTemporalDecoder, latents: Tensor, *, chunk: int, keep: range | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Decode a clip chunk by chunk, each as soon as it is asked for.

    The temporal decoder sees one chunk as a clip of its own, so chunk borders are part of the result: they are counted from
    the first latent, also where ``keep`` cuts warm-up frames off. Chunks outside ``keep`` are not decoded.

    Args:
        latents: (frames, 4, height, width), unscaled VAE space, on any device.
        chunk: frames in a chunk, 8 as released; the last may be shorter.
        keep: frames wanted, None for all.

    Yields:
        the index of the first frame, and raw frames (n, 3, 8 * height, 8 * width) float32, about -1..1, not clamped.

    Raises:
        PortraitError: frames that are not finite.
    """
    keep = range(len(latents)) if keep is None else keep
    weight = vae.decoder.conv_in.weight
    for start in range(0, len(latents), chunk):
        part = latents[start : start + chunk]
        first, last = max(start, keep.start), min(start + len(part), keep.stop)
        if first >= last:
            continue
        frames = vae.decode(part.to(weight.device, weight.dtype), num_frames=len(part)).sample
        if not torch.isfinite(frames).all():
            raise PortraitError(
                f"The VAE decoded frames {start} to {start + len(part) - 1} to NaN or infinity in {weight.dtype}. "
                "Run in float32 or bfloat16: some cards overflow in float16."
            )
        yield first, frames[first - start : last - start].float()


def to_uint8(frames: Tensor) -> Tensor:
    """(n, 3, height, width) in -1..1 -> (n, height, width, 3) uint8 on the CPU, clamped and rounded."""
    scaled = (frames * 0.5 + 0.5).clamp(0, 1) * 255
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu()
