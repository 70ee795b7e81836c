"""SVD's temporal-decoder VAE at the two ends of the pipeline: the reference latent in, frames out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hp_core.checks import check_range
from hp_core.errors import PortraitError
from hp_core.progress import Progress, Stage

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
    vae: AutoencoderKLTemporalDecoder, latents: Tensor, *, chunk: int, overlap: int = 0, keep: range | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Decode a clip chunk by chunk, each as soon as it is asked for.

    The temporal decoder sees one chunk as a clip of its own, so chunk borders are part of the result: they are counted from
    the first latent, also where ``keep`` cuts warm-up frames off. Chunks outside ``keep`` are not decoded.

    Args:
        latents: (frames, 4, height, width), unscaled VAE space, on any device.
        chunk, overlap, keep: see `in_chunks`.

    Yields:
        the index of the first frame, and raw frames (n, 3, 8 * height, 8 * width) float32, about -1..1, not clamped.

    Raises:
        PortraitError: frames that are not finite.
    """
    weight = vae.decoder.conv_in.weight

    def decode(part: Tensor) -> Tensor:
        return vae.decode(part.to(weight.device, weight.dtype), num_frames=len(part)).sample.float()

    for start, frames in in_chunks(decode, latents, chunk=chunk, overlap=overlap, keep=keep):
        if not torch.isfinite(frames).all():
            raise PortraitError(
                f"The VAE decoded frames {start} to {start + len(frames) - 1} to NaN or infinity in {weight.dtype}. "
                "Run in float32 or bfloat16: some cards overflow in float16."
            )
        yield start, frames


def in_chunks(
    decode: Callable[[Tensor], Tensor], latents: Tensor, *, chunk: int, overlap: int = 0, keep: range | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Decode (frames, ...) chunk by chunk; a chunk that ``keep`` does not touch is left out.

    Args:
        decode: latents of a chunk -> as many frames.
        chunk: frames in a chunk, 8 as released; the last may be shorter.
        overlap: frames that a chunk shares with the next, 0 as released; there the one fades into the other.
        keep: frames wanted, None for all.

    Yields:
        the index of the first frame, and frames, each once.

    Raises:
        OptionError: the overlap is not below the chunk.
    """
    check_range("decode_overlap", overlap, 0, chunk - 1)
    keep = range(len(latents)) if keep is None else keep
    shared: Tensor | None = None  # what the chunk before says of this one's first frames
    for start in range(0, max(len(latents) - overlap, 1), chunk - overlap):
        stop = min(start + chunk, len(latents))
        if max(start, keep.start) >= min(stop, keep.stop):
            shared = None
            continue
        frames = decode(latents[start:stop])
        if shared is not None:
            rise = torch.arange(1, overlap + 1, device=frames.device) / (overlap + 1)
            rise = rise.reshape(-1, *[1] * (frames.ndim - 1)).to(frames.dtype)
            frames = torch.cat([shared.lerp(frames[:overlap], rise), frames[overlap:]])
        end = stop if stop == len(latents) else stop - overlap
        shared = frames[end - start :] if overlap else None
        first, last = max(start, keep.start), min(end, keep.stop)
        if first < last:
            yield first, frames[first - start : last - start]


def to_uint8(frames: Tensor) -> Tensor:
    """(n, 3, height, width) in -1..1 -> (n, height, width, 3) uint8 on the CPU, clamped and rounded."""
    scaled = (frames * 0.5 + 0.5).clamp(0, 1) * 255
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu()


WARM_UP = "hunyuanportrait_warm_up"
"""Key of a `LATENT` dictionary: the latents before and after the clip, from which the decoder's chunks are counted, and its length."""


class HostVae(nn.Module):
    """diffusers' VAE with the two methods a ComfyUI VAE asks of its network."""

    def __init__(self, vae: AutoencoderKLTemporalDecoder) -> None:
        super().__init__()
        self.vae = vae

    def encode(self, pixels: Tensor) -> Tensor:
        """(n, 3, height, width) in -1..1 -> the mode (n, 4, height / 8, width / 8), unscaled."""
        return self.vae.encode(pixels).latent_dist.mode()

    def decode(self, latents: Tensor) -> Tensor:
        """(frames, 4, height, width), unscaled, as one clip -> (frames, 3, 8 * height, 8 * width), about -1..1."""
        return self.vae.decode(latents, num_frames=len(latents)).sample


def through_unit_range(encode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """An encoder of (n, height, width, 3) in 0..1, as ComfyUI's VAE is, as one of (n, 3, height, width) in -1..1."""
    return lambda image: encode((image * 0.5 + 0.5).permute(0, 2, 3, 1))


def decode_latent(latent: dict[str, Any], decode: Callable[[Tensor], Tensor], *, chunk: int, overlap: int = 0) -> Stage[Tensor]:
    """ComfyUI's `LATENT` to its `IMAGE`, chunk by chunk.

    Chunks are counted from the first warm-up frame where the latent carries them (`WARM_UP`), as the released code counts.

    Args:
        decode: (n, 4, height, width), unscaled, as one clip -> (n, 8 * height, 8 * width, 3) in 0..1.
        chunk, overlap: see `in_chunks`.

    Returns:
        (frames, height, width, 3) float32 in 0..1.
    """
    samples: Tensor = latent["samples"]
    before, after, clip = latent.get(WARM_UP) or (samples[:0], samples[:0], samples)
    if clip is not samples:  # another block has changed the clip: what was drawn beside it no longer goes with it
        before, after = samples[:0], samples[:0]
    whole, first = torch.cat([before.to(samples), samples, after.to(samples)]), len(before)
    decoded: Tensor | None = None  # made once, at its full length: joining parts would hold the clip twice
    for start, frames in in_chunks(decode, whole, chunk=chunk, overlap=overlap, keep=range(first, first + len(samples))):
        if decoded is None:
            decoded = torch.empty(len(samples), *frames.shape[1:])
        decoded[start - first : start - first + len(frames)] = frames
        yield Progress("decode", start + len(frames) - first, len(samples))
    assert decoded is not None  # a LATENT has at least one frame
    return decoded
