"""Faces compared through the expression encoder's eyes, and latents seen as pictures on the way there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor

from hp_core.config import PortraitConfig
from hp_core.errors import OptionError
from hp_core.training.patch_encoder import PatchDecoder, PatchEncoder, fit_patch_encoder, is_linear
from hp_core.training.perceptual import PerceptualLoss
from hp_core.weights.load import build_module

from . import tiny

POINTS = torch.tensor([[[28.0, 26.0], [44.0, 26.0], [36.0, 34.0], [30.0, 42.0], [42.0, 42.0]]])


@pytest.fixture(scope="module")
def loss() -> PerceptualLoss:
    torch.manual_seed(0)
    encoder: Any = build_module("expression", tiny.config())
    return PerceptualLoss(encoder, 32)


def pictures(count: int = 1) -> Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_alike_is_nothing_and_each_picture_counts_for_itself(loss: PerceptualLoss) -> None:
    truth = pictures(3)
    assert loss(truth, truth, POINTS.expand(3, -1, -1)).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    other = truth.clone()
    other[1] = -other[1]
    apart = loss(other, truth, POINTS.expand(3, -1, -1))
    assert (apart > 1e-3).tolist() == [False, True, False]


def test_only_the_face_is_looked_at(loss: PerceptualLoss) -> None:
    """The crop reaches 1.25 distances of the eyes from the middle of eyes and mouth: 16 to 56 of 64 pixels across here."""
    truth = pictures()
    outside, inside = truth.clone(), truth.clone()
    outside[..., :12] = 1
    outside[..., 60:] = 1
    inside[..., 38:46, 30:42] = 1  # the mouth
    assert float(loss(outside, truth, POINTS)) < 1e-6 < 1e-3 < float(loss(inside, truth, POINTS))
    moved = POINTS + torch.tensor([-12.0, 0.0])
    assert float(loss(outside, truth, moved)) > 1e-3


def test_the_pictures_learn_from_it_and_nothing_else(loss: PerceptualLoss) -> None:
    drawn, truth = pictures().requires_grad_(True), (-pictures()).requires_grad_(True)
    loss(drawn, truth, POINTS).sum().backward()
    assert drawn.grad is not None
    assert drawn.grad.any()
    assert truth.grad is None
    assert not [name for name, p in loss.named_parameters() if p.requires_grad or p.grad is not None]
    before = drawn.detach()
    step = before - 0.01 * drawn.grad / drawn.grad.abs().max()
    assert float(loss(step, truth, POINTS)) < float(loss(before, truth, POINTS))


@pytest.mark.parametrize(("widths", "z"), [([32, 32, 128], 20), ([32, 32, 64, 128], 64)])
def test_latents_of_patches_are_run_backwards_without_the_decoder(widths: list[int], z: int) -> None:
    """Pictures of few components come back, whatever the VAE's halvings, and what was encoded encodes to the same again."""
    build = {"block_out_channels": widths, "down_block_types": ["DownEncoderBlock2D"] * len(widths), "latent_channels": z}
    torch.manual_seed(0)
    vae: Any = AutoencoderKLTemporalDecoder(layers_per_block=1, **build)
    smooth = torch.nn.functional.interpolate(torch.rand(40, 3, 8, 8) * 2 - 1, (64, 64), mode="bilinear") + 0.05 * torch.randn(40, 3, 64, 64)
    fit_patch_encoder(vae, smooth)  # the noise does not fit into the latents: at 35 dB by itself
    decoder = PatchDecoder(vae)
    with torch.no_grad():
        latents = vae.encode(smooth).latent_dist.mode()
        back = decoder(latents)
        again = vae.encode(back).latent_dist.mode()
    assert back.shape == smooth.shape
    assert float((back - smooth).square().mean() / 4) < 10 ** (-30 / 10)
    torch.testing.assert_close(again, latents, rtol=0, atol=0.05)
    assert is_linear(vae)
    assert float((PatchEncoder(vae)(smooth) - latents).square().mean().sqrt()) < 0.005 * float(latents.std())


def test_a_learned_encoder_is_not_run_backwards() -> None:
    torch.manual_seed(0)
    vae: Any = build_module("vae", replace(tiny.config(), vae=PortraitConfig.demo().vae))
    assert not is_linear(vae)
    with pytest.raises(OptionError, match=r"encoder is not linear: .* vae.encoder: patches"):
        PatchDecoder(vae)
    with pytest.raises(OptionError, match=r"encoder is not linear: .* vae.encoder: patches"):
        PatchEncoder(vae)
