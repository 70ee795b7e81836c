"""Deep features kept between steps: exact where nothing changes, fewer operations, and the frames they belong to."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hp_core.config import PortraitConfig, SamplingConfig, svd_scheduler
from hp_core.errors import OptionError
from hp_core.pose.align import black_pose
from hp_core.sampling.deep_reuse import DeepReuse
from hp_core.sampling.denoise import denoise, start_noise
from hp_core.sampling.schedule import Schedule, make_schedule
from hp_core.unet.model import DeepFeatures
from hp_core.weights.load import build_module

CONFIG = PortraitConfig.demo()
CHANNELS = CONFIG.vae["latent_channels"]
SIDE = 8 * CONFIG.vae_scale_factor  # of a picture whose latents are 8x8
SAMPLING = SamplingConfig(steps=3, window=4, overlap=1, shift=1)


@pytest.fixture(scope="module")
def nets():
    torch.manual_seed(0)
    return tuple(build_module(name, CONFIG).eval().requires_grad_(False) for name in ("unet", "pose_guider"))


def run(nets, sampling, *, frames=4, schedule=None):
    inputs = torch.Generator().manual_seed(5)
    return list(
        denoise(
            *nets,
            noise=start_noise(frames, (CHANNELS, 8, 8), 0),
            reference_latent=torch.randn(1, CHANNELS, 8, 8, generator=inputs),
            appearance=torch.randn(1, 16, 128, generator=inputs),
            motion=torch.randn(frames, 8, 128, generator=inputs),
            pose=black_pose(frames, (SIDE, SIDE)),
            config=sampling,
            schedule=schedule or make_schedule(svd_scheduler(), sampling.steps),
            scaling_factor=0.18215,
            device="cpu",
        )
    )


def standing(steps: int) -> Schedule:
    """Every step but the last at one noise level: an Euler step of no length leaves the latents as they are."""
    sigmas = torch.tensor([5.0] * steps + [0.0])
    return Schedule(sigmas, 0.25 * sigmas[:-1].log())


def test_the_outer_blocks_find_what_the_deep_ones_left(nets):
    """The same sample again gives the same to the last bit; another one is answered by the outer blocks alone."""
    unet, generator = nets[0], torch.Generator().manual_seed(1)
    sample = torch.randn(1, 3, CONFIG.unet["in_channels"], 7, 9, generator=generator)  # odd sizes too
    inputs = {"appearance": None, "motion": torch.randn(1, 3, 8, 128, generator=generator), "added_time_ids": torch.zeros(1, 3)}
    with torch.no_grad():
        plain = unet(sample, 1.0, **inputs)
        deep = DeepFeatures()
        assert torch.equal(unet(sample, 1.0, **inputs, deep=deep), plain)
        kept = deep.entering
        assert torch.equal(unet(sample, 1.0, **inputs, deep=deep), plain)
        assert deep.entering is kept
        other = unet(sample * 1.1, 1.0, **inputs, deep=deep)
        assert not torch.equal(other, plain)
        assert not torch.allclose(other, unet(sample * 1.1, 1.0, **inputs), atol=1e-5)


@pytest.mark.slow
def test_latents_that_do_not_change_give_the_same(nets):
    """Two windows side by side; the second and third step use what the first one kept."""
    sampling = replace(SAMPLING, overlap=0, shift=0)
    exact = run(nets, sampling, frames=8, schedule=standing(3))
    reused = run(nets, replace(sampling, reuse_every=3), frames=8, schedule=standing(3))
    assert torch.equal(exact[-1].latents, reused[-1].latents)


@pytest.mark.slow
def test_every_n_th_step_is_whole_and_the_states_are_the_same(nets):
    exact, reused = run(nets, SAMPLING), run(nets, replace(SAMPLING, reuse_every=2))
    assert [(s.step, s.evaluation, s.evaluations, s.sigma) for s in exact] == [
        (s.step, s.evaluation, s.evaluations, s.sigma) for s in reused
    ]
    first = [next(state.latents for state in states if state.step == 1) for states in (exact, reused)]
    assert torch.equal(*first)
    assert not torch.allclose(exact[-1].latents, reused[-1].latents, atol=1e-6)
    # Every step whole, whatever is kept on the way: the same again.
    whole = run(nets, replace(SAMPLING, steps=1, reuse_every=2), schedule=make_schedule(svd_scheduler(), 1))
    assert torch.equal(whole[-1].latents, run(nets, replace(SAMPLING, steps=1))[-1].latents)


@pytest.mark.slow
def test_operations_are_saved(nets):
    def operations(every: int) -> int:
        with FlopCounterMode(display=False) as counter:
            run(nets, replace(SAMPLING, steps=2, reuse_every=every))
        return counter.get_total_flops()

    assert operations(2) < 0.9 * operations(1)


def test_a_branch_that_guidance_brings_in_is_computed_first(nets):
    """One branch at first, then two: the second one has nothing kept, and its first evaluation is whole."""
    schedule = standing(3)
    late = replace(SAMPLING, overlap=0, shift=0, guidance_interval=(0.0, 4.9))
    levels = Schedule(torch.tensor([5.0, 4.8, 4.8, 0.0]), schedule.timesteps)
    states = run(nets, replace(late, reuse_every=3), schedule=levels)
    assert states[-1].evaluations == 2 * 0 + 1 + 2 + 2
    assert torch.isfinite(states[-1].latents).all()


def test_features_belong_to_frames_and_overlaps_are_averaged():
    reuse = DeepReuse(5, every=2)
    reuse.begin(0)
    assert not reuse.ready(0)
    values = torch.arange(5.0)[:, None, None, None]
    reuse.add(0, [3, 4, 0], values[[3, 4, 0]])
    reuse.add(0, [0, 1, 2], values[[0, 1, 2]] + 1)
    reuse.add(0, [0, 0, 2], values[[0, 0, 2]] + 2)  # a frame twice in a window
    assert not reuse.ready(0), "not before the next step"
    reuse.begin(1)
    assert reuse.ready(0)
    assert not reuse.ready(1)
    assert reuse.read(0, [2, 0, 4]).flatten().tolist() == pytest.approx([3.5, 5 / 4, 4.0])
    reuse.begin(2)
    assert not reuse.ready(0)


def test_its_range():
    with pytest.raises(OptionError, match="reuse_every is 0"):
        SamplingConfig(reuse_every=0)
