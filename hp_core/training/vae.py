"""Training of a small VAE of SVD's class on single pictures, for the demo weights."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from einops import rearrange
from torch import Tensor, nn

from hp_core.files import written_beside
from hp_core.training.initialise import still_time
from hp_core.training.patch_encoder import fit_patch_encoder
from hp_core.training.regions import region_weight
from hp_core.training.settings import VaeTraining
from hp_core.training.store import Store
from hp_core.training.trainer import step_seed
from hp_core.unet.temporal import set_spatial_only
from hp_core.vae import to_uint8

_FITTED = 300  # clips that the patches are analysed on


class VaeLoss(nn.Module):
    """Absolute and gradient difference of the reconstruction, more in the face, and a light pull of the latents to N(0, 1)."""

    def __init__(self, vae: AutoencoderKLTemporalDecoder, config: VaeTraining) -> None:
        super().__init__()
        self.vae, self.config = vae, config

    def forward(self, images: Tensor, points: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """images (n, 3, S, S) in -1..1, points (n, 5, 2) pixels, noise (n, z, h, w), as large as the latents."""
        # Of the constants in the patch encoder's norms bfloat16 would leave its components few digits.
        whole = torch.autocast(images.device.type, enabled=False) if self.config.encoder == "patches" else nullcontext()
        with whole:
            posterior = self.vae.encode(images).latent_dist
        latents = posterior.mean + posterior.std * noise
        decoded = self.vae.decode(latents, num_frames=1).sample.float()
        pictures = picture_loss(decoded, images, points, face=self.config.face, gradient=self.config.gradient)
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        return {"loss": pictures + self.config.kl * kl, "absolute": (decoded - images).abs().mean(), "kl": kl}


def picture_loss(decoded: Tensor, images: Tensor, points: Tensor, *, face: float, gradient: float) -> Tensor:
    """Mean absolute difference of pictures (n, 3, S, S), ``face`` more inside the face of five ``points`` (n, 5, 2) and once more at
    its eyes and mouth, and ``gradient`` times that of their gradients."""
    error, side = decoded - images, images.shape[-1]
    weight = region_weight(points, side, side, face=face, features=face)
    gradients = sum(error.diff(dim=dim).abs().mean() for dim in (-2, -1))
    return (error.abs() * weight).mean() + gradient * gradients


def squared_errors(decoded: Tensor, images: Tensor, points: Tensor) -> tuple[float, float]:
    """Mean squared error of pictures (n, 3, S, S) in -1..1, counted in 0..1: of the whole, and at the eyes and the mouth of five
    ``points`` (n, 5, 2)."""
    square, side = (decoded - images).square() / 4, images.shape[-1]
    inside = region_weight(points, side, side, face=0, features=1) - 1
    return float(square.mean()), float((square.mean(1, keepdim=True) * inside).sum() / inside.sum())


def save_validation(columns: list[np.ndarray], folder: Path) -> None:
    """Pictures (height, width, 3) uint8 side by side, as ``validation.png`` of ``folder``."""
    from PIL import Image

    with written_beside(folder / "validation.png") as temporary:
        Image.fromarray(np.hstack(columns)).save(temporary)


def psnr(name: str, errors: list[tuple[float, float]]) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB of `squared_errors`, as ``name`` and ``name``_features."""
    whole, features = (-10 * float(np.log10(mean)) for mean in np.mean(errors, axis=0))
    return {name: whole, f"{name}_features": features}


def choose_trainable(vae: AutoencoderKLTemporalDecoder, *, encoder: bool) -> None:
    """Freeze the temporal layers, which stay the identity, what diffusers' forward leaves out, and the ``encoder`` unless it learns."""
    still_time(vae)
    set_spatial_only(vae, True)
    for name, parameter in vae.named_parameters():
        parameter.requires_grad_("temporal" not in name and "time_" not in name)
    middle = vae.decoder.mid_block
    if len(middle.resnets) == 1:  # diffusers' forward has an attention between two residual blocks only
        middle.attentions.requires_grad_(False)
    if not encoder:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)


class VaeTask:
    """Single frames of ``store`` through the VAE; the temporal layers of the decoder stay the identity.

    Args:
        export_to: called with the trained VAE's tensors.
    """

    def __init__(self, vae: AutoencoderKLTemporalDecoder, config: VaeTraining, store: Store, held_out: Store, export_to: Any) -> None:
        self.config, self.store, self.held_out, self.export_to = config, store, held_out, export_to
        self.vae = vae
        if config.encoder == "patches":
            fit_patch_encoder(vae, self._sample(_FITTED))
        choose_trainable(vae, encoder=config.encoder != "patches")
        self.model: nn.Module = VaeLoss(vae, config)
        self.latent = (int(vae.config.latent_channels), 2 ** (len(vae.config.block_out_channels) - 1))

    def _sample(self, count: int) -> Tensor:
        """The middle frames of ``count`` clips and their mirror images, (n, 3, S, S) in -1..1."""
        clips = np.linspace(0, len(self.store) - 1, min(count, len(self.store))).astype(int)
        frames = [self.store.read(int(i), ("frames",), np.array([self.store.lengths[i] // 2]))["frames"] for i in clips]
        images = to_signed(torch.cat(frames))
        return torch.cat([images, images.flip(-1)])

    def batch(self, step: int, rows: range) -> dict[str, Tensor]:
        """Random frames, cropped if so configured, half of them mirrored."""
        rng = np.random.default_rng(step_seed(self.config.optim.seed, step))
        count = self.config.optim.batch
        clips, parts = rng.integers(len(self.store), size=count), rng.random(count)
        corners = rng.random((count, 2))
        noise_seeds, mirrored = rng.integers(2**62, size=count), rng.random(count) < 0.5
        images, points, noise = [], [], []
        for row in rows:
            index = int(clips[row])
            frame = np.array([int(parts[row] * self.store.lengths[index])])
            item = self.store.read(index, ("frames", "crop_points"), frame)
            image, at = to_signed(item["frames"])[0], item["crop_points"][0]
            if self.config.crop:
                room = image.shape[-1] - self.config.crop
                left, top = (int(part * (room + 1)) for part in corners[row])
                image = image[:, top : top + self.config.crop, left : left + self.config.crop]
                at = at - torch.tensor([left, top], dtype=at.dtype)
            if mirrored[row]:
                image = image.flip(-1)
                at = torch.stack([image.shape[-1] - at[:, 0], at[:, 1]], dim=-1)
            images.append(image)
            points.append(at)
            side = image.shape[-1] // self.latent[1]
            generator = torch.Generator().manual_seed(int(noise_seeds[row]))
            noise.append(torch.randn(self.latent[0], side, side, generator=generator))
        return {"images": torch.stack(images), "points": torch.stack(points), "noise": torch.stack(noise)}

    @torch.no_grad()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """PSNR of held-out people, whole and at eyes and mouth; a strip of pictures and their reconstructions."""
        shown, errors = [], []
        device = next(self.vae.parameters()).device
        for index in range(len(self.held_out)):
            frames = np.linspace(0, self.held_out.lengths[index] - 1, 4).astype(int)
            item = self.held_out.read(index, ("frames", "crop_points"), frames)
            images = to_signed(item["frames"]).to(device)
            decoded = self.vae.decode(self.vae.encode(images).latent_dist.mode(), num_frames=len(images)).sample.clamp(-1, 1)
            errors.append(squared_errors(decoded, images, item["crop_points"].to(device)))
            shown.append(rearrange(to_uint8(torch.stack([images[0], decoded[0]])), "n h w c -> (n h) w c").numpy())
        save_validation(shown, folder)
        return psnr("psnr", errors)

    def export(self, state: dict[str, Tensor]) -> None:
        """Write the VAE."""
        self.export_to({name.removeprefix("vae."): value for name, value in state.items()})


def to_signed(frames: Tensor) -> Tensor:
    """(..., height, width, 3) uint8 -> (..., 3, height, width) float32 in -1..1."""
    return rearrange(frames, "... h w c -> ... c h w").float() / 127.5 - 1
