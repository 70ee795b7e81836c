"""Host memory against the length of a clip, at the released sizes of all that grows with it.

`python -m hp_core.bench.host FRAMES` prints one figure as JSON; `host_memory` runs it in a process of its own, since a process tells
only how much it held at most.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from hp_core.bench.clip import clip_speed
from hp_core.checks import check_range
from hp_core.config import PortraitConfig
from hp_core.errors import PortraitError
from hp_core.face.analyzer import create_analyzer
from hp_core.pipeline import PortraitPipeline
from hp_core.progress import result
from hp_core.weights.catalog import MODULES
from hp_core.weights.load import PortraitModels, build_module

_THIN = 32  # channels: every norm of SVD's blocks has as many groups


def thin_config() -> PortraitConfig:
    """Pictures, crops, tokens and latents of the released sizes; networks as thin as they can be, and one step of sampling."""
    released = PortraitConfig.released()
    small: dict[str, Any] = {
        "expression_blocks": (1, 1, 1, 1),
        "expression_width": 8,
        "head_blocks": (1, 1, 1, 1),
        "head_width": 8,
        "head_groups": 4,
    }
    blocks = len(released.unet["block_out_channels"])
    sampling: dict[str, Any] = {
        "steps": 1,
        "pad_frames": 0,
        "windows": "line",
        "appearance_guidance": (1.0, 1.0),
        "motion_guidance": (1.0, 1.0),
    }
    return replace(
        released,
        motion=replace(released.motion, depth=1, **small),
        appearance=replace(released.appearance, depth=1, adapter_blocks=(0,)),
        sampling=replace(released.sampling, **sampling),
        unet=released.unet | {"block_out_channels": [_THIN] * blocks, "num_attention_heads": [1] * blocks, "layers_per_block": 1},
        vae=released.vae | {"block_out_channels": [_THIN] * 4, "layers_per_block": 1},
        trained=False,
    )


def highest_memory(frames: int) -> int:
    """Most bytes this process has held after animating a drawn clip of ``frames`` frames from file to file; 0 where nothing tells."""
    config = thin_config()
    modules: dict[str, Any] = {name: nn.Module.requires_grad_(build_module(name, config), False).eval() for name in MODULES}
    models = PortraitModels(config=config, identity=None, fingerprint="", **modules)
    pipeline = PortraitPipeline(models, create_analyzer(), device=torch.device("cpu"))
    facts = result(clip_speed(pipeline, frames))
    pipeline.analyzer.close()
    return int(facts["host_bytes"])


def host_memory(frames: list[int]) -> list[dict[str, int]]:
    """``frames`` and ``bytes`` of `highest_memory` for each length.

    Raises:
        OptionError: a length below 1.
        PortraitError: one of the processes failed.
    """
    runs = []
    for count in frames:
        check_range("frames", count, 1)
        run = subprocess.run([sys.executable, "-m", "hp_core.bench.host", str(count)], capture_output=True, text=True, check=False)
        if run.returncode:
            raise PortraitError(f"The process for {count} frames failed: {run.stderr.strip().splitlines()[-1]}")
        runs.append({"frames": count, "bytes": json.loads(run.stdout.splitlines()[-1])})
    return runs


if __name__ == "__main__":
    sys.stdout.write(json.dumps(highest_memory(int(sys.argv[1]))) + "\n")
