"""SVD Portrait Sampler: a whole clip from its values, with warm-up frames on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hp_core.config import SamplingConfig
from hp_core.errors import OptionError
from hp_core.motion.encode import pad_tokens
from hp_core.pose.align import black_pose
from hp_core.sampling.denoise import DenoiseState, denoise, noises
from hp_core.sampling.schedule import make_schedule
from hp_core.vae import WARM_UP
from hp_core.values import Appearance, MotionTokens, PoseMaps

if TYPE_CHECKING:
    from hp_core.weights.load import PortraitModels

_WIDEST = 24  # times the UNet's first width: what one position holds where the gated feed-forward is widest, skips included


class ClipSampler:
    """One run of the sampler.

    Args:
        pose: None is black, as released.
        config: steps, guidance, windows; see `SamplingConfig`.

    Raises:
        OptionError: the motion was made by other encoders, or the pose has another number of frames.
    """

    def __init__(
        self,
        models: PortraitModels,
        appearance: Appearance,
        motion: MotionTokens,
        pose: PoseMaps | None,
        *,
        config: SamplingConfig,
        seed: int,
    ) -> None:
        motion.check_encoder(models.motion_fingerprint)
        width, channels = models.config.unet["cross_attention_dim"], models.config.vae["latent_channels"]
        found = {"motion": (motion.tokens.shape[-1], width), "appearance": (appearance.tokens.shape[-1], width)}
        found["reference latent"] = (appearance.reference_latent.shape[1], channels)
        for name, (has, needs) in found.items():
            if has != needs:
                raise OptionError(f"The {name} has {has} channels, these weights need {needs}. Encode it with these weights.")
        height, breadth = (models.config.vae_scale_factor * side for side in appearance.reference_latent.shape[-2:])
        maps = black_pose(len(motion), (height, breadth)) if pose is None else pose
        if len(maps) != len(motion):
            raise OptionError(
                f"The motion has {len(motion)} frames, the pose {len(maps)}. Align the pose to the same clip, "
                "or leave it free: black, as released."
            )
        if tuple(maps.maps.shape[-2:]) != (height, breadth):
            raise OptionError(
                f"The pose maps are {maps.maps.shape[-1]}x{maps.maps.shape[-2]} pixels, the portrait's crop {breadth}x{height}. "
                "Align the pose to this portrait."
            )
        self.models, self.appearance, self.config, self.seed = models, appearance, config, seed
        self.tokens, self.pose = pad_tokens(motion.tokens, config.pad_frames), maps.padded(config.pad_frames)
        self.scaling: float = models.config.vae["scaling_factor"]
        self.reference = self.scaling * appearance.reference_latent

    def states(self, device: torch.device | str) -> Iterator[DenoiseState]:
        """The denoising loop; see `denoise`."""
        config, reference = self.config, self.appearance.reference_latent
        channels, height, width = reference.shape[1:]
        noise = noises(len(self.tokens), (channels, height, width), self.seed, config.noise)
        return denoise(
            self.models.unet,
            self.models.pose_guider,
            noise=next(noise),
            fresh_noise=noise,
            reference_latent=reference,
            appearance=self.appearance.tokens,
            motion=self.tokens,
            pose=self.pose,
            config=config,
            schedule=make_schedule(self.models.config.scheduler, config.steps, config.sampler),
            scaling_factor=self.scaling,
            device=device,
        )

    def unscaled(self, latents: Tensor) -> Tensor:
        """Latents of the last state in the VAE's own space, warm-up frames included."""
        return latents / self.scaling

    def as_latent(self, latents: Tensor) -> dict[str, Any]:
        """Latents of the last state as ComfyUI's `LATENT`: the clip alone, and the warm-up frames beside it."""
        whole, pad = self.unscaled(latents).cpu(), self.config.pad_frames
        clip = whole[pad : len(whole) - pad]
        return {"samples": clip, WARM_UP: (whole[:pad], whole[len(whole) - pad :], clip)}

    def activation_bytes(self, dtype: torch.dtype) -> int:
        """About how much memory an evaluation of the UNet needs beside the weights."""
        height, width = self.appearance.reference_latent.shape[-2:]
        frames = min(self.config.window, len(self.tokens))
        return frames * height * width * self.models.config.unet["block_out_channels"][0] * _WIDEST * dtype.itemsize
