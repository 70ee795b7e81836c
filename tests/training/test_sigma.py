"""Noise levels and the v loss (training 4a)."""

from __future__ import annotations

import math

import pytest
import torch

from hp_core.sampling.schedule import clean_prediction, euler_step, scale_input
from hp_core.training.settings import SigmaConfig
from hp_core.training.sigma import noisy_input, sample_sigmas, velocity


def drawn(count: int = 20_000, **settings: object) -> torch.Tensor:
    return sample_sigmas(SigmaConfig(**settings), count, torch.Generator().manual_seed(0))  # type: ignore[arg-type]


def test_the_squared_error_of_v_is_edms_weighted_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, noise, guess = (torch.randn(6, 2, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    sigma = torch.tensor([0.01, 0.3, 1.0, 5.0, 80.0, 700.0], dtype=torch.float64)
    s = sigma[:, None, None, None, None]
    denoised = (x0 + s * noise) / (s**2 + 1) - s / (s**2 + 1).sqrt() * guess
    weighted = (1 + s**2) / s**2 * (denoised - x0) ** 2
    assert torch.allclose(weighted, (guess - velocity(x0, noise, sigma)) ** 2, rtol=1e-6, atol=1e-9)


def test_the_true_velocity_leads_the_sampler_back_to_the_picture() -> None:
    x0, noise = torch.randn(3, 1, 4, 8, 8), torch.randn(3, 1, 4, 8, 8)
    sigma = torch.full((3,), 12.0)
    x = x0 + 12.0 * noise
    assert torch.allclose(noisy_input(x0, noise, sigma), scale_input(x, torch.tensor(12.0)), atol=1e-6)
    clean = clean_prediction(x, velocity(x0, noise, sigma), torch.tensor(12.0))
    assert torch.allclose(euler_step(x, clean, torch.tensor(12.0), torch.tensor(0.0)), x0, atol=1e-4)


def test_lognormal_levels_have_the_quantiles_of_svd() -> None:
    levels = drawn(kind="lognormal", mean=0.7, std=1.6)
    quantiles = torch.quantile(levels, torch.tensor([0.05, 0.5, 0.95]))
    assert torch.allclose(quantiles, torch.tensor([0.145, 2.01, 28.0]), rtol=0.01)


def test_cosine_levels_reach_both_ends_and_lie_between() -> None:
    levels = drawn(kind="cosine")
    assert levels.min() > 0.0019
    assert levels.max() < 701
    assert levels.max() > 300, "the first step of sampling is trained"
    assert 0.2 < float(levels.median()) < 1.0


def test_cosine_median_follows_from_the_formula() -> None:
    """At the middle of an unshifted schedule the angle is the mean of both ends'; here nearly 45 degrees, so sigma is the deviation."""
    assert float(drawn(kind="cosine", noise_low=64.0, noise_high=64.0).median()) == pytest.approx(0.5, rel=0.01)


def test_cosine_levels_are_shifted_more_where_there_is_more_noise() -> None:
    """Simple diffusion's interpolated schedule: ``noise_low`` is the resolution where noise is most, ``noise_high`` where it is least."""
    parts = torch.tensor([0.02, 0.98], dtype=torch.float64)
    both, low, high = (
        torch.quantile(drawn(kind="cosine", noise_low=first, noise_high=last).double(), parts)
        for first, last in ((32.0, 64.0), (32.0, 32.0), (64.0, 64.0))
    )
    assert float(both[0]) == pytest.approx(float(high[0]), rel=0.05)
    assert float(both[1]) == pytest.approx(float(low[1]), rel=0.05)
    assert float(low[0] / high[0]) > 1.5, "and the two differ"


def test_a_uniform_share_trains_the_high_levels_too() -> None:
    plain, mixed = drawn(kind="lognormal"), drawn(kind="lognormal", uniform_share=0.5)
    assert (plain > 200).float().mean() < 0.005
    share = 0.5 * math.log(700 / 200) / math.log(700 / 0.002)
    assert float((mixed > 200).float().mean()) == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize("kind", ["lognormal", "cosine", "loguniform"])
def test_levels_are_stratified_and_repeat(kind: str) -> None:
    one, again = (sample_sigmas(SigmaConfig(kind=kind), 16, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, again)
    reference = drawn(kind=kind)
    ranks = torch.searchsorted(reference.sort().values, one.sort().values) / len(reference)
    assert torch.allclose(ranks, (torch.arange(16) + 0.5) / 16, atol=0.045), "one level in each sixteenth"
