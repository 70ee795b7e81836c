"""Noise levels to train at, and the loss in its v form (training 4a)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hp_core.training.settings import SigmaConfig


def sample_sigmas(config: SigmaConfig, count: int, generator: torch.Generator) -> Tensor:
    """(count,) float32, stratified: each of ``count`` equal parts of the distribution gives one, in random order."""
    order = torch.randperm(count, generator=generator)
    part = (order + torch.rand(count, generator=generator)) / count  # (count,) in 0..1
    part = part.double().clamp(1e-6, 1 - 1e-6)
    uniform = torch.rand(count, generator=generator) < config.uniform_share
    sigma = {"lognormal": _lognormal, "cosine": _cosine, "loguniform": _loguniform}[config.kind](part, config)
    return torch.where(uniform, _loguniform(part, config), sigma).float()


def velocity(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The target v = (n - sigma x0) / sqrt(1 + sigma^2); the squared error of v is EDM's weighted loss, without its 1 / sigma^2.

    x0 and noise (batch, ...), sigma (batch,).
    """
    s = _like(sigma, x0)
    return (noise - s * x0) / (1 + s * s).sqrt()


def noisy_input(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """What the network sees, (x0 + sigma n) / sqrt(1 + sigma^2): of unit variance where x0 is."""
    s = _like(sigma, x0)
    return (x0 + s * noise) / (1 + s * s).sqrt()


def _like(sigma: Tensor, x: Tensor) -> Tensor:
    return sigma.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def _lognormal(part: Tensor, config: SigmaConfig) -> Tensor:
    return torch.exp(config.mean + config.std * math.sqrt(2) * torch.erfinv(2 * part - 1))


def _loguniform(part: Tensor, config: SigmaConfig) -> Tensor:
    low, high = math.log(config.low), math.log(config.high)
    return torch.exp(low + (high - low) * part)


def _cosine(part: Tensor, config: SigmaConfig) -> Tensor:
    """Interpolated shifted cosine log-SNR (Hoogeboom et al. 2023) for an image of 64 and a data deviation of 0.5."""
    image, deviation = 64.0, 0.5
    smallest, largest = -2 * math.log(config.high / deviation), -2 * math.log(config.low / deviation)  # of the log-SNR

    def shifted(resolution: float) -> Tensor:
        shift = 2 * math.log(resolution / image)
        first = math.atan(math.exp(-0.5 * (largest - shift)))
        last = math.atan(math.exp(-0.5 * (smallest - shift)))
        return -2 * torch.log(torch.tan(first + part * (last - first))) + shift

    log_snr = torch.lerp(shifted(config.noise_high), shifted(config.noise_low), part)  # part 0 is the least noise
    return torch.exp(-log_snr / 2) * deviation
