"""The decoder of a small VAE once more, on what the UNet draws.

A small UNet is unsure where an edge lies by a pixel or so and blurs lips and irises, which the decoder, trained on latents of
pictures alone, hands on as they come. Shown such latents beside the frames they stand for, it learns what they are of.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from einops import rearrange
from torch import Tensor, nn

from hp_core.config import PortraitConfig
from hp_core.motion.encoders import ExpressionEncoder
from hp_core.training.animation import AnimationLoss, intensity_levels, redraw
from hp_core.training.clips import Clip
from hp_core.training.features import ClipEncoder
from hp_core.training.perceptual import PerceptualLoss
from hp_core.training.settings import DecoderTraining
from hp_core.training.sharpness import sharpness_loss
from hp_core.training.spikes import spikes_seen
from hp_core.training.store import Store
from hp_core.training.trainer import step_seed
from hp_core.training.vae import choose_trainable, picture_loss, psnr, save_validation, squared_errors, to_signed
from hp_core.vae import to_uint8

SPIKE = 10.0
"""Standard deviations from its group's mean from which a value in the decoder is a spike; those of pictures rarely reach 8."""


class PredictionEncoder:
    """A clip to what the decoder learns from, each (frames, ...): its ``frames`` with their ``crop_points``, their ``latents`` and,
    ``predicted``, those that the UNet draws from the first frame and the clip's motion.

    Args:
        loss: the networks of the animation stage, trained.
        steps: of denoising.
    """

    def __init__(self, encode: ClipEncoder, loss: AnimationLoss, model: PortraitConfig, *, steps: int, device: torch.device) -> None:
        self.encode, self.loss, self.model, self.steps, self.device = encode, loss, model, steps, device

    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        item = self.encode(clip)
        levels = intensity_levels(clip.five_points, self.model.motion)
        drawn = redraw(self.loss, self.model, item, levels, steps=self.steps, device=self.device)
        kept = {name: item[name] for name in ("latents", "crop_points")}
        return {"frames": torch.from_numpy(clip.frames), "predicted": drawn.half().cpu(), **kept}


class DecoderLoss(nn.Module):
    """The picture's difference, as the `vae` stage measures it, its sharpness, the faces' difference as the expression encoder
    sees them, and spikes inside."""

    def __init__(self, vae: AutoencoderKLTemporalDecoder, expression: ExpressionEncoder, config: DecoderTraining, size: int) -> None:
        super().__init__()
        self.vae, self.config, self.perceptual = vae, config, PerceptualLoss(expression, size)

    def forward(self, latents: Tensor, images: Tensor, points: Tensor) -> dict[str, Tensor]:
        """latents (n, z, h, w), unscaled; images (n, 3, S, S) in -1..1; points (n, 5, 2) pixels."""
        watch: AbstractContextManager[list[Tensor] | None]
        watch = spikes_seen(self.vae.decoder, SPIKE) if self.config.spikes else nullcontext()
        with watch as spikes:
            decoded = self.vae.decode(latents, num_frames=1).sample.float()
        pictures = picture_loss(decoded, images, points, face=self.config.face, gradient=self.config.gradient)
        metrics = {"loss": pictures, "absolute": (decoded - images).abs().mean()}
        if spikes:
            metrics["spikes"] = torch.stack(spikes).mean()
            metrics["loss"] = metrics["loss"] + self.config.spikes * metrics["spikes"]
        if self.config.sharpness:
            metrics["sharpness"] = sharpness_loss(decoded, images, points, face=self.config.face)
            metrics["loss"] = metrics["loss"] + self.config.sharpness * metrics["sharpness"]
        if self.config.perceptual:
            metrics["perceptual"] = self.perceptual(decoded, images, points).mean()
            metrics["loss"] = metrics["loss"] + self.config.perceptual * metrics["perceptual"]
        return metrics


class DecoderTask:
    """Single frames, some with the encoder's latents and some with the UNet's; nothing but the decoder learns.

    Args:
        expression: whose eyes `DecoderTraining.perceptual` looks through.
        store, held_out: of `PredictionEncoder`.
        export_to: called with the trained VAE's tensors.
    """

    def __init__(
        self,
        vae: AutoencoderKLTemporalDecoder,
        expression: ExpressionEncoder,
        config: DecoderTraining,
        model: PortraitConfig,
        store: Store,
        held_out: Store,
        export_to: Any,
    ) -> None:
        self.config, self.store, self.held_out, self.export_to, self.vae = config, store, held_out, export_to, vae
        choose_trainable(vae, encoder=False)
        self.model: nn.Module = DecoderLoss(vae, expression, config, model.face.motion_size)

    def batch(self, step: int, rows: range) -> dict[str, Tensor]:
        """Random frames of random clips."""
        rng = np.random.default_rng(step_seed(self.config.optim.seed, step))
        count = self.config.optim.batch
        clips, parts = rng.integers(len(self.store), size=count), rng.random(count)
        drawn = rng.random(count) < self.config.predicted
        items = []
        for row in rows:
            index = int(clips[row])
            kind = "predicted" if drawn[row] else "latents"
            frame = np.array([int(parts[row] * self.store.lengths[index])])
            item = self.store.read(index, ("frames", "crop_points", kind), frame)
            items.append((item[kind][0].float(), to_signed(item["frames"])[0], item["crop_points"][0]))
        return dict(zip(("latents", "images", "points"), (torch.stack(column) for column in zip(*items, strict=True)), strict=True))

    @torch.no_grad()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """PSNR of held-out people, whole and at eyes and mouth, from the encoder's latents and from the UNet's; a strip of pictures, a
        column for each: the truth, and what is made of either."""
        device = next(self.vae.parameters()).device
        kinds = {"latents": "psnr", "predicted": "psnr_predicted"}
        errors: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds.values()}
        shown = []
        for index in range(len(self.held_out)):
            item = self.held_out.read(index, ("frames", "crop_points", *kinds), slice(None))
            images = to_signed(item["frames"]).to(device)
            column = [images[0]]
            for kind, name in kinds.items():
                decoded = self.vae.decode(item[kind].float().to(device), num_frames=len(images)).sample.clamp(-1, 1)
                errors[name].append(squared_errors(decoded, images, item["crop_points"].to(device)))
                column.append(decoded[0])
            shown.append(rearrange(to_uint8(torch.stack(column)), "n h w c -> (n h) w c").numpy())
        save_validation(shown, folder)
        return {key: value for name, values in errors.items() for key, value in psnr(name, values).items()}

    def export(self, state: dict[str, Tensor]) -> None:
        """Write the VAE."""
        self.export_to({name.removeprefix("vae."): value for name, value in state.items() if name.startswith("vae.")})
