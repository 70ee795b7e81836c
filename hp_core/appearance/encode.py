"""Appearance Encode: tokens, ID embedding and reference latent of the portrait (paper 3.4)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hp_core.appearance.vit import AppearanceViT, TokenProjector
from hp_core.face.crop import arcface_align
from hp_core.face.likeness import IdentityEncoder
from hp_core.values import Appearance, FaceTrack

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def vit_resize(images: Tensor, size: int) -> Tensor:
    """(n, 3, height, width) -> (n, 3, size, size), bilinear with antialiasing."""
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def vit_normalise(images: Tensor) -> Tensor:
    """(n, 3, height, width) in 0..1 -> the same shape by ImageNet's mean and deviation."""
    mean, std = (torch.tensor(v)[None, :, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std


def vit_input(crop: np.ndarray, size: int) -> Tensor:
    """Portrait crop (S, S, 3) uint8 -> (1, 3, size, size), bilinear with antialiasing, ImageNet normalisation."""
    image = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 255
    return vit_normalise(vit_resize(image, size))


@torch.no_grad()
def encode_appearance(
    vit: AppearanceViT,
    projector: TokenProjector,
    identity: IdentityEncoder | None,
    encode_latent: Callable[[Tensor], Tensor],
    portrait: FaceTrack,
    *,
    device: torch.device | str,
) -> Appearance:
    """Appearance of the portrait, on the CPU.

    Args:
        identity: None gives an embedding of zeros, and says so in the result.
        encode_latent: image (1, 3, S, S) in -1..1 -> the VAE's mode (1, 4, S / 8, S / 8), unscaled; passed in, so that
            ComfyUI's VAE serves as well as diffusers'.
    """
    crop = portrait.portrait_crop
    if identity is None:
        embedding = np.zeros(vit.config.id_dim, dtype=np.float32)
    else:
        embedding = identity.embed(arcface_align(crop, portrait.crop_points))
    id_embedding = torch.from_numpy(embedding)[None]
    dtype = projector.weight.dtype
    image = vit_input(crop, vit.config.image_size)
    tokens = projector(vit(image.to(device, dtype), id_embedding.to(device, dtype)))
    reference = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    return Appearance(
        tokens=tokens.float().cpu(),
        id_embedding=id_embedding,
        identity="none" if identity is None else "arcface",
        reference_latent=encode_latent(reference).float().cpu(),
        image=crop,
    )
