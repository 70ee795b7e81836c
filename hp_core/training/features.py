"""What the animation stage trains on: everything that its frozen networks say about a clip, computed once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from hp_core.appearance.encode import vit_resize
from hp_core.face.crop import arcface_align
from hp_core.face.likeness import IdentityEncoder
from hp_core.training.augment import colour_jitter, to_batch
from hp_core.training.clips import Clip
from hp_core.training.patch_encoder import PatchEncoder, is_linear
from hp_core.training.vae import to_signed
from hp_core.weights.load import PortraitModels

_CHUNK = 16  # frames through a network at once


class ClipEncoder:
    """A clip to the arrays of the `animation` store, each (frames, ...).

    ``latents`` (F, z, h, w) float16, the VAE's mode, unscaled; ``vit`` (F, s, s, 3) uint8, the appearance extractor's
    picture; ``id`` (F, 512); ``feature`` (F, V, E), ``rotation`` and ``translation`` (F, V, 3): the motion encoders' word on V
    variants of the crops, the first untouched, the others with jittered colours; ``five_points``, ``crop_points``, ``keypoints``.

    Args:
        models: the frozen networks (VAE, expression and head-pose encoders, ID encoder if there is one).
        variants: V.
        jitter: strength of the colour jitter, 0..1.
        stylizer: restyles frames (F, S, S, 3) uint8; applied to source and target alike, never to the motion crops (paper 3.5).
        style_share: of the clips that are restyled.
        seed: of the jitter and of the choice of clips.
    """

    def __init__(
        self,
        models: PortraitModels,
        *,
        device: torch.device,
        variants: int,
        jitter: float,
        stylizer: Callable[[Clip], np.ndarray] | None = None,
        style_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.models, self.device, self.variants, self.jitter = models, device, variants, jitter
        self.stylizer, self.style_share, self.seed = stylizer, style_share, seed
        self.patches = PatchEncoder(models.vae).to(device) if is_linear(models.vae) else None

    @torch.no_grad()
    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, *clip.key.encode()])
        frames = clip.frames
        if self.stylizer is not None and rng.random() < self.style_share:
            frames = self.stylizer(clip)
        feature, rotation, translation = self._motion(clip, rng)
        arrays = {
            "latents": self._latents(frames),
            "vit": torch.from_numpy(_resized(frames, self.models.config.appearance.image_size)),
            "id": torch.from_numpy(_embeddings(self.models.identity, frames, clip.crop_points)),
            "feature": feature,
            "rotation": rotation,
            "translation": translation,
            "five_points": torch.from_numpy(clip.five_points),
            "crop_points": torch.from_numpy(clip.crop_points),
        }
        if clip.keypoints is not None:
            arrays["keypoints"] = torch.from_numpy(clip.keypoints)
        return arrays

    def _latents(self, frames: np.ndarray) -> Tensor:
        vae, parts = self.models.vae, []
        dtype = next(vae.parameters()).dtype
        for start in range(0, len(frames), _CHUNK):
            images = to_signed(torch.from_numpy(frames[start : start + _CHUNK])).to(self.device, dtype)
            latents = vae.encode(images).latent_dist.mode() if self.patches is None else self.patches(images.float())
            parts.append(latents.half().cpu())
        return torch.cat(parts)

    def _motion(self, clip: Clip, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        crops, heads = to_batch(torch.from_numpy(clip.motion_crops)), to_batch(torch.from_numpy(clip.head_crops))
        variants = []
        for variant in range(self.variants):
            strength = self.jitter if variant else 0.0
            looks = [colour_jitter(images, strength, rng) if strength else images for images in (crops, heads)]
            parts = []
            for start in range(0, len(crops), _CHUNK):
                crop, head = (look[start : start + _CHUNK].to(self.device) for look in looks)
                parts.append((self.models.expression(crop), *self.models.headpose(head)))
            variants.append([torch.cat(column).float().cpu() for column in zip(*parts, strict=True)])
        feature, rotation, translation = (torch.stack(column, dim=1) for column in zip(*variants, strict=True))
        return feature, rotation, translation


def _resized(frames: np.ndarray, size: int) -> np.ndarray:
    """(F, S, S, 3) uint8 -> (F, size, size, 3), as `hp_core.appearance.encode.vit_input` resizes."""
    images = rearrange(torch.from_numpy(frames), "f h w c -> f c h w").float()
    return rearrange(vit_resize(images, size).round().clamp(0, 255).byte(), "f c h w -> f h w c").numpy()


def _embeddings(identity: IdentityEncoder | None, frames: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(F, 512); zeros without an ID encoder."""
    if identity is None:
        return np.zeros((len(frames), 512), np.float32)
    return np.stack([identity.embed(arcface_align(frame, at)) for frame, at in zip(frames, points, strict=True)])
