"""The denoising loop, a generator: progress, preview and interruption belong to whoever iterates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from hp_core.config import SamplingConfig
from hp_core.errors import OptionError, PortraitError
from hp_core.pose.draw import distinct_maps
from hp_core.pose.guider import PoseGuider
from hp_core.sampling.deep_reuse import DeepReuse, WindowDeep
from hp_core.sampling.guidance import branch_weights, scale_ramp
from hp_core.sampling.schedule import Schedule, clean_prediction, scale_input
from hp_core.sampling.solvers import make_solver
from hp_core.sampling.windows import plan_windows, step_shift
from hp_core.unet.attention import ProjectedTokens
from hp_core.unet.model import PortraitUNet
from hp_core.values import PoseMaps

_Branch: TypeAlias = tuple[Tensor, ProjectedTokens | None, Tensor | None]
"""Reference latent, appearance and motion that a branch of guidance sees."""


@dataclass(frozen=True)
class DenoiseState:
    """Where the loop stands after one UNet evaluation, and once more at the end.

    Attributes:
        step, steps: steps finished and their number.
        evaluation, evaluations: UNet evaluations done, and those of the whole run.
        sigma: noise level of ``latents``, 0 at the end of the last step.
        latents: (frames, 4, height, width) float32 on the CPU, scaled VAE space; they change at the end of a step only.
        clean: what the last finished step took for the result, of the same shape; the portrait before the first.
    """

    step: int
    steps: int
    evaluation: int
    evaluations: int
    sigma: float
    latents: Tensor
    clean: Tensor


@torch.no_grad()
def denoise(
    unet: PortraitUNet,
    guider: PoseGuider,
    *,
    noise: Tensor,
    reference_latent: Tensor,
    appearance: Tensor,
    motion: Tensor,
    pose: PoseMaps,
    config: SamplingConfig,
    schedule: Schedule,
    scaling_factor: float,
    device: torch.device | str,
    fresh_noise: Iterator[Tensor] | None = None,
) -> Iterator[DenoiseState]:
    """Denoise a whole clip, window by window; the last state holds the result.

    Nothing on ``device`` grows with the clip: latents wait in main memory, where a step is made too, and tokens, pose features and
    latents go over for the window at hand. With
    ``config.reuse_every`` above 1 the deep features of every frame wait in main memory (`DeepReuse`).

    Args:
        noise: (frames, 4, height, width), unit variance.
        reference_latent: (1, 4, height, width), the mode of the VAE's posterior, unscaled.
        appearance: (1, tokens, channels).
        motion: (frames, tokens, channels).
        pose: one map a frame; ``len(pose)`` must equal frames.
        schedule: its steps; ``config.steps`` is not read.
        scaling_factor: the VAE's, 0.18215 for SVD.
        fresh_noise: like ``noise``, one for each step of a sampler that adds some (`lcm`).

    Raises:
        OptionError: frame counts disagree, or the sampler lacks its noise.
        PortraitError: the UNet returned values that are not finite.
    """
    frames = len(noise)
    if len(motion) != frames or len(pose) != frames:
        raise OptionError(f"The clip has {frames} frames of noise, {len(motion)} of motion, {len(pose)} of pose; they must be equal.")
    dtype = unet.dtype
    sigmas, timesteps = schedule.sigmas.cpu(), schedule.timesteps.to(device)
    reference = reference_latent.to("cpu", torch.float32)
    done_steps = range(config.start_step, min(config.end_step, schedule.steps))
    latents = reference * scaling_factor + noise.to("cpu", torch.float32) * sigmas[config.start_step]
    condition, clean = reference.to(device, dtype), (reference * scaling_factor).expand_as(latents)
    projected = unet.project_appearance(appearance.to(device, dtype))
    time_ids = torch.tensor([[config.fps, config.motion_bucket_id, config.noise_aug]], device=device)
    weights = step_weights(config, schedule)
    plan = partial(plan_windows, frames, size=config.window, overlap=config.overlap, rule=config.windows)
    together = config.branches == "together"
    solver = make_solver(config.sampler, fresh_noise)
    evaluations = len(plan()) * sum(window_evaluations(config, schedule)[step] for step in done_steps)
    reuse = DeepReuse(frames, every=config.reuse_every) if config.reuse_every > 1 else None
    done = 0

    for step in done_steps:
        sigma = sigmas[step]
        if reuse is not None:
            reuse.begin(step - done_steps.start)
        shift = step_shift(step, shift=config.shift, size=config.window)
        summed, visits = torch.zeros_like(latents), latents.new_zeros(frames)
        for window in plan(shift=shift):
            index = torch.tensor(window)
            x = latents[index]  # (window, 4, height, width)
            v = torch.zeros(x.shape, device=device)
            for term in branch_velocities(
                unet,
                scale_input(x, sigma).to(device, dtype),
                timesteps[step],
                weights[step],
                condition=condition,
                appearance=projected,
                motion=motion[window].to(device, dtype),
                pose=pose_features(guider, pose, window, device),
                time_ids=time_ids,
                together=together,
                deep=None if reuse is None else reuse.window(window),
            ):
                v += term
                done += 1
                yield DenoiseState(step, schedule.steps, done, evaluations, float(sigma), latents, clean)
            predicted = clean_prediction(x, v.cpu(), sigma)
            for part in index.split(frames):  # no frame stands twice in a part
                summed.index_add_(0, part, predicted[: len(part)])
                visits.index_add_(0, part, torch.ones(len(part)))
                predicted = predicted[len(part) :]
        clean = summed / visits[:, None, None, None]  # windows are averaged here: a step is linear in it
        latents = solver.step(latents, clean, sigmas, step)
        _check_finite(latents, step, dtype)
    yield DenoiseState(done_steps.stop, schedule.steps, done, evaluations, float(sigmas[done_steps.stop]), latents, clean)


def step_weights(config: SamplingConfig, schedule: Schedule) -> list[tuple[float, float, float]]:
    """`branch_weights` of each step: the ramps inside ``config.guidance_interval``, the full branch alone outside it."""
    low, high = config.guidance_interval
    ramps = (scale_ramp(scales, schedule.steps) for scales in (config.appearance_guidance, config.motion_guidance))
    return [
        branch_weights(*scales) if low <= float(sigma) <= high else branch_weights(1.0, 1.0)
        for *scales, sigma in zip(*ramps, schedule.sigmas[:-1], strict=True)
    ]


def window_evaluations(config: SamplingConfig, schedule: Schedule) -> list[int]:
    """How often the UNet is asked about one window, for each step."""
    branches = [sum(weight != 0 for weight in weights) for weights in step_weights(config, schedule)]
    return [min(count, 1) for count in branches] if config.branches == "together" else branches


def branch_velocities(
    unet: PortraitUNet,
    scaled: Tensor,
    timestep: Tensor,
    weights: tuple[float, float, float],
    *,
    condition: Tensor,
    appearance: ProjectedTokens,
    motion: Tensor,
    pose: Tensor,
    time_ids: Tensor,
    together: bool = False,
    deep: WindowDeep | None = None,
) -> Iterator[Tensor]:
    """The weighted v of each branch in turn, float32; their sum is the guided prediction. A branch of weight zero is not evaluated.

    Args:
        scaled: (window, 4, height, width), latents divided by sqrt(sigma^2 + 1).
        weights: of `branch_weights`.
        condition: (1, 4, height, width), the unscaled reference latent; the branch without appearance sees zeros.
        motion: (window, tokens, channels).
        pose: (1, window, channels, height, width), given to every branch.
        together: evaluate the branches in one batch, whose tokens of zero are then attended to; yields their weighted sum.
        deep: the window's deep features, to be kept or used.
    """
    branches: tuple[_Branch, ...] = (
        (torch.zeros_like(condition), None, None),
        (condition, appearance, None),
        (condition, appearance, motion[None]),
    )
    used = [number for number, weight in enumerate(weights) if weight != 0]
    if together and len(used) > 1:
        chosen = [(weights[number], branches[number]) for number in used]
        yield _batched(unet, scaled, timestep, chosen, appearance, motion[None], pose=pose, time_ids=time_ids)
        return
    for number in used:
        latent, appearance_tokens, motion_tokens = branches[number]
        features = None if deep is None else deep.of(number, scaled)
        sample = torch.cat([scaled, latent.expand(len(scaled), -1, -1, -1)], dim=1)[None]
        v = unet(sample, timestep, appearance=appearance_tokens, motion=motion_tokens, added_time_ids=time_ids, pose=pose, deep=features)[0]
        if deep is not None and features is not None:
            deep.keep(number, features)
        yield weights[number] * v.float()


def _batched(
    unet: PortraitUNet,
    scaled: Tensor,
    timestep: Tensor,
    chosen: list[tuple[float, _Branch]],
    appearance: ProjectedTokens,
    motion: Tensor,
    *,
    pose: Tensor,
    time_ids: Tensor,
) -> Tensor:
    """The weighted sum of the branches ``chosen``, from one evaluation; (window, 4, height, width) float32."""
    count = len(chosen)
    latents = torch.stack([latent.expand(len(scaled), -1, -1, -1) for _, (latent, _, _) in chosen])
    shown = scaled.new_tensor([float(tokens is not None) for _, (_, tokens, _) in chosen])[:, None, None]  # (branches, 1, 1)
    moved = scaled.new_tensor([float(tokens is not None) for _, (_, _, tokens) in chosen])[:, None, None, None]
    projected = ProjectedTokens([(key * shown, value * shown) for key, value in appearance.layers])
    v = unet(
        torch.cat([scaled.expand(count, *scaled.shape), latents], dim=2),
        timestep,
        appearance=projected,
        motion=motion * moved,
        added_time_ids=time_ids.expand(count, -1),
        pose=pose.expand(count, -1, -1, -1, -1),
    )
    return torch.stack([weight * part.float() for (weight, _), part in zip(chosen, v, strict=True)]).sum(0)


def pose_features(guider: PoseGuider, pose: PoseMaps, window: list[int], device: torch.device | str) -> Tensor:
    """Pose guider's output for a window, (1, window, channels, height / 8, width / 8); frames that share a map share its cost."""
    maps, rows = distinct_maps(pose, window)
    weight = guider.conv_in.weight
    return guider(maps.to(device, weight.dtype))[rows.to(device)][None]


def noises(frames: int, latent_shape: tuple[int, int, int], seed: int, rule: str = "independent") -> Iterator[Tensor]:
    """One noise after another without end: (frames, *latent_shape) float32 of unit variance, `independent` in every frame or one
    `shared` by all.

    From their own generator on the CPU, so they are the same on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    while True:
        drawn = torch.randn((1 if rule == "shared" else frames, *latent_shape), generator=generator)
        yield drawn.expand(frames, -1, -1, -1).contiguous()


def start_noise(frames: int, latent_shape: tuple[int, int, int], seed: int, rule: str = "independent") -> Tensor:
    """The first of `noises`."""
    return next(noises(frames, latent_shape, seed, rule))


def _check_finite(latents: Tensor, step: int, dtype: torch.dtype) -> None:
    if not torch.isfinite(latents).all():
        raise PortraitError(
            f"The UNet returned NaN or infinity at step {step + 1} in {dtype}. "
            "Run in float32 or bfloat16 (some cards overflow in float16), or check the weights with `hp-portrait inspect`."
        )
