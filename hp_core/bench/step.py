"""One denoising step of one window: ours beside the reference's way of computing the same, timed in turn in one process.

The reference's way: the three guidance branches in one batch, tokens of zero attended to like any others, appearance projected at
every evaluation, and the tokens of temporal attention copied and projected for every position.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from hp_core.bench.memory import PeakMemory
from hp_core.checks import check_choice, check_range
from hp_core.config import UNET_STORAGES, PortraitConfig
from hp_core.pose.align import black_pose
from hp_core.sampling.denoise import branch_velocities, pose_features
from hp_core.sampling.guidance import branch_weights
from hp_core.unet.attention import MotionAttnProcessor, TokenPair
from hp_core.unet.model import PortraitUNet
from hp_core.weights.fp8 import check_fp8, store_in_fp8
from hp_core.weights.load import build_module

_GROUPS = 32  # of every norm in SVD's blocks: channels come in multiples of it


class ReferenceAttention(MotionAttnProcessor):
    """The same attention without what is saved: tokens stand once for every row of queries before they are projected."""

    def __call__(self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: TokenPair, attention_mask: None = None) -> Tensor:
        """See `MotionAttnProcessor`."""
        rows = len(hidden_states)
        copied = [
            None if tokens is None else tokens.repeat_interleave(rows // len(tokens), dim=0)  # type: ignore[union-attr]
            for tokens in encoder_hidden_states
        ]
        return super().__call__(attn, hidden_states, TokenPair(*copied), attention_mask)


def narrowed(config: PortraitConfig, part: int) -> PortraitConfig:
    """``config`` with a UNet of a ``part``-th of the width, rounded up to what its norms divide.

    Raises:
        OptionError: nothing is left to divide.
    """
    check_range("part", part, 1, 8)
    unet = config.unet | {
        "block_out_channels": [-(-channels // part // _GROUPS) * _GROUPS for channels in config.unet["block_out_channels"]],
        "num_attention_heads": [max(1, heads // part) for heads in config.unet["num_attention_heads"]],
    }
    return replace(config, unet=unet)


@torch.no_grad()
def step_speed(
    config: PortraitConfig,
    *,
    size: int | None = None,
    window: int | None = None,
    scales: tuple[float, float] = (2.0, 2.0),
    runs: int = 3,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    unet_storage: str = "compute",
) -> dict[str, Any]:
    """Seconds of a step both ways, medians of ``runs`` after a warm-up, and how far their results lie apart.

    Args:
        size: side of the picture, pixels; None takes the configuration's.
        window: frames; None takes the configuration's.
        scales: appearance and motion guidance.
        unet_storage: of `UNET_STORAGES`, for both ways.

    Returns:
        ``seconds`` and ``peak_bytes`` (weights not counted) for `ours` and `reference`, their ``ratio``, the largest ``difference`` of
        the guided prediction, and ``unet_bytes`` of the weights.
    """
    check_range("runs", runs, 1)
    check_choice("unet_storage", unet_storage, UNET_STORAGES)
    size = size or config.face.image_size
    frames, side = window or config.sampling.window, size // config.vae_scale_factor
    torch.manual_seed(0)
    unet = build_module("unet", config).eval()
    if unet_storage == "fp8":
        check_fp8(device)
        store_in_fp8(unet)
    torch.nn.Module.to(unet, device, dtype)
    guider = build_module("pose_guider", config).to(device, dtype).eval()
    channels, width = config.vae["latent_channels"], config.motion.token_dim

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape).to(device, dtype)

    scaled, condition = draw(frames, channels, side, side), draw(1, channels, side, side)
    appearance, motion = draw(1, config.appearance.tokens, width), draw(frames, config.motion.memories, width)
    time_ids, time_step = torch.tensor([[12.5, 0.0, 0.0]], device=device), torch.tensor(0.5, device=device)
    pose = pose_features(guider, black_pose(frames, (size, size)), list(range(frames)), device)
    projected = unet.project_appearance(appearance)
    weights = branch_weights(*scales)

    def ours() -> Tensor:
        terms = branch_velocities(
            unet, scaled, time_step, weights, condition=condition, appearance=projected, motion=motion, pose=pose, time_ids=time_ids
        )
        return torch.stack(list(terms)).sum(0)

    @_reference_attention(unet)
    def reference() -> Tensor:
        nothing, present = torch.zeros_like(condition), condition
        latents = torch.cat([branch.expand(frames, -1, -1, -1)[None] for branch in (nothing, present, present)])
        sample = torch.cat([scaled.expand(3, *scaled.shape), latents], dim=2)
        looks = appearance.expand(frames, -1, -1)
        v0, v1, v2 = unet(
            sample,
            time_step,
            appearance=torch.stack([torch.zeros_like(looks), looks, looks]),
            motion=torch.stack([torch.zeros_like(motion), torch.zeros_like(motion), motion]),
            added_time_ids=time_ids.expand(3, -1),
            pose=pose.expand(3, -1, -1, -1, -1),
        ).float()
        return v0 + scales[0] * (v1 - v0) + scales[1] * (v2 - v1)

    ways: dict[str, Callable[[], Tensor]] = {"ours": ours, "reference": reference}
    values = {name: run() for name, run in ways.items()}  # a warm-up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):  # in turn, so that whatever else the machine does meets both
        for name, run in ways.items():
            seconds[name].append(_timed(run, device))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "size": size,
        "window": frames,
        "width": config.unet["block_out_channels"][0],
        "scales": list(scales),
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "unet_storage": unet_storage,
        "unet_bytes": sum(parameter.nbytes for parameter in unet.parameters()),
        "seconds": medians,
        "ratio": medians["reference"] / medians["ours"],
        "difference": float((values["ours"] - values["reference"]).abs().max()),
        "peak_bytes": {name: _peak(run, device) for name, run in ways.items()},
    }


@contextmanager
def _reference_attention(unet: PortraitUNet) -> Iterator[None]:
    """Swap the UNet's attention for `ReferenceAttention` inside the block; weights stay shared."""
    processors: list[Any] = [attn.processor for attn in unet.cross_attentions]
    try:
        for processor in processors:
            processor.__class__ = ReferenceAttention
        yield
    finally:
        for processor in processors:
            processor.__class__ = MotionAttnProcessor


def _timed(run: Callable[[], Tensor], device: torch.device | str) -> float:
    """Seconds of ``run``, its work on the device included."""
    kind = torch.device(device).type
    start = time.perf_counter()
    run()
    if kind != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - start


def _peak(run: Callable[[], Tensor], device: torch.device | str) -> int:
    with PeakMemory(device) as memory:
        run()
    return memory.peak
