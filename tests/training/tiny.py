"""A system of a few hundred thousand parameters, and clips for it, in which every stage of training runs in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hp_core.config import AppearanceConfig, MotionConfig, PortraitConfig
from hp_core.progress import result
from hp_core.training.animation import TRAINED
from hp_core.training.features import ClipEncoder
from hp_core.training.initialise import begin
from hp_core.training.rendered import RenderedSource
from hp_core.training.settings import DataConfig
from hp_core.training.store import Store, build_store
from hp_core.weights.catalog import MODULES
from hp_core.weights.load import PortraitModels, build_module

DATA = DataConfig(clips=3, frames=6, fps=4.0, held_out=1, motion_variants=2)


def config() -> PortraitConfig:
    """The demo's parts at 64x64 with one block each."""
    demo = PortraitConfig.demo()
    return replace(
        demo,
        face=replace(demo.face, image_size=64, head_size=32, motion_size=32),
        motion=MotionConfig(
            expression_blocks=(1, 1, 1, 1),
            expression_width=8,
            expression_dim=32,
            head_blocks=(1, 1, 1, 1),
            head_width=8,
            head_groups=4,
            head_input="symmetric",
            translation="predicted",
            width=32,
            depth=1,
            heads=2,
            memories=4,
            token_dim=32,
        ),
        appearance=AppearanceConfig(
            image_size=56,
            width=32,
            depth=2,
            heads=2,
            grid=4,
            adapter_blocks=(1,),
            adapter_width=24,
            adapter_attention=16,
            adapter_heads=2,
            tokens=8,
        ),
        unet=demo.unet
        | {
            "sample_size": 8,
            "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
            "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
            "block_out_channels": [32, 32],
            "num_attention_heads": [2, 2],
            "cross_attention_dim": 32,
        },
        vae=demo.vae | {"block_out_channels": [32, 32, 32], "sample_size": 64},
    )


def networks(model: PortraitConfig, *, seed: int = 0) -> dict[str, nn.Module]:
    """Every module, as training begins it."""
    modules: dict[str, nn.Module] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name in MODULES:
            modules[name] = build_module(name, model).requires_grad_(False).eval()
            begin(name, modules[name])
    return modules


class Likeness:
    """An ID encoder's interface: mean colours of the face's quarters, in 512 numbers of unit length."""

    def embed(self, face: np.ndarray) -> np.ndarray:
        """(112, 112, 3) in 0..1 -> (512,)."""
        quarters = face.reshape(2, 56, 2, 56, 3).mean(axis=(1, 3)).ravel() - 0.5
        spread = np.random.default_rng(0).normal(size=(512, len(quarters))) @ quarters
        return (spread / np.linalg.norm(spread)).astype(np.float32)


def features(model: PortraitConfig, modules: dict[str, nn.Module], folder: Path, *, first: int = 0, data: DataConfig = DATA) -> Store:
    """Rendered clips as the animation stage sees them."""
    models: Any = PortraitModels(config=model, identity=Likeness(), fingerprint="tiny", **modules)  # type: ignore[arg-type]
    encode = ClipEncoder(models, device=torch.device("cpu"), variants=data.motion_variants, jitter=0.4)
    source = RenderedSource(data, model.face, first=first)
    return result(build_store(source, source.keys, folder, encode, {"first": first}))


def trained(modules: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The modules of the animation stage and the VAE."""
    return {name: modules[name] for name in (*TRAINED, "vae")}
