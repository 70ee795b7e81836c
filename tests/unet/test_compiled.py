"""torch.compile of the UNet: compiled once for each branch, and never again for another clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from hp_core.config import PortraitConfig, SamplingConfig, svd_scheduler
from hp_core.errors import OptionError
from hp_core.pose.align import black_pose
from hp_core.sampling.denoise import denoise, start_noise
from hp_core.sampling.schedule import make_schedule
from hp_core.unet.compiled import compile_unet
from hp_core.weights.load import build_module

_DEMO = PortraitConfig.demo()
CONFIG = replace(  # two blocks: what tracing costs is their number
    _DEMO,
    unet=_DEMO.unet
    | {
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
        "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
        "block_out_channels": [32, 32],
        "num_attention_heads": [1, 1],
    },
)
CHANNELS = CONFIG.vae["latent_channels"]
SIDE = 8 * CONFIG.vae_scale_factor  # of a picture whose latents are 8x8


@pytest.fixture(autouse=True)
def _nothing_compiled() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def nets() -> Any:
    torch.manual_seed(0)
    return [build_module(name, CONFIG).eval().requires_grad_(False) for name in ("unet", "pose_guider")]


def run(nets: Any, frames: int, **changes: Any) -> torch.Tensor:
    """The latents of a clip of ``frames``, with both branches of guidance."""
    inputs = torch.Generator().manual_seed(frames)
    sampling = SamplingConfig(steps=2, window=3, overlap=1, shift=1, **changes)
    states = denoise(
        *nets,
        noise=start_noise(frames, (CHANNELS, 8, 8), 0),
        reference_latent=torch.randn(1, CHANNELS, 8, 8, generator=inputs),
        appearance=torch.randn(1, 16, 128, generator=inputs),
        motion=torch.randn(frames, 8, 128, generator=inputs),
        pose=black_pose(frames, (SIDE, SIDE)),
        config=sampling,
        schedule=make_schedule(svd_scheduler(), 2),
        scaling_factor=1.0,
        device="cpu",
    )
    return list(states)[-1].latents


@pytest.mark.slow
def test_clips_of_other_lengths_are_not_compiled_again(nets: Any) -> None:
    """Traced and run as it is; every second step takes kept features, and a clip shorter than a window is one of the lengths."""
    from torch._dynamo.utils import counters

    plain = {frames: run(nets, frames, reuse_every=2) for frames in (5, 2, 4)}
    compile_unet(nets[0], "cpu", backend="eager")
    counters.clear()
    torch.testing.assert_close(run(nets, 5, reuse_every=2), plain[5], rtol=1e-4, atol=1e-3)
    assert counters["stats"]["unique_graphs"] > 0, "it was not compiled at all"
    assert not counters["graph_break"]
    with torch.compiler.set_stance("fail_on_recompile"):
        for frames in (2, 4):
            torch.testing.assert_close(run(nets, frames, reuse_every=2), plain[frames], rtol=1e-4, atol=1e-3)
        sample = torch.zeros(1, 2, 2 * CHANNELS, 8, 8)
        with pytest.raises(RuntimeError, match="fail_on_recompile"), torch.no_grad():  # a window of two frames would be compiled anew
            nets[0](sample, 1.0, appearance=None, motion=None, added_time_ids=torch.zeros(1, 3))


def test_a_machine_that_cannot_compile_says_so_at_once(nets: Any) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler here")

    with pytest.raises(OptionError, match=r"cannot compile for 'cpu' here .*no compiler here.* C\+\+ compiler"):
        compile_unet(nets[0], "cpu", backend=broken)  # type: ignore[arg-type]
    assert nets[0]._compiled_call_impl is None
