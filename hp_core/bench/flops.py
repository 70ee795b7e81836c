"""Floating-point operations, counted on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from hp_core.checks import check_range
from hp_core.config import PortraitConfig
from hp_core.pose.align import black_pose
from hp_core.sampling.denoise import branch_velocities, pose_features
from hp_core.sampling.guidance import branch_weights
from hp_core.weights.load import build_module


def count_flops(
    config: PortraitConfig, *, size: int | None = None, window: int | None = None, scales: tuple[float, float] = (2.0, 2.0)
) -> dict[str, Any]:
    """Floating-point operations of one denoising step of one window, counted on the meta device (attention as two products).

    Args:
        size: side of the picture, pixels; None takes the configuration's.
        window: frames; None takes the configuration's.
        scales: appearance and motion guidance of the step.

    Raises:
        OptionError: a size the networks cannot halve as often as they do, or a window without frames.
    """
    if size is not None:
        config = replace(config, face=replace(config.face, image_size=size))
    size, frames = config.face.image_size, config.sampling.window if window is None else window
    check_range("window", frames, 1)
    side = size // config.vae_scale_factor
    meta = torch.device("meta")
    with meta:
        unet, guider = (build_module(name, config) for name in ("unet", "pose_guider"))
    unet.to(meta).requires_grad_(False)  # diffusers' mix factors ignore the default device
    width, channels = config.motion.token_dim, config.vae["latent_channels"]
    black = black_pose(frames, (size, size))
    inputs: dict[str, Any] = {
        "condition": torch.zeros(1, channels, side, side, device=meta),
        "motion": torch.zeros(frames, config.motion.memories, width, device=meta),
        "time_ids": torch.zeros(1, 3, device=meta),
    }
    tokens = torch.zeros(1, config.appearance.tokens, width, device=meta)

    def counted(run: Callable[[], Any]) -> tuple[float, Any]:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            value = run()
        return counter.get_total_flops() / 1e12, value

    once, projected = counted(lambda: unet.project_appearance(tokens))
    pose_cost, features = counted(lambda: pose_features(guider, black, list(range(frames)), meta))
    scaled, time_step = torch.zeros(frames, channels, side, side, device=meta), torch.zeros((), device=meta)

    def velocities(weights: tuple[float, float, float]) -> list[torch.Tensor]:
        return list(branch_velocities(unet, scaled, time_step, weights, appearance=projected, pose=features, **inputs))

    single = {"nothing": (1.0, 0.0, 0.0), "appearance": (0.0, 1.0, 0.0), "appearance+motion": (0.0, 0.0, 1.0)}
    branches = {name: counted(partial(velocities, weights))[0] for name, weights in single.items()}
    step, _ = counted(lambda: velocities(branch_weights(*scales)))
    return {
        "size": size,
        "window": frames,
        "guidance": list(scales),
        "step_tflop": step + pose_cost,
        "branches_tflop": branches,
        "pose_guider_tflop": pose_cost,
        "appearance_projection_once_a_video_tflop": once,
    }
