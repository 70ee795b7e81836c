"""The paper's stage: what is trained and what is not, guidance's three states, the overfit of one clip, the full-size build."""

from __future__ import annotations

import re
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hp_core.config import PortraitConfig
from hp_core.config_files import read_config
from hp_core.pose.draw import LIMBS, draw_skeleton
from hp_core.progress import TrainingStep, result
from hp_core.training.animation import TRAINED, AnimationLoss, AnimationTask, choose_trainable, chunk_about, window_frames
from hp_core.training.initialise import still_time
from hp_core.training.patch_encoder import fit_patch_encoder
from hp_core.training.rendered import RenderedSource
from hp_core.training.settings import AnimationTraining, LogConfig, OptimConfig, read_settings
from hp_core.training.store import Store
from hp_core.training.trainer import train
from hp_core.unet.temporal import is_still, set_spatial_only
from hp_core.weights.catalog import DEMO_WEIGHTS
from hp_core.weights.load import build_module, load_module

from . import tiny

OVERFIT_STEPS = 300
SETTINGS = AnimationTraining(
    data=tiny.DATA, optim=OptimConfig(batch=4), frames=3, stride=2, freeze_vit=False, features=1.0, drop_motion=0.25, drop_all=0.25
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    folder, model = tmp_path_factory.mktemp("features"), tiny.config()
    modules = tiny.networks(model)
    return tiny.features(model, modules, folder / "a"), tiny.features(model, modules, folder / "b", first=900_000)


def make(stores: tuple[Store, Store], settings: AnimationTraining = SETTINGS, exported: dict[str, Any] | None = None) -> AnimationTask:
    model = tiny.config()
    keep = exported if exported is not None else {}
    return AnimationTask(tiny.trained(tiny.networks(model)), settings, model, *stores, keep.__setitem__)


@torch.no_grad()
def stir(module: nn.Module) -> None:
    """Give layers that begin as zero something to say."""
    for parameter in module.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(parameter.numel()))


def gradients(task: AnimationTask, steps: int = 2) -> dict[str, Tensor | None]:
    stir(task.loss)
    for step in range(steps):
        task.model(**task.batch(step, range(4)))["loss"].backward()
    return {name: parameter.grad for name, parameter in task.loss.named_parameters()}


LEADS_NOWHERE = re.compile(r"mask_token|adapter\.(branch\d|cross_attn\.image_proj)")  # in the released adapters


@pytest.mark.slow
def test_every_trained_tensor_gets_a_gradient_and_no_other(stores: tuple[Store, Store]) -> None:
    task = make(stores)
    for name, gradient in gradients(task, 4).items():
        if LEADS_NOWHERE.search(name):
            assert gradient is None, name
        else:
            assert gradient is not None, name
            assert gradient.any(), name


def test_frozen_dinov2_trains_its_adapters_alone(stores: tuple[Store, Store]) -> None:
    task = make(stores, replace(SETTINGS, freeze_vit=True))
    trained = {name for name, gradient in gradients(task).items() if gradient is not None}
    assert {name for name in trained if name.startswith("dino.")} == {
        name for name, _ in task.loss.named_parameters() if "adapter" in name and not LEADS_NOWHERE.search(name)
    }
    assert {name.split(".")[0] for name in trained} == set(TRAINED)


@pytest.mark.slow
def test_faces_are_compared_where_the_motion_is_known(stores: tuple[Store, Store]) -> None:
    """What is compared in pictures is added to the v loss for clips that see the motion, and the encoder that looks stays as it is."""
    model = tiny.config()
    model = replace(model, vae=PortraitConfig.demo().vae)  # wide enough for its encoder to be fitted
    modules: dict[str, Any] = tiny.networks(model)
    frames = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    fit_patch_encoder(modules["vae"], frames)
    settings = replace(SETTINGS, perceptual=0.5, colour=2.0, drop_all=0.0, drop_motion=0.0)
    given = tiny.trained(modules) | {"expression": modules["expression"]}
    task = AnimationTask(given, settings, model, *stores, lambda *_: None)
    plain = make(stores, replace(settings, perceptual=0.0, colour=0.0))
    batch = task.batch(0, range(4))
    seen, without = task.model(**batch), plain.model(**batch)
    assert seen["perceptual"].item() > 0 < seen["colour"].item()
    added = 0.5 * seen["perceptual"].item() + 2 * seen["colour"].item()
    assert seen["loss"].item() == pytest.approx(without["loss"].item() + added, rel=1e-4)
    assert not {"perceptual", "colour"} & set(without)
    seen["loss"].backward()
    encoder = [p for name, p in task.model.named_parameters() if name.startswith("perceptual")]
    assert encoder
    assert not any(p.requires_grad or p.grad is not None for p in encoder)
    hidden = task.model(**batch | {"keep_motion": torch.zeros(4)})
    assert hidden["perceptual"].item() == hidden["colour"].item() == 0


def test_the_identity_comes_from_any_frame_of_the_clip(stores: tuple[Store, Store]) -> None:
    """Not from the reference frame alone (paper 3.4)."""
    task, store = make(stores, replace(SETTINGS, first_reference=1.0)), stores[0]
    known = [store.read(index, ("id",), slice(None))["id"] for index in range(len(store))]
    taken = set()
    for step in range(12):
        for embedding in task.batch(step, range(4))["id_embedding"]:
            taken |= {frame for rows in known for frame in range(len(rows)) if torch.equal(rows[frame], embedding)}
    assert taken == set(range(len(known[0])))


def test_single_frames_leave_the_temporal_layers_alone(stores: tuple[Store, Store]) -> None:
    task = make(stores, replace(SETTINGS, frames=1, spatial_only=True))
    trained = [name for name, gradient in gradients(task).items() if gradient is not None and name.startswith("unet.")]
    assert trained
    assert not [name for name in trained if "temporal" in name or "time_mixer" in name or "time_pos_embed" in name]


def test_temporal_layers_begin_as_the_identity() -> None:
    torch.manual_seed(0)
    unet: Any = build_module("unet", tiny.config()).eval()
    inputs = {
        "sample": torch.randn(2, 3, tiny.config().unet["in_channels"], 8, 8),
        "timestep": torch.tensor([0.1, 0.9]),
        "appearance": torch.randn(2, 1, 8, 32),
        "motion": torch.randn(2, 3, 4, 32),
        "added_time_ids": torch.zeros(2, 3),
    }
    with torch.no_grad():
        set_spatial_only(unet, True)
        still = unet(**inputs)
        set_spatial_only(unet, False)
        assert not torch.allclose(unet(**inputs), still, atol=1e-3)
        assert not is_still(unet)
        still_time(unet)
        assert is_still(unet)
        assert torch.allclose(unet(**inputs), still, atol=1e-5)


def test_dropped_conditions_are_the_branches_of_guidance(stores: tuple[Store, Store]) -> None:
    """What training drops is what `branch_velocities` leaves out."""
    task = make(stores)
    stir(task.loss)
    task.loss.eval()
    seen: list[dict[str, Any]] = []
    unet: Any = task.loss.unet
    unet.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs | {"sample": args[0]}), with_kwargs=True)
    batch = task.batch(0, range(4))
    batch |= {"keep_appearance": torch.tensor([1.0, 1.0, 0.0, 1.0]), "keep_motion": torch.tensor([1.0, 0.0, 0.0, 1.0])}
    with torch.no_grad():
        task.model(**batch)
        (given,) = seen
        times, ids = 0.25 * batch["sigma"].log(), given["added_time_ids"]
        v = unet(given["sample"], times, **{name: given[name] for name in ("appearance", "motion", "added_time_ids", "pose")})

        def branch(row: slice, appearance: Tensor | None) -> Tensor:
            pose = given["pose"][row]
            return unet(given["sample"][row], times[row], appearance=appearance, motion=None, added_time_ids=ids[row], pose=pose)

        middle, first = branch(slice(1, 2), given["appearance"][1:2]), branch(slice(2, 3), None)
    assert torch.allclose(v[1:2], middle, atol=1e-5)
    assert torch.allclose(v[2:3], first, atol=1e-5)
    latents = tiny.config().vae["latent_channels"]
    assert not given["sample"][2, :, latents:].any(), "the reference latent is dropped too"
    assert given["sample"][1, :, latents:].any()


def test_a_batch_depends_on_the_step_alone_and_is_shared_out(stores: tuple[Store, Store]) -> None:
    task = make(stores)
    whole, again, other = task.batch(3, range(4)), task.batch(3, range(4)), task.batch(4, range(4))
    parts = [task.batch(3, range(2)), task.batch(3, range(2, 4))]
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert not torch.equal(whole["noise"], other["noise"])
    for name in set(whole) - {"poses", "pose_row"}:
        assert torch.equal(whole[name], torch.cat([part[name] for part in parts])), name
    maps = [part["poses"][part["pose_row"]] for part in (whole, *parts)]
    assert torch.equal(maps[0], torch.cat(maps[1:]))


@pytest.mark.slow
def test_states_come_in_their_shares(stores: tuple[Store, Store]) -> None:
    task = make(stores, replace(SETTINGS, optim=OptimConfig(batch=400), frames=1))
    batch = task.batch(0, range(400))
    assert float(batch["keep_appearance"].mean()) == pytest.approx(0.75, abs=0.06)
    assert float(batch["keep_motion"].mean()) == pytest.approx(0.5, abs=0.08)
    assert ((batch["keep_motion"] == 0) | (batch["keep_appearance"] == 1)).all(), "motion is never kept without appearance"


def test_the_translation_is_hidden_in_its_shares(stores: tuple[Store, Store]) -> None:
    half = replace(SETTINGS, optim=OptimConfig(batch=200), frames=1, pose=0.5, drop_translation=(0.0, 1.0))
    batch = make(stores, half).batch(0, range(200))
    drawn = batch["pose_row"] > 0
    assert 60 < int(drawn.sum()) < 140
    hidden = (batch["translation"] == 0).all(dim=(1, 2))
    assert torch.equal(hidden, drawn), "a skeleton, here, is all that tells where the head is"
    assert (batch["rotation"] != 0).any(dim=(1, 2)).all()


def test_a_skeleton_of_the_head_alone_ends_at_the_nose_and_needs_no_body(stores: tuple[Store, Store]) -> None:
    bodiless = copy(stores[0])
    bodiless.read = lambda index, names, frames: stores[0].read(index, [name for name in names if name != "keypoints"], frames)
    settings = replace(SETTINGS, optim=OptimConfig(batch=6), frames=1, pose=1.0)
    task = make((bodiless, stores[1]), replace(settings, head_only=1.0))
    batch = task.batch(0, range(6))
    assert (batch["pose_row"] > 0).all()
    for picture in batch["poses"][1:]:
        lit = picture.amax(0).nonzero().float()
        assert len(lit) > 4
        nose = [stores[0].read(clip, ("crop_points",), slice(None))["crop_points"][:, 2] for clip in range(len(stores[0]))]
        top = lit[lit[:, 0].argmin()].flip(0)  # x, y
        assert float((torch.cat(nose) - top).norm(dim=1).min()) < 3, "the uppermost joint is somebody's nose"
    assert not make((bodiless, stores[1]), settings).batch(0, range(6))["pose_row"].any(), "no body, no skeleton of one"


def test_shared_noise_is_one_for_all_frames(stores: tuple[Store, Store]) -> None:
    noise = make(stores, replace(SETTINGS, shared_noise=True)).batch(0, range(4))["noise"]
    assert torch.equal(noise[:, 0], noise[:, 2])
    assert not torch.equal(noise[0], noise[1])


def test_windows_fit_their_clip() -> None:
    rng = np.random.default_rng(0)
    for length, frames, stride in ((10, 4, 3), (10, 10, 5), (3, 5, 2), (7, 1, 4)):
        for _ in range(40):
            rows = window_frames(length, frames, stride, rng)
            assert rows.shape == (frames,)
            assert 0 <= rows.min() <= rows.max() < length
            steps = set(np.diff(rows))
            assert len(steps) <= 1 or length < frames
            assert max(steps, default=0) <= stride


def test_skeletons_lose_the_edges_they_are_told_to() -> None:
    points = np.zeros((18, 3), np.float32)
    points[:, :2], points[:, 2] = np.random.default_rng(0).uniform(10, 54, (18, 2)), 1
    whole = draw_skeleton(points, 64)
    none = draw_skeleton(points, 64, kept=np.zeros(len(LIMBS), bool))
    one = draw_skeleton(points, 64, kept=np.arange(len(LIMBS)) == 0)
    assert whole.any()
    assert not none.any()
    assert 0 < (one.any(-1)).sum() < (whole.any(-1)).sum()
    points[:, 2] = 0.1
    assert not draw_skeleton(points, 64).any(), "points that nobody saw are not drawn"


@pytest.mark.slow
def test_validation_writes_a_video_and_export_every_module(stores: tuple[Store, Store], tmp_path: Path) -> None:
    exported: dict[str, Any] = {}
    task = make(stores, replace(SETTINGS, validation_steps=2), exported)
    figures = task.validate(0, tmp_path)
    assert 0 < figures["psnr"] < 40
    assert (tmp_path / "validation.mp4").stat().st_size > 1000
    task.export(task.model.state_dict())
    assert set(exported) == set(TRAINED)
    for name in TRAINED:
        assert set(exported[name]) == set(build_module(name, tiny.config()).state_dict())


def test_validation_shows_the_skeleton_where_most_clips_are_trained_with_theirs(stores: tuple[Store, Store]) -> None:
    black, often = (make(stores, replace(SETTINGS, pose=share, validation_steps=1)) for share in (0.5, 0.8))
    for task in (black, often):
        task.loss.eval()
        for parameter in task.loss.pose_guider.parameters():  # type: ignore[union-attr]
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    device = torch.device("cpu")
    assert not torch.allclose(black.redraw(0, device), often.redraw(0, device))


@pytest.mark.slow
def test_a_step_on_several_threads_has_the_same_gradients_each_time(stores: tuple[Store, Store]) -> None:
    """All frames show the black pose map, whose gradient is a sum over them; a resumed run needs it in one order."""
    task = make(stores, replace(SETTINGS, pose=0.0, drop_all=0.0, drop_motion=0.0))
    stir(task.loss)
    batch = task.batch(0, range(4))
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        seen = []
        for _ in range(6):
            task.loss.zero_grad()
            task.model(**batch)["loss"].backward()
            seen.append({name: p.grad.clone() for name, p in task.loss.named_parameters() if p.grad is not None})
    finally:
        torch.set_num_threads(threads)
    assert {name for again in seen[1:] for name, gradient in again.items() if not torch.equal(gradient, seen[0][name])} == set()


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(stores: tuple[Store, Store], tmp_path: Path) -> None:
    """Conditions, noise and windows are drawn by step, and a validation on the way draws of nobody's numbers."""
    optim = OptimConfig(steps=5, batch=4, lr=1e-3, warmup=2, decay="cosine", ema=0.9, accumulate=2)
    settings = replace(SETTINGS, optim=optim, pose=0.5, drop_translation=(0.3, 0.3), validation_steps=1)
    log = LogConfig(metrics_every=1, checkpoint_every=5, validate_every=2)
    losses: dict[str, list[float]] = {"whole": [], "parts": []}
    weights: dict[str, dict[str, Any]] = {"whole": {}, "parts": {}}
    for name, budgets in (("whole", (None,)), ("parts", (0.0, 0.0, None))):  # minutes: after 0 each part stops at its first step
        for minutes in budgets:
            task = make(stores, settings, weights[name])
            stir(task.loss)
            events = train(task, optim, log, tmp_path / name, facts={}, minutes=minutes)
            losses[name] += [event.metrics["loss"] for event in events if isinstance(event, TrainingStep) and "loss" in event.metrics]
    assert len(losses["whole"]) == optim.steps
    assert losses["parts"] == losses["whole"]
    for name in TRAINED:
        for key, value in weights["whole"][name].items():
            assert torch.equal(value, weights["parts"][name][key]), f"{name} {key}"


@given(length=st.integers(1, 200), frames=st.integers(1, 20), stride=st.integers(1, 6), chunk=st.integers(1, 30), seed=st.integers(0, 99))
def test_the_chunk_about_a_window_has_its_stride(length: int, frames: int, stride: int, chunk: int, seed: int) -> None:
    window = window_frames(length, frames, stride, np.random.default_rng(seed))
    rows = chunk_about(window, chunk, length)
    assert rows.min() >= 0
    assert rows.max() < length
    assert 1 <= len(rows) <= max(chunk, frames)
    step = max(int(window[1] - window[0]), 1) if frames > 1 else 1
    assert set(np.diff(rows)) <= {step}
    assert len(rows) == min(max(chunk, frames), 1 + (length - 1) // step), "as long as the clip allows"


@pytest.mark.slow
def test_one_clip_overfits_to_30_db(tmp_path: Path) -> None:
    """The demo's encoders and VAE as they ship; the UNet and all that steers it from nothing, against the clip's own frames."""
    model = read_config(DEMO_WEIGHTS)
    modules = tiny.networks(model)
    for name in ("vae", "expression", "headpose"):
        modules[name] = load_module(name, DEMO_WEIGHTS, model).float()
    data = replace(tiny.DATA, clips=1, motion_variants=1, cross_share=0.0)
    store = tiny.features(model, modules, tmp_path / "features", data=data)
    optim = OptimConfig(
        steps=OVERFIT_STEPS, batch=6, lr=2e-3, betas=(0.9, 0.99), warmup=20, decay="cosine", final_lr=0.02, grad_norm=1.0, ema=0.0
    )
    settings = replace(
        read_settings("demo").animation, data=data, optim=optim, drop_motion=0.0, drop_all=0.0, pose=0.0, face=0.0, features=0.0,
        perceptual=0.0, first_reference=1.0,
    )  # fmt: skip
    task = AnimationTask(tiny.trained(modules), settings, model, store, store, lambda *_: None)
    log = LogConfig(metrics_every=100, checkpoint_every=OVERFIT_STEPS, validate_every=OVERFIT_STEPS)
    assert result(train(task, optim, log, tmp_path / "run", facts={})).finished
    task.loss.eval()
    drawn = task.decoded(task.redraw(0, torch.device("cpu")))[1:].float()
    frames = torch.from_numpy(RenderedSource(data, model.face)[0].frames)[1:].float()
    psnr = -10 * torch.log10(((drawn - frames) / 255).square().mean())
    assert psnr >= 30, f"{psnr:.2f} dB"


def test_released_is_built_at_full_size() -> None:
    """Every network of the stage on the meta device: 2 G parameters without memory."""
    model, settings = PortraitConfig.released(), read_settings("released").animation
    with torch.device("meta"):
        loss = AnimationLoss({name: build_module(name, model) for name in TRAINED}, settings, model)
    choose_trainable(loss, settings)
    trained = sum(p.numel() for p in loss.parameters() if p.requires_grad)
    frozen = {name for name, p in loss.dino.named_parameters() if not p.requires_grad}
    assert 1.6e9 < trained < 2.2e9
    assert {"patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "cls_token"} <= frozen


def test_released_is_shared_out_in_blocks_that_a_card_can_gather() -> None:
    """FSDP gathers one of these at a time; what lies in none of them is gathered for the whole step."""
    model, settings = PortraitConfig.released(), read_settings("released").animation
    with torch.device("meta"):
        loss = AnimationLoss({name: build_module(name, model) for name in TRAINED}, settings, model)
    blocks = [part for part in loss.modules() if type(part).__name__ in loss._no_split_modules]
    assert not [part for part in blocks if isinstance(part, nn.ModuleList | nn.Sequential)], "FSDP needs a forward"
    sizes = [sum(p.numel() for p in part.parameters()) for part in blocks]
    assert max(sizes) < 0.06 * sum(p.numel() for p in loss.parameters())
    inside = {id(p) for part in blocks for p in part.parameters()}
    outside = sum(p.numel() for p in loss.parameters() if id(p) not in inside)
    assert outside < 0.1 * sum(p.numel() for p in loss.parameters())


def test_released_takes_a_step_at_a_reduced_width(stores: tuple[Store, Store]) -> None:
    """The released preset's own choices (zero translation, its head input, four latents) with narrow layers."""
    del stores
    small, model = tiny.config(), PortraitConfig.released()
    model = replace(
        model,
        face=small.face,
        motion=replace(small.motion, head_input="released", translation="released"),
        appearance=small.appearance,
        unet=model.unet | {key: small.unet[key] for key in small.unet if key not in ("in_channels", "out_channels")},
    )
    settings = replace(read_settings("released").animation, frames=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = AnimationLoss({name: build_module(name, model) for name in TRAINED}, settings, model)
    choose_trainable(loss, settings)
    before = {name: p.detach().clone() for name, p in loss.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in loss.parameters() if p.requires_grad], lr=1e-3)
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    value = loss(
        latents=normal(2, 3, 4, 8, 8), noise=normal(2, 3, 4, 8, 8), sigma=torch.tensor([0.5, 9.0]), reference=normal(2, 4, 8, 8),
        vit=normal(2, 3, 56, 56), id_embedding=normal(2, 512), feature=normal(2, 3, 32), rotation=normal(2, 3, 3),
        translation=normal(2, 3, 3), expression_level=torch.tensor([3, 90]), head_level=torch.tensor([0, 127]),
        keep_appearance=torch.ones(2), keep_motion=torch.ones(2), poses=torch.rand(2, 3, 64, 64, generator=generator),
        pose_row=torch.tensor([0, 1, 0, 1, 0, 1]), weight=torch.ones(2, 3, 1, 8, 8), points=normal(2, 3, 5, 2),
    )["loss"]  # fmt: skip
    value.backward()
    optimizer.step()
    moved = {name for name, p in loss.named_parameters() if not torch.equal(p, before[name])}
    assert {name.split(".")[0] for name in moved} == set(TRAINED)
    assert not [name for name in moved if name.startswith("dino.") and "adapter" not in name]
