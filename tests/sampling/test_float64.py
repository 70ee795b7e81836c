"""Nothing that runs on a device is float64: Apple's has none, and on others it is many times slower."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hp_core.appearance.encode import encode_appearance
from hp_core.config import SAMPLERS, PortraitConfig
from hp_core.motion.encode import encode_clip, estimate_intensity
from hp_core.pose.align import black_pose
from hp_core.progress import result
from hp_core.sampling.denoise import denoise, start_noise
from hp_core.sampling.schedule import make_schedule
from hp_core.vae import decode_chunks, encode_reference
from hp_core.values import FaceTrack
from hp_core.weights.load import build_module

CONFIG = PortraitConfig.demo()
CHANNELS = CONFIG.vae["latent_channels"]
SIDE = 8 * CONFIG.vae_scale_factor  # of a picture whose latents are 8x8


class NoFloat64(TorchDispatchMode):
    """Raises where an operation takes or gives a float64 tensor."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, out)):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64:
                raise TypeError(f"{func} meets float64 of the shape {list(leaf.shape)}.")
        return out


@pytest.fixture(scope="module")
def modules() -> dict[str, Any]:
    torch.manual_seed(0)
    names = ("unet", "pose_guider", "vae", "dino", "image_proj", "expression", "headpose", "motion_proj")
    return {name: build_module(name, CONFIG).eval().requires_grad_(False) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_loop_and_its_networks(modules: dict[str, Any], sampler: str) -> None:
    schedule = make_schedule(CONFIG.scheduler, 3, sampler)  # made on the host, with numpy
    assert {schedule.sigmas.dtype, schedule.timesteps.dtype} == {torch.float32}
    inputs: dict[str, Any] = {
        "noise": start_noise(2, (CHANNELS, 8, 8), 0),
        "reference_latent": torch.zeros(1, CHANNELS, 8, 8),
        "appearance": torch.zeros(1, 16, 128),
        "motion": torch.zeros(2, 8, 128),
        "pose": black_pose(2, (SIDE, SIDE)),
        "config": replace(CONFIG.sampling, window=2, overlap=1, appearance_guidance=(2.0, 1.0), motion_guidance=(1.5, 1.5)),
    }
    with NoFloat64():
        states = list(denoise(modules["unet"], modules["pose_guider"], schedule=schedule, scaling_factor=0.18215, device="cpu", **inputs))
        for _ in decode_chunks(modules["vae"], states[-1].latents, chunk=1):
            pass
    assert {states[-1].latents.dtype, states[-1].clean.dtype} == {torch.float32}


def test_the_encoders(modules: dict[str, Any]) -> None:
    def crops(size: int) -> np.ndarray:
        return np.zeros((2, size, size, 3), np.uint8)

    face = CONFIG.face
    points = np.array([[20, 20], [44, 20], [32, 34], [22, 46], [42, 46]], np.float32)
    track = FaceTrack(
        head_crops=crops(face.head_size),
        motion_crops=crops(face.motion_size),
        boxes=np.tile(np.array([10, 10, 54, 54], np.float32), (2, 1)),
        five_points=np.stack([points, points + 3]),
        landmarks=None,
        found=np.ones(2, bool),
        on_missing="error",
        square=(0, 0, 64, 64),
        portrait=crops(64)[0],
        portrait_crop=crops(64)[0],
        crop_points=points,
        crop_points_found=True,
        fps=Fraction(25),
        analyzer="drawn",
    )
    intensity = estimate_intensity(track, CONFIG.motion)
    networks = (modules[name] for name in ("expression", "headpose", "motion_proj"))
    with NoFloat64():
        result(encode_clip(*networks, track, intensity, CONFIG.motion, device="cpu"))
        encode_appearance(
            modules["dino"], modules["image_proj"], None, lambda image: encode_reference(modules["vae"], image), track, device="cpu"
        )


def test_it_would_be_noticed() -> None:
    with pytest.raises(TypeError, match="float64"), NoFloat64():
        torch.zeros(2).double()
