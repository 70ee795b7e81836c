"""Number for number with the released model: every case file of a directory, in float32 on the CPU.

`PARITY_CASES` names another directory of case files; what a file holds decides how it is run.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from hp_core.appearance.encode import vit_input
from hp_core.appearance.vit import AppearanceViT, TokenProjector
from hp_core.compose import paste_back
from hp_core.config import FaceConfig, MotionConfig, PortraitConfig, PoseConfig, SamplingConfig, svd_scheduler, svd_vae
from hp_core.face.crop import arcface_align, crop_square, head_crop, motion_crop, square_box
from hp_core.motion.encode import motion_tokens, pad_tokens
from hp_core.motion.encoders import ExpressionEncoder, HeadPoseEncoder
from hp_core.motion.intensity import estimate
from hp_core.motion.refiner import MotionRefiner
from hp_core.pose.guider import PoseGuider
from hp_core.sampling.denoise import denoise
from hp_core.sampling.schedule import clean_prediction, euler_step, make_schedule, scale_input
from hp_core.unet.model import PortraitUNet
from hp_core.vae import decode_chunks, encode_reference
from hp_core.values import PoseMaps
from tests.parity.conftest import REPORT
from tests.parity.fill import fill, uniform

HERE = Path(__file__).parent
CASES = Path(os.environ.get("PARITY_CASES", HERE / "cases"))
RELEASED = PortraitConfig.released()
MEASURED: list[tuple[str, float, float]] = []
# What marks each kind of case among the tensors of its file.
KINDS = {
    "motion": "driven",
    "appearance": "projected",
    "pose_guider": "features",
    "unet": "output",
    "scheduler": "scaled_step7",
    "pipeline": "latents",
    "preprocess": "square_boxes",
    "preprocess_offset": "driving_first_box",
    "postprocess": "pasted",
}


class Case:
    """One case file: its tensors, its metadata, and the inputs made by the rule."""

    def __init__(self, path: Path):
        self.path = path
        with safe_open(path, "pt") as file:
            self.meta = file.metadata() or {}
            self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        self.kind = next((kind for kind, mark in KINDS.items() if mark in self.tensors), "unknown")

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def input(self, name: str, shape: tuple[int, ...]) -> Tensor:
        return uniform(self.meta.get("input_prefix", "case.") + name, shape)

    @property
    def slow(self) -> bool:
        return self.kind == "unet" and json.loads(self.meta["config"])["block_out_channels"][0] == 320


def case_files() -> list:
    files = sorted(CASES.glob("*.safetensors"))
    assert files, f"no case files in {CASES}"
    return [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if Case(path).slow else []) for path in files]


def fill_module(module: torch.nn.Module, prefix: str) -> torch.nn.Module:
    """Weights by the rule, one tensor at a time, so that the full-size UNet fits in memory once."""
    module.to_empty(device="cpu")
    for name, tensor in module.state_dict().items():
        tensor.copy_(fill(prefix + name, tuple(tensor.shape)))
    return module.eval()


def built(make, prefix: str):
    with torch.device("meta"):
        module = make()
    return fill_module(module, prefix)


@cache
def appearance_networks() -> tuple[torch.nn.Module, torch.nn.Module]:
    """Filled once: three cases share their 300 M parameters."""
    config = RELEASED.appearance
    return built(lambda: AppearanceViT(config), "dino."), built(lambda: TokenProjector(config), "image_proj.")


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    assert actual.shape == expected.shape
    error = float((actual.double() - expected.double()).norm() / expected.double().norm())
    MEASURED.append(("relative error", error, tolerance))
    assert error <= tolerance, f"relative error {error:.2e}, allowed {tolerance:.0e}"


def close_pixels(actual, expected, *, mean: float = 2.0, worst: float = 8.0, scale: float = 1.0) -> None:
    difference = np.abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64)) * scale
    assert difference.shape == np.asarray(expected).shape
    MEASURED.extend([("mean grey levels", difference.mean(), mean), ("worst grey level", difference.max(), worst)])
    assert difference.mean() <= mean, f"mean difference {difference.mean():.3f} grey levels, allowed {mean}"
    assert difference.max() <= worst, f"largest difference {difference.max():.3f} grey levels, allowed {worst}"


@pytest.mark.parametrize("path", case_files())
@torch.no_grad()
def test_case(path: Path, request: pytest.FixtureRequest) -> None:
    case = Case(path)
    runner = {
        "motion": run_motion,
        "appearance": run_appearance,
        "pose_guider": run_pose_guider,
        "unet": run_unet,
        "scheduler": run_scheduler,
        "pipeline": run_pipeline,
        "preprocess": run_preprocess,
        "preprocess_offset": run_preprocess_offset,
        "postprocess": run_postprocess,
    }.get(case.kind)
    assert runner is not None, f"{path.name} holds {sorted(case.tensors)}, no known kind of case"
    MEASURED.clear()
    runner(case, request)
    for what, limit in sorted({(name, limit) for name, _, limit in MEASURED}):
        worst = max(value for name, value, allowed in MEASURED if (name, allowed) == (what, limit))
        REPORT.append(f"{path.stem:20} {what:16} at most {worst:.2e} (allowed {limit:g})")


def run_motion(case: Case, _request) -> None:
    config, frames = MotionConfig(), int(case.meta["frames"])
    face = case.input("motion.face", (frames, 3, 256, 256)) * 0.5 + 0.5
    pose = case.input("motion.pose", (frames, 3, 256, 256)) * 0.5 + 0.5
    expression = built(lambda: ExpressionEncoder(config), "expression.")(face)
    rotation, translation = built(lambda: HeadPoseEncoder(config), "headpose.")(pose)
    levels = [torch.full((frames,), int(case.meta[f"{name}_level"])) for name in ("expression", "head")]
    refined = built(lambda: MotionRefiner(config), "motion_proj.")(expression, *levels)
    close(expression, case["expression"])
    close(rotation, case["rotation"])
    close(translation, case["translation"])
    close(refined, case["refined"])
    close(motion_tokens(refined, rotation, translation, translation_rule="released"), case["driven"])


def run_appearance(case: Case, _request) -> None:
    vit, projector = appearance_networks()
    batch = len(case["tokens"])
    identity = F.normalize(case.input("appearance.id", (batch, 512)), dim=-1)
    tokens = vit(case.input("appearance.image", (batch, 3, 224, 224)) * 2, identity)
    close(tokens, case["tokens"])
    close(projector(tokens), case["projected"])


def run_pose_guider(case: Case, _request) -> None:
    batch, channels, frames, height, width = case["features"].shape
    image = case.input("pose_guider.image", (batch, 3, frames, height * 8, width * 8)) * 0.5 + 0.5
    guider = built(lambda: PoseGuider(PoseConfig(), out_channels=channels), "pose_guider.")
    features = guider(image.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, frames)).transpose(1, 2)
    close(features, case["features"])


def run_unet(case: Case, _request) -> None:
    config = json.loads(case.meta["config"])
    name = "unet_full" if case.slow else "unet_tiny"
    batch, frames, height, width, count = (int(case.meta[k]) for k in ("batch", "frames", "height", "width", "motion_tokens"))
    cross, first = config["cross_attention_dim"], config["block_out_channels"][0]
    sample = case.input(f"{name}.sample", (batch, frames, config["in_channels"], height, width)) * 1.7
    appearance = case.input(f"{name}.appearance", (batch * frames, count, cross)).unflatten(0, (batch, frames))
    motion = case.input(f"{name}.motion", (batch * frames, count, cross)).unflatten(0, (batch, frames))
    pose = case.input(f"{name}.pose", (batch, frames, first, height, width)) * 0.3
    time_ids = torch.tensor([json.loads(case.meta["added_time_ids"])]).expand(batch, -1)
    unet = built(lambda: PortraitUNet.from_config(config), "unet." if case.slow else "unet_tiny.")
    output = unet(sample, float(case.meta["timestep"]), appearance=appearance, motion=motion, added_time_ids=time_ids, pose=pose)
    close(output, case["output"])


def run_scheduler(case: Case, _request) -> None:
    config = json.loads(case.meta["config"])
    for name in [n for n in case.tensors if n.startswith("sigmas_")]:
        steps = int(name.removeprefix("sigmas_"))
        schedule = make_schedule(config, steps)
        close(schedule.sigmas, case[name])
        close(schedule.timesteps, case[f"timesteps_{steps}"])
        close((schedule.sigmas[0] ** 2 + 1).sqrt(), case[f"init_noise_sigma_{steps}"])
    schedule = make_schedule(config, 25)
    shape = tuple(case["scaled_step7"].shape)
    sample, output = case.input("scheduler.sample", shape) * 9, case.input("scheduler.model_output", shape)
    close(scale_input(sample, schedule.sigmas[7]), case["scaled_step7"])
    clean = clean_prediction(sample, output, schedule.sigmas[7])
    close(euler_step(sample, clean, schedule.sigmas[7], schedule.sigmas[8]), case["stepped_step7"])


def run_pipeline(case: Case, _request) -> None:
    meta, variant = case.meta, case.path.stem.removeprefix("pipeline_")
    frames, size = int(meta["frames"]), case["frames"].shape[-1]
    low_a, high_a, low_m, high_m = json.loads(meta["g"])
    config = SamplingConfig(
        steps=int(meta["steps"]),
        appearance_guidance=(low_a, high_a),
        motion_guidance=(low_m, high_m),
        window=int(meta["frames_per_batch"]),
        overlap=int(meta["overlap"]),
        shift=int(meta["shift_offset"]),
        fps=float(meta["fps"]),
        motion_bucket_id=float(meta["motion_bucket_id"]),
    )

    def pipe_input(name: str, shape: tuple[int, ...]) -> Tensor:
        return case.input(f"pipe.{variant}.{name}", shape)

    unet_config = json.loads(Case(HERE / "cases" / "unet_tiny.safetensors").meta["config"]) | {"cross_attention_dim": 1024}
    vae_config = svd_vae() | {"block_out_channels": [32, 32, 64, 64], "layers_per_block": 1, "force_upcast": False}
    unet = built(lambda: PortraitUNet.from_config(unet_config), "unet_pipe.")
    guider = built(lambda: PoseGuider(PoseConfig(), out_channels=32), "pose_guider_pipe.")
    vae = built(lambda: AutoencoderKLTemporalDecoder.from_config(vae_config), "vae_pipe.")
    vit, projector = appearance_networks()
    reference = encode_reference(vae, pipe_input("ref", (1, 3, size, size)))
    close(reference, case["reference_latent"])
    identity = F.normalize(pipe_input("id", (1, 512)), dim=-1)
    states = denoise(
        unet,
        guider,
        noise=pipe_input("noise", (1, frames, 4, size // 8, size // 8))[0] * 1.7,
        reference_latent=reference,
        appearance=projector(vit(pipe_input("clip", (1, 3, 224, 224)) * 2, identity)),
        motion=pipe_input("motion", (1, frames, 64, 1024))[0],
        pose=PoseMaps(pipe_input("pose", (1, 3, frames, size, size))[0].transpose(0, 1) * 0.5 + 0.5, torch.arange(frames), "case"),
        config=config,
        schedule=make_schedule(svd_scheduler(), config.steps),
        scaling_factor=0.18215,
        device="cpu",
    )
    latents = list(states)[-1].latents
    close(latents[None], case["latents"], 1e-3)
    decoded = torch.cat([part for _, part in decode_chunks(vae, latents / 0.18215, chunk=int(meta["decode_chunk_size"]))])
    close(decoded.transpose(0, 1)[None], case["frames"], 1e-3)


def run_preprocess(case: Case, request) -> None:
    squares = [square_box(box, tuple(size)) for box, size in zip(case["boxes"].numpy(), case["box_image_sizes"].tolist(), strict=True)]
    assert torch.equal(torch.tensor(squares), case["square_boxes"])
    levels = json.loads(case.meta["intensity_levels_head_expression"])
    assert intensity_levels(case["synthetic_landmarks"].numpy()) == levels["synthetic"]

    five = json.loads(case.meta["five_point_indices"])
    with safe_open(request.getfixturevalue("media_landmarks"), "np") as file:
        driving, portrait_points = file.get_tensor("driving_landmarks"), file.get_tensor("portrait_landmarks")
    points = driving[:, five, :2]
    for name, frames in (("a", range(25)), ("b", range(25, 50)), ("c", range(50, 75)), ("d", range(100, 120)), ("one", [7])):
        assert intensity_levels(points[list(frames)]) == levels[name], name
    indices = json.loads(case.meta["frame_indices"])
    extent = np.concatenate([driving[0, :, :2].min(0), driving[0, :, :2].max(0)])
    check_driving(case, points[indices], extent)

    from PIL import Image

    portrait = np.asarray(Image.open(request.getfixturevalue("portrait_image")).convert("RGB"))
    box = np.concatenate([portrait_points[:, :2].min(0), portrait_points[:, :2].max(0)])
    crop = check_portrait(case, portrait, box)
    close_pixels(arcface_align(crop, portrait_points[five, :2]), case["arcface_aligned"], scale=255)


def run_preprocess_offset(case: Case, _request) -> None:
    crop = check_portrait(case, case["portrait"].numpy(), case["portrait_box"].numpy())
    close_pixels(arcface_align(crop, case["crop_five_points"].numpy()), case["arcface_aligned"], scale=255)
    close_pixels(vit_input(crop, 224)[0], case["dino_input"], scale=255 * 0.226)
    check_driving(case, case["driving_five_points"].numpy(), case["driving_first_box"].numpy())


def intensity_levels(points: np.ndarray) -> list[int]:
    """[head, expression] level of one chunk."""
    *_, expression, head = estimate(points, MotionConfig())
    return [int(head[0]), int(expression[0])]


def check_portrait(case: Case, portrait: np.ndarray, box: np.ndarray) -> np.ndarray:
    square = square_box(box, portrait.shape[:2])
    assert list(square) == case["portrait_crop_box"].tolist()
    crop = np.asarray(crop_square(portrait, square, 512))
    close_pixels(crop, case["portrait_crop"])
    return crop


def check_driving(case: Case, points: np.ndarray, first_box: np.ndarray) -> None:
    config, frames = FaceConfig(), case["driving_frames"].numpy()
    square = square_box(first_box, frames.shape[1:3])
    assert list(square) == case["driving_crop_box"].tolist()
    for i, frame in enumerate(frames):
        close_pixels(motion_crop(frame, points[i], first_box, config).transpose(2, 0, 1), case["motion_face"][i])
        close_pixels(head_crop(crop_square(frame, square, 512), config).transpose(2, 0, 1), case["motion_pose"][i])


def run_postprocess(case: Case, request) -> None:
    pad = int(case.meta["pad_frames"])
    frames, *rest = case["padded_motion"].shape[1:]
    motion = case.input("padding.motion", (1, frames - 2 * pad, *rest))
    close(pad_tokens(motion[0], pad)[None], case["padded_motion"])

    from PIL import Image

    portrait = np.asarray(Image.open(request.getfixturevalue("portrait_image")).convert("RGB"))
    square = tuple(case["box"].tolist())
    close_pixels(paste_back(case["generated"].numpy(), portrait, square), case["pasted"], mean=0.5, worst=2)


@pytest.mark.parametrize("name", ["expression", "headpose", "motion_proj", "dino", "image_proj", "pose_guider", "unet"])
def test_manifest(name: str) -> None:
    """At full size on the meta device, every name and shape of the seven published files."""
    published = json.loads((HERE / "manifest.json").read_text())[name]
    make = {
        "expression": lambda: ExpressionEncoder(RELEASED.motion),
        "headpose": lambda: HeadPoseEncoder(RELEASED.motion),
        "motion_proj": lambda: MotionRefiner(RELEASED.motion),
        "dino": lambda: AppearanceViT(RELEASED.appearance),
        "image_proj": lambda: TokenProjector(RELEASED.appearance),
        "pose_guider": lambda: PoseGuider(RELEASED.pose, out_channels=320),
        "unet": lambda: PortraitUNet.from_config(RELEASED.unet),
    }[name]
    with torch.device("meta"):
        module = make()
    assert {k: list(v.shape) for k, v in module.state_dict().items()} == published
