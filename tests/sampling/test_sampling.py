"""Schedules, windows, guidance and the loop."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from hp_core.config import PortraitConfig, SamplingConfig, svd_scheduler
from hp_core.errors import OptionError, PortraitError
from hp_core.pose.align import black_pose
from hp_core.sampling.denoise import denoise, pose_features, start_noise, step_weights
from hp_core.sampling.guidance import branch_weights, scale_ramp
from hp_core.sampling.schedule import clean_prediction, euler_step, make_schedule, scale_input
from hp_core.sampling.windows import plan_windows, step_shift
from hp_core.values import PoseMaps
from hp_core.weights.load import build_module

CONFIG = PortraitConfig.demo()
CHANNELS = CONFIG.vae["latent_channels"]
SIDE = 8 * CONFIG.vae_scale_factor  # of a picture whose latents are 8x8


@given(st.integers(1, 200), st.integers(1, 40), st.data())
def test_windows_cover_every_frame(frames, size, data):
    overlap, shift = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 100))
    windows = plan_windows(frames, size=size, overlap=overlap, shift=shift)
    assert {i for window in windows for i in window} == set(range(frames))
    assert all(len(window) == size for window in windows)
    # neighbours in a window are neighbours on the circle of the clip
    assert all((b - a) % frames == 1 % frames for window in windows for a, b in pairwise(window))


@given(st.integers(1, 200), st.integers(1, 40), st.data())
def test_windows_on_a_line_cover_the_clip_with_as_few_as_can_be(frames, size, data):
    overlap, shift = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 100))
    windows = plan_windows(frames, size=size, overlap=overlap, shift=shift, rule="line")
    assert {i for window in windows for i in window} == set(range(frames))
    assert all(len(window) == min(size, frames) for window in windows)
    assert all(b - a == 1 for window in windows for a, b in pairwise(window))
    assert all(one[-1] - other[0] + 1 >= overlap for one, other in pairwise(windows))
    most = size + (len(windows) - 2) * (size - overlap)  # that one window fewer could cover
    assert len(windows) == 1 or most < frames


def test_windows_on_a_line_by_hand():
    assert plan_windows(25, size=25, overlap=3, rule="line") == [list(range(25))]
    assert plan_windows(3, size=5, overlap=2, shift=4, rule="line") == [[0, 1, 2]]
    starts = [[window[0] for window in plan_windows(60, size=25, overlap=3, shift=shift, rule="line")] for shift in (0, 3, 9, 12)]
    assert starts == [[0, 22, 35], [0, 19, 35], [0, 13, 35], [0, 20, 35]]  # there is room for ten frames


def test_windows_by_hand():
    assert plan_windows(7, size=4, overlap=1) == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 0, 1, 2]]
    assert plan_windows(7, size=4, overlap=1, shift=2)[0] == [5, 6, 0, 1]
    assert plan_windows(3, size=5, overlap=2) == [[0, 1, 2, 0, 1]]
    assert [step_shift(i, shift=3, size=25) for i in (0, 1, 8, 9)] == [0, 3, 24, 2]


def test_impossible_windows_are_errors():
    with pytest.raises(OptionError, match="overlap is 4 with a window of 4"):
        plan_windows(7, size=4, overlap=4)
    with pytest.raises(OptionError, match="0 frames"):
        plan_windows(0, size=4, overlap=1)


@given(st.floats(0, 10), st.floats(0, 10), st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_branch_weights_are_the_two_scale_formula(a, m, v):
    v0, v1, v2 = v
    weights = branch_weights(a, m)
    assert sum(w * x for w, x in zip(weights, v, strict=True)) == pytest.approx(v0 + a * (v1 - v0) + m * (v2 - v1), abs=1e-9)


def test_equal_scales_cancel_the_middle_branch_and_ones_leave_the_last():
    assert branch_weights(2.0, 2.0)[1] == 0
    assert branch_weights(1.0, 1.0) == (0, 0, 1)
    assert scale_ramp((1.5, 2.5), 3) == [1.5, 2.0, 2.5]
    assert scale_ramp((2.0, 2.0), 1) == [2.0]


def test_euler_step_is_diffusers():
    scheduler = EulerDiscreteScheduler.from_config(svd_scheduler())
    scheduler.set_timesteps(6)
    schedule = make_schedule(svd_scheduler(), 6)
    x, v = torch.randn(2, 4, 3, 3) * 50, torch.randn(2, 4, 3, 3)
    for i, t in enumerate(scheduler.timesteps):
        expected_input = scheduler.scale_model_input(x, t)
        torch.testing.assert_close(scale_input(x, schedule.sigmas[i]), expected_input)
        expected = scheduler.step(v, t, x).prev_sample
        clean = clean_prediction(x, v, schedule.sigmas[i])
        torch.testing.assert_close(euler_step(x, clean, schedule.sigmas[i], schedule.sigmas[i + 1]), expected)
        x = expected


@pytest.mark.parametrize("steps", [1, 7, 25, 600, 1000])
def test_ddim_begins_at_the_noisiest_timestep_whatever_the_steps(steps):
    schedule = make_schedule(svd_scheduler(), steps, "ddim")
    assert len(schedule.sigmas) == steps + 1
    assert float(schedule.sigmas[0]) == pytest.approx(14.61, abs=0.01)
    assert (schedule.sigmas.diff() < 0).all()


def test_ddim_is_the_same_step_on_its_own_sigmas():
    config = svd_scheduler()
    names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type")
    scheduler = DDIMScheduler(**{n: config[n] for n in names}, timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(10)
    schedule = make_schedule(config, 10, "ddim")
    assert schedule.sigmas[0] < 15  # the training schedule's noise, not Karras' 700
    x = torch.randn(1, 4, 8, 8, dtype=torch.float64)
    for i, t in enumerate(scheduler.timesteps):
        v = torch.randn_like(x)
        sigma, following = schedule.sigmas[i].double(), schedule.sigmas[i + 1].double()
        noisy = x * (sigma**2 + 1).sqrt()
        moved = euler_step(noisy, clean_prediction(noisy, v, sigma), sigma, following) / (following**2 + 1).sqrt()
        x = scheduler.step(v, int(t), x).prev_sample
        if i < 9:  # diffusers ends on alpha_0 of its table or on one; here the end is exactly zero noise
            torch.testing.assert_close(moved, x, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def nets():
    torch.manual_seed(0)
    return build_module("unet", CONFIG).eval(), build_module("pose_guider", CONFIG).eval()


def run(nets, *, frames=7, seed=0, motion_scale=1.0, sampling=None, noise=None, config_changes=None):
    sampling = sampling or SamplingConfig(steps=2, window=4, overlap=1, shift=1)
    inputs = torch.Generator().manual_seed(5)
    return list(
        denoise(
            *nets,
            noise=start_noise(frames, (CHANNELS, 8, 8), seed) if noise is None else noise,
            reference_latent=torch.randn(1, CHANNELS, 8, 8, generator=inputs),
            appearance=torch.randn(1, 16, 128, generator=inputs),
            motion=motion_scale * torch.randn(frames, 8, 128, generator=inputs),
            pose=black_pose(frames, (SIDE, SIDE)),
            config=sampling,
            schedule=make_schedule(svd_scheduler(), sampling.steps),
            scaling_factor=0.18215,
            device="cpu",
        )
    )


@pytest.mark.slow
def test_the_loop_reports_every_evaluation(nets):
    states = run(nets)
    # 3 windows, 2 steps, 2 branches (equal scales), and the end
    assert [s.evaluation for s in states] == [*range(1, 13), 12]
    assert {s.evaluations for s in states} == {12}
    assert states[-1].sigma == 0
    assert states[-1].latents.shape == (7, CHANNELS, 8, 8)


@pytest.mark.slow
def test_two_branches_equal_three(nets):
    """With equal scales the middle branch cancels: almost-equal scales, which evaluate it, give almost the same."""
    sampling = SamplingConfig(steps=2, window=4, overlap=1, shift=1)
    almost = replace(sampling, appearance_guidance=(2.0 + 1e-6, 2.0 + 1e-6))
    two, three = run(nets, sampling=sampling), run(nets, sampling=almost)
    assert (len(two), len(three)) == (13, 19)
    error = (two[-1].latents - three[-1].latents).norm() / two[-1].latents.norm()
    assert error < 1e-5


@pytest.mark.slow
def test_seed_decides_and_global_state_does_not(nets):
    first = run(nets, seed=3)[-1].latents
    torch.manual_seed(99)
    torch.rand(10)
    before = torch.random.get_rng_state()
    assert torch.equal(first, run(nets, seed=3)[-1].latents)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.equal(first, run(nets, seed=4)[-1].latents)


@pytest.mark.slow
def test_motion_reaches_the_result(nets):
    assert not torch.allclose(run(nets)[-1].latents, run(nets, motion_scale=3.0)[-1].latents, atol=1e-3)


def test_the_paper_preset_samples_by_ddim():
    assert PortraitConfig.preset("paper").sampling.sampler == "ddim"
    assert PortraitConfig.preset("paper").motion.levels == 64


def test_a_clip_shorter_than_a_window(nets):
    assert torch.isfinite(run(nets, frames=2)[-1].latents).all()


def test_nan_is_an_error_with_a_remedy(nets):
    with pytest.raises(PortraitError, match=r"NaN or infinity at step 1.*float32"):
        run(nets, noise=torch.full((7, CHANNELS, 8, 8), float("nan")))


def test_unequal_lengths_are_an_error(nets):
    with pytest.raises(OptionError, match=r"5 frames of noise, 7 of motion, 7 of pose"):
        run(nets, noise=torch.zeros(5, CHANNELS, 8, 8))


def test_frames_that_share_a_pose_map_share_its_features(nets):
    guider = nets[1]
    maps = torch.rand(2, 3, SIDE, SIDE)
    pose = PoseMaps(maps, torch.tensor([0, 1, 0, 0]), "test")
    features = pose_features(guider, pose, [3, 1, 2, 1], "cpu")
    assert features.shape == (1, 4, CONFIG.unet["block_out_channels"][0], 8, 8)
    torch.testing.assert_close(features[0], guider(maps[[0, 1, 0, 1]]))


def test_pose_padding_repeats_the_first_frame():
    pose = PoseMaps(torch.rand(3, 3, 8, 8), torch.tensor([2, 1, 0]), "test").padded(2)
    assert pose.index.tolist() == [2, 2, 2, 1, 0, 2, 2]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip():
    from hp_core.bench.memory import memory_config, peak_memory

    short, long = (peak_memory(memory_config(), frames) for frames in (50, 400))
    # the loop holds a handful of clip-long latents; everything else is made for the window at hand
    aside = [run["peak_bytes"] - 4 * run["latent_bytes"] for run in (short, long)]
    assert aside[1] <= 1.1 * aside[0], (short, long)
    assert long["peak_bytes"] <= 1.1 * short["peak_bytes"] + 4 * long["latent_bytes"]


@pytest.mark.slow
def test_guidance_outside_its_interval_is_one_branch(nets):
    schedule = make_schedule(svd_scheduler(), 3)
    always = SamplingConfig(steps=3, window=4, overlap=1, appearance_guidance=(2.0, 2.0), motion_guidance=(3.0, 3.0))
    inside = replace(always, guidance_interval=(1.0, float(schedule.sigmas[1])))
    weights = step_weights(inside, schedule)
    assert [sum(w != 0 for w in step) for step in weights] == [1, 3, 1]
    assert step_weights(always, schedule)[1] == weights[1]
    assert len(run(nets, frames=4, sampling=inside)) - 1 == 2 * (1 + 3 + 1)


@pytest.mark.slow
def test_an_early_end_leaves_noise(nets):
    sampling = SamplingConfig(steps=3, window=4, overlap=1)
    whole, part = run(nets, frames=4, sampling=sampling), run(nets, frames=4, sampling=replace(sampling, end_step=2))
    assert (part[-1].step, whole[-1].step) == (2, 3)
    assert part[-1].sigma > whole[-1].sigma == 0
    assert len(part) - 1 == 2 * (len(whole) - 1) // 3
    assert torch.equal(part[-1].latents, next(state.latents for state in whole if state.step == 2)), "the same steps as far as they go"


@pytest.mark.slow
def test_a_late_beginning_stays_near_the_portrait(nets):
    reference = torch.randn(1, CHANNELS, 8, 8, generator=torch.Generator().manual_seed(5)) * 0.18215
    sampling = SamplingConfig(steps=4, window=4, overlap=1)
    early, late = (run(nets, frames=4, sampling=replace(sampling, start_step=step))[-1].latents for step in (0, 3))
    assert (late - reference).square().mean() < 0.1 * (early - reference).square().mean()


@pytest.mark.parametrize(
    "changes", [{"start_step": 25}, {"end_step": 0}, {"start_step": 5, "end_step": 5}, {"guidance_interval": (3.0, 1.0)}]
)
def test_steps_and_intervals_that_are_none_are_refused(changes):
    with pytest.raises(OptionError):
        SamplingConfig(**changes)


def test_one_window_on_a_line_is_the_unet_on_the_whole_clip(nets):
    line = SamplingConfig(steps=1, window=9, overlap=1, windows="line")
    states = run(nets, frames=7, sampling=line)
    assert states[-1].evaluations == sum(w != 0 for w in branch_weights(2.0, 2.0))
    same = run(nets, frames=7, sampling=replace(line, window=7, overlap=0, windows="ring", shift=0))
    torch.testing.assert_close(states[-1].latents, same[-1].latents, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("scales", [(2.0, 2.0), (2.0, 1.5), (1.0, 1.0)])
def test_branches_together_are_the_branches_one_by_one(nets, scales):
    one = SamplingConfig(steps=2, window=4, overlap=1, shift=1, appearance_guidance=(scales[0],) * 2, motion_guidance=(scales[1],) * 2)
    alone, both = (run(nets, sampling=replace(one, branches=rule)) for rule in ("one by one", "together"))
    spread = float(alone[-1].latents.std())
    torch.testing.assert_close(both[-1].latents, alone[-1].latents, rtol=0, atol=1e-3 * spread)  # at sigma 100, of float32
    assert both[-1].evaluations == alone[-1].evaluations / sum(w != 0 for w in branch_weights(*scales))
    assert both[-1].evaluation == both[-1].evaluations
