"""Noise schedules in sigma (Karras et al. 2022) and the Euler step.

A deterministic DDIM step on x_t = x / sqrt(sigma^2 + 1) is the same Euler step in sigma, so these two samplers differ in
their sigmas alone: `ddim` takes those of the training timesteps, `euler` and the solvers of higher order SVD's Karras sigmas from
700 to 0.002. `lcm` takes these levels too, but for the last: there a consistency model changes nothing, and the evaluation would be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hp_core.checks import check_choice, check_range
from hp_core.config import SAMPLERS


@dataclass(frozen=True)
class Schedule:
    """Noise levels of one run.

    Attributes:
        sigmas: (steps + 1,) float32, falling, the last one 0.
        timesteps: (steps,) float32, 0.25 * ln(sigma), what the UNet's time embedding is fed.
    """

    sigmas: Tensor
    timesteps: Tensor

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return len(self.timesteps)


def make_schedule(config: Mapping[str, Any], steps: int, sampler: str = "euler") -> Schedule:
    """The schedule of ``sampler`` from a diffusers scheduler configuration.

    Raises:
        OptionError: unknown sampler, or steps outside 1..1000.
    """
    check_choice("sampler", sampler, SAMPLERS)
    check_range("steps", steps, 1, 1000)
    if sampler != "ddim":
        from diffusers import EulerDiscreteScheduler

        euler = EulerDiscreteScheduler.from_config(config)
        euler.set_timesteps(steps + (sampler == "lcm"))
        sigmas, timesteps = euler.sigmas.float(), euler.timesteps.float()
        return Schedule(torch.cat([sigmas[:steps], sigmas[-1:]]), timesteps[:steps])
    from diffusers import DDIMScheduler

    names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type")
    # "trailing": whatever their number, the steps begin at the noisiest training timestep (Lin et al. 2024).
    ddim = DDIMScheduler(**{name: config[name] for name in names}, timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True)
    ddim.set_timesteps(steps)
    alphas = ddim.alphas_cumprod[ddim.timesteps]
    sigmas = ((1 - alphas) / alphas).sqrt().float()
    return Schedule(torch.cat([sigmas, sigmas.new_zeros(1)]), 0.25 * sigmas.log())


def scale_input(x: Tensor, sigma: Tensor) -> Tensor:
    """Noisy latents brought to unit variance for the UNet."""
    return x / (sigma**2 + 1).sqrt()


def clean_prediction(x: Tensor, v: Tensor, sigma: Tensor) -> Tensor:
    """What the v-prediction ``v`` takes for the clean latents behind ``x`` at noise level ``sigma``; x and v of one shape."""
    return x / (sigma**2 + 1) - v * sigma / (sigma**2 + 1).sqrt()


def euler_step(x: Tensor, clean: Tensor, sigma: Tensor, next_sigma: Tensor) -> Tensor:
    """From noise level ``sigma`` to ``next_sigma`` on the line toward ``clean``."""
    return x + (x - clean) / sigma * (next_sigma - sigma)
