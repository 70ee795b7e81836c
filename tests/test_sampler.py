"""One run of the sampler from its values: what does not belong together is refused before the first evaluation."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hp_core.config import PortraitConfig
from hp_core.errors import OptionError
from hp_core.pose.align import black_pose
from hp_core.sampler import ClipSampler
from hp_core.unet.attention import MotionAttnProcessor, TokenPair, attention_kernel
from hp_core.vae import WARM_UP
from hp_core.values import Appearance, MotionTokens
from hp_core.weights.load import build_module

CONFIG = PortraitConfig.demo()
FRAMES = 5
LATENT = (CONFIG.vae["latent_channels"], *[CONFIG.face.image_size // CONFIG.vae_scale_factor] * 2)


@pytest.fixture(scope="module")
def models() -> Any:
    torch.manual_seed(0)
    unet, guider = (build_module(name, CONFIG).eval() for name in ("unet", "pose_guider"))
    return SimpleNamespace(config=CONFIG, unet=unet, pose_guider=guider, motion_fingerprint="abc")


@pytest.fixture
def appearance() -> Appearance:
    image = np.zeros((128, 128, 3), np.uint8)
    return Appearance(torch.randn(1, 16, 128), torch.zeros(1, 512), "none", torch.randn(1, *LATENT), image)


@pytest.fixture
def motion() -> MotionTokens:
    return MotionTokens(torch.randn(FRAMES, 8, 128), torch.zeros(FRAMES, 3), torch.zeros(FRAMES, 3), Fraction(25), "released", "abc")


SAMPLING = replace(CONFIG.sampling, steps=2, pad_frames=2)


@pytest.mark.slow
def test_a_run_gives_the_clip_and_its_warm_up(models: Any, appearance: Appearance, motion: MotionTokens) -> None:
    run = ClipSampler(models, appearance, motion, None, config=SAMPLING, seed=3)
    states = list(run.states("cpu"))
    latent = run.as_latent(states[-1].latents)
    before, after, clip = latent[WARM_UP]
    assert latent["samples"].shape == (FRAMES, *LATENT)
    assert (len(before), len(after)) == (2, 2)
    assert clip is latent["samples"]
    assert torch.equal(torch.cat([before, latent["samples"], after]), run.unscaled(states[-1].latents))
    assert run.activation_bytes(torch.float32) == 2 * run.activation_bytes(torch.float16) > 1e6


@pytest.mark.slow
def test_the_preview_is_the_result_so_far(models: Any, appearance: Appearance, motion: MotionTokens) -> None:
    """At the end it is the result; at the beginning the portrait; in between it holds no noise."""
    states = list(ClipSampler(models, appearance, motion, None, config=replace(SAMPLING, steps=3), seed=3).states("cpu"))
    scaling = CONFIG.vae["scaling_factor"]
    assert torch.allclose(states[0].clean, (appearance.reference_latent * scaling).expand_as(states[0].clean))
    assert torch.allclose(states[-1].clean, states[-1].latents, atol=1e-5)
    middle = next(state for state in states if state.step == 1)
    assert middle.latents.std() > 3 * middle.clean.std()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, m: (a, replace(m, encoder="xyz"), None), "made by the encoders xyz, these weights have abc"),
        (lambda a, m: (a, replace(m, tokens=m.tokens[..., :64]), None), "The motion has 64 channels, these weights need 128"),
        (lambda a, m: (replace(a, tokens=a.tokens[..., :64]), m, None), "The appearance has 64 channels"),
        (lambda a, m: (replace(a, reference_latent=a.reference_latent[:, :4]), m, None), "The reference latent has 4 channels"),
        (lambda a, m: (a, m, black_pose(4, (128, 128))), "5 frames, the pose 4.*or leave it free"),
        (lambda a, m: (a, m, black_pose(FRAMES, (64, 128))), "pose maps are 128x64 pixels, the portrait's crop 128x128"),
    ],
)
def test_what_does_not_fit_is_named(models: Any, appearance: Appearance, motion: MotionTokens, change: Any, words: str) -> None:
    one, two, three = change(appearance, motion)
    with pytest.raises(OptionError, match=words):
        ClipSampler(models, one, two, three, config=SAMPLING, seed=0)


def test_unknown_encoders_are_taken_at_their_word(models: Any, appearance: Appearance, motion: MotionTokens) -> None:
    ClipSampler(models, appearance, replace(motion, encoder=""), None, config=SAMPLING, seed=0)


def test_without_tokens_the_answer_has_the_type_of_the_question(models: Any) -> None:
    """Weights of a host may lie elsewhere and in another type than what runs through them."""
    attention = models.unet.cross_attentions[0]
    processor = MotionAttnProcessor(cross_attention_dim=128, inner_dim=attention.inner_dim, layer=0)
    stored = attention.to_out[0].bias
    attention.to_out[0].bias = torch.nn.Parameter(stored.half())
    out = processor(attention, torch.zeros(2, 3, attention.inner_dim), TokenPair(None, None))
    attention.to_out[0].bias = stored
    assert out.dtype == torch.float32
    assert torch.allclose(out[1, 2], stored, atol=1e-3)


@pytest.mark.slow
def test_every_kernel_gives_the_same_picture(models: Any, appearance: Appearance, motion: MotionTokens) -> None:
    found = {}
    for kernel in ("auto", "math", "flash"):
        with attention_kernel(kernel):
            found[kernel] = list(ClipSampler(models, appearance, motion, None, config=SAMPLING, seed=3).states("cpu"))[-1].latents
    assert torch.allclose(found["auto"], found["math"], atol=1e-3)
    assert torch.allclose(found["flash"], found["math"], atol=1e-3)
    with pytest.raises(OptionError, match="attention is 'best'"), attention_kernel("best"):
        pass
