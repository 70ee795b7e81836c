"""The sampler `lcm`: its one formula against diffusers' own, and where its noise comes from."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler

from hp_core.config import PortraitConfig, svd_scheduler
from hp_core.errors import OptionError
from hp_core.sampler import ClipSampler
from hp_core.sampling.denoise import noises, start_noise
from hp_core.sampling.schedule import clean_prediction, make_schedule, scale_input
from hp_core.sampling.solvers import make_solver
from hp_core.values import Appearance, MotionTokens
from hp_core.weights.load import build_module

SHAPE = (2, 4, 16, 16)


def test_a_step_is_diffusers():
    scheduler = LCMScheduler(prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(4)
    alphas = scheduler.alphas_cumprod[scheduler.timesteps].double()
    sigmas = torch.cat([((1 - alphas) / alphas).sqrt(), torch.zeros(1, dtype=torch.float64)])
    torch.manual_seed(0)
    theirs = torch.randn(SHAPE, dtype=torch.float64)
    ours = theirs * (sigmas[0] ** 2 + 1).sqrt()
    generator = torch.Generator().manual_seed(3)
    drawn = (torch.randn(SHAPE, dtype=torch.float64, generator=generator) for _ in range(3))
    solver, same = make_solver("lcm", drawn), torch.Generator().manual_seed(3)
    for index, t in enumerate(scheduler.timesteps):
        v = torch.tanh(theirs) * 0.7
        ours = solver.step(ours, clean_prediction(ours, v, sigmas[index]), sigmas, index)
        theirs = scheduler.step(v, t, theirs, generator=same).prev_sample
        # diffusers mixes in less than a millionth of the sample (its boundary condition)
        torch.testing.assert_close(scale_input(ours, sigmas[index + 1]), theirs, rtol=1e-5, atol=1e-5)


def test_the_last_step_is_the_clean_clip_and_the_others_have_the_next_sigma():
    clean, sigmas = torch.randn(8, 4, 32, 32), torch.tensor([9.0, 3.0, 0.0])
    solver = make_solver("lcm", noises(8, (4, 32, 32), 0))
    first = solver.step(torch.full_like(clean, 1e6), clean, sigmas, 0)  # where it came from is forgotten
    assert float((first - clean).var()) == pytest.approx(9, rel=0.03)
    assert float((first - clean).mean()) == pytest.approx(0, abs=0.1)
    assert torch.equal(solver.step(first, clean, sigmas, 1), clean)


def test_noise_is_fresh_follows_the_rule_and_the_seed():
    stream = noises(3, (4, 8, 8), 5)
    first, second = next(stream), next(stream)
    assert torch.equal(first, start_noise(3, (4, 8, 8), 5))
    correlation = torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]
    assert abs(correlation) < 0.15
    again = noises(3, (4, 8, 8), 5)
    assert [torch.equal(a, next(again)) for a in (first, second)] == [True, True]
    shared = noises(3, (4, 8, 8), 5, "shared")
    for drawn in (next(shared), next(shared)):
        assert torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("steps", [1, 4, 1000])
def test_no_evaluation_is_spent_where_nothing_is_left_to_do(steps):
    schedule, longer = make_schedule(svd_scheduler(), steps, "lcm"), make_schedule(svd_scheduler(), min(steps + 1, 1000))
    assert schedule.steps == steps == len(schedule.sigmas) - 1
    assert float(schedule.sigmas[-1]) == 0
    assert float(schedule.sigmas[0]) == pytest.approx(700)
    if steps < 1000:
        assert torch.equal(schedule.sigmas[:-1], longer.sigmas[:steps])
        assert torch.equal(schedule.timesteps, longer.timesteps[:steps])


def test_without_noise_it_is_refused():
    with pytest.raises(OptionError, match="sampler is lcm, which adds fresh noise"):
        make_solver("lcm")


@pytest.mark.slow
def test_the_seed_of_the_run_reaches_the_solver():
    config = PortraitConfig.demo()
    latent, side = (config.vae["latent_channels"], 8, 8), 8 * config.vae_scale_factor
    torch.manual_seed(0)
    unet, guider = (build_module(name, config).eval() for name in ("unet", "pose_guider"))
    models = SimpleNamespace(config=config, unet=unet, pose_guider=guider, motion_fingerprint="")
    portrait = np.zeros((side, side, 3), np.uint8)
    appearance = Appearance(torch.randn(1, 16, 128), torch.zeros(1, 512), "none", torch.randn(1, *latent), portrait)
    motion = MotionTokens(torch.randn(5, 8, 128), torch.zeros(5, 3), torch.zeros(5, 3), Fraction(25), "released")
    sampling = config.with_sampling(sampler="lcm", steps=3, window=4, overlap=1, noise="independent").sampling

    def states(seed: int) -> list:
        return list(ClipSampler(models, appearance, motion, None, config=sampling, seed=seed).states("cpu"))  # type: ignore[arg-type]

    one, same, other = states(1), states(1), states(2)
    assert torch.equal(one[-1].latents, same[-1].latents)
    assert not torch.allclose(one[-1].latents, other[-1].latents, atol=1e-3)
    assert torch.equal(one[-1].latents, one[-1].clean)
    # After a step, what is not clean is noise of the next level, and not the noise it began with.
    middle = next(state for state in one if state.step == 1)
    left = (middle.latents - middle.clean) / middle.sigma
    stream = noises(5, latent, 1)
    began = next(stream)
    torch.testing.assert_close(left, next(stream), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(left, began, atol=0.5)
