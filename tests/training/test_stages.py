"""The small helpers of the demo weights, the motion encoders, and the weights a run begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder
from safetensors.torch import save_file

from hp_core.appearance.identity import ArcFaceOnnx
from hp_core.config import PortraitConfig
from hp_core.config_files import read_config
from hp_core.errors import OptionError, WeightsError
from hp_core.progress import Notice, Progress, TrainingStep, result
from hp_core.training.begun import check_frozen, mark_trained
from hp_core.training.clips import Clip
from hp_core.training.identity import IdentityNet, IdentityTask, export_onnx
from hp_core.training.motion import MotionTask
from hp_core.training.patch_encoder import fit_patch_encoder
from hp_core.training.rendered import RenderedSource
from hp_core.training.run import run_stage
from hp_core.training.settings import STAGES, DataConfig, IdentityTraining, MotionTraining, OptimConfig, TrainConfig, VaeTraining
from hp_core.training.start import prepare_weights
from hp_core.training.store import Store, build_store, pixels
from hp_core.training.vae import VaeTask, to_signed
from hp_core.video import read_frames
from hp_core.weights.catalog import CATALOG
from hp_core.weights.load import build_module, load_models, read_state_dict
from hp_core.weights.tools import save_module
from tests.stages import drained

from . import tiny

OPTIM = OptimConfig(batch=4)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    folder, stores = tmp_path_factory.mktemp("pixels"), []
    for name, first in (("a", 0), ("b", 900_000)):
        source = RenderedSource(tiny.DATA, tiny.config().face, first=first)
        stores.append(result(build_store(source, source.keys, folder / name, pixels, {})))
    return stores[0], stores[1]


def unreached(task: Any) -> list[str]:
    """Tensors that ask for a gradient and get none."""
    for step in range(2):
        task.model(**task.batch(step, range(4)))["loss"].backward()
    return [name for name, p in task.model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]


@pytest.mark.parametrize("encoder", ["learned", "patches"])
def test_the_vae_trains_what_it_should(stores: tuple[Store, Store], encoder: str, tmp_path: Path) -> None:
    vae: Any = build_module("vae", replace(tiny.config(), vae=PortraitConfig.demo().vae))
    saved: dict[str, Any] = {}
    task = VaeTask(vae, VaeTraining(optim=OPTIM, encoder=encoder, crop=32, kl=1e-4), *stores, saved.update)
    missing = unreached(task)
    assert [name for name in missing if "conv1" not in name and "norm" not in name] == []
    moved = [name for name, p in vae.named_parameters() if p.requires_grad]
    assert not [name for name in moved if "temporal" in name or "time_" in name]
    assert any(name.startswith("encoder.") for name in moved) == (encoder == "learned")
    assert 0 < task.validate(0, tmp_path)["psnr"] < 40
    assert (tmp_path / "validation.png").is_file()
    task.export(task.model.state_dict())
    assert set(saved) == set(vae.state_dict())


@pytest.mark.parametrize(("widths", "side", "z"), [([32, 32, 128], 4, 20), ([32, 32, 64, 128], 8, 64)])
def test_the_patch_encoder_is_the_principal_component_analysis_of_patches(
    stores: tuple[Store, Store], widths: list[int], side: int, z: int
) -> None:
    """Against numpy's own, on the pictures it was fitted to: a linear map of the latents redraws them as well."""
    images = to_signed(torch.cat([stores[0].read(i, ("frames",), slice(None))["frames"] for i in range(3)]))
    build = {"block_out_channels": widths, "down_block_types": ["DownEncoderBlock2D"] * len(widths), "latent_channels": z}
    vae: Any = AutoencoderKLTemporalDecoder(layers_per_block=1, **build)
    deviation = fit_patch_encoder(vae, images)
    with torch.no_grad():
        latents = vae.encode(images).latent_dist.mode()
    assert latents.shape[1:] == (z, 64 // side, 64 // side)
    assert float(latents.var(dim=(0, 2, 3)).mean()) == pytest.approx(1, rel=0.2)
    assert torch.allclose(latents.std(dim=(0, 2, 3)), deviation, rtol=0.1)

    def error(features: np.ndarray, patches: np.ndarray) -> float:
        design = np.concatenate([features, np.ones((len(features), 1))], axis=1)
        return float(np.square(design @ np.linalg.lstsq(design, patches, rcond=None)[0] - patches).mean())

    patches = torch.nn.functional.unfold(images, side, stride=side).transpose(1, 2).reshape(-1, 3 * side**2).double().numpy()
    centred = patches - patches.mean(0)
    best = np.linalg.svd(centred, full_matrices=False)[1][z:]
    assert error(latents.permute(0, 2, 3, 1).reshape(-1, z).double().numpy(), patches) < 1.15 * float(np.square(best).sum() / patches.size)


def test_a_vae_of_another_build_cannot_be_fitted() -> None:
    vae: Any = build_module("vae", replace(tiny.config(), vae=tiny.config().vae))
    with pytest.raises(OptionError, match="needs 128 channels in the last block"):
        fit_patch_encoder(vae, torch.zeros(1, 3, 64, 64))


def test_latents_that_would_not_reach_the_last_block_are_refused() -> None:
    build = {"block_out_channels": [32, 32, 128], "down_block_types": ["DownEncoderBlock2D"] * 3, "latent_channels": 40}
    vae: Any = AutoencoderKLTemporalDecoder(layers_per_block=1, **build)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    with pytest.raises(OptionError, match=r"for 40 latents; .* room for 32 latents"):
        fit_patch_encoder(vae, torch.rand(2, 3, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())


@pytest.mark.slow
def test_the_identity_encoder_learns_and_has_arcfaces_interface(stores: tuple[Store, Store], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    task = IdentityTask(IdentityTraining(optim=replace(OPTIM, batch=12), width=8), *stores, tmp_path / "arcface" / "arcface.onnx")
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        optimizer.zero_grad()
        loss = task.model(**task.batch(step, range(12)))["loss"]
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 3
    assert set(task.validate(0, tmp_path)) == {"same", "other", "nearer"}
    task.export(task.model.state_dict())
    face = np.random.default_rng(0).random((112, 112, 3), np.float32)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(task.net.eval()(torch.from_numpy(face).permute(2, 0, 1)[None]))[0].numpy()
    embedded = ArcFaceOnnx(tmp_path / "arcface" / "arcface.onnx").embed(face)
    np.testing.assert_allclose(embedded, expected, atol=1e-3)  # the file holds 8 bits a weight


@pytest.mark.slow
def test_one_person_is_not_enough_for_an_identity(tmp_path: Path) -> None:
    source = RenderedSource(tiny.DATA, tiny.config().face)
    store = result(build_store(source, source.keys[:1], tmp_path, pixels, {}))
    with pytest.raises(OptionError, match="needs at least two"):
        IdentityTask(IdentityTraining(optim=OPTIM), store, store, tmp_path / "a.onnx")


def test_an_onnx_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(Exception, match="is a folder"):
        export_onnx(IdentityNet(width=8), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.onnx"]


def test_the_motion_encoders_learn_from_redrawing_alone(stores: tuple[Store, Store], tmp_path: Path) -> None:
    """MegaPortraits' way: no truth but the driving frame itself."""
    model = tiny.config()
    encoders = [build_module(name, model) for name in ("expression", "headpose")]
    saved: dict[str, Any] = {}
    settings = MotionTraining(optim=OPTIM, labels=0.0, width=8, drawn_stride=2)
    task = MotionTask(*encoders, settings, *stores, saved.__setitem__)  # type: ignore[arg-type]
    missing = unreached(task)
    assert not [name for name in missing if name.startswith(("expression.", "head_pose."))]
    figures = task.validate(0, tmp_path)
    assert {"drawn", "rotation_0", "translation_2", "expression_7"} <= set(figures)
    shown = list(read_frames(tmp_path / "validation.mp4"))
    half = model.face.image_size // 2
    assert (len(shown), *shown[0].shape[:2]) == (8, 3 * half, half * len(task.held_out)), "source, truth and result, clip beside clip"
    task.export(task.model.state_dict())
    assert {name: set(state) for name, state in saved.items()} == {
        "expression": set(encoders[0].state_dict()),
        "headpose": set(encoders[1].state_dict()),
    }


def test_truths_that_a_video_lacks_are_left_out(stores: tuple[Store, Store]) -> None:
    encoders = [build_module(name, tiny.config()) for name in ("expression", "headpose")]
    task = MotionTask(*encoders, MotionTraining(optim=OPTIM, width=8), *stores, lambda *_: None)  # type: ignore[arg-type]
    batch = task.batch(0, range(4))
    plain = {name: value for name, value in batch.items() if name not in ("rotation", "translation", "expression")}
    assert {"rotation", "translation", "expression"} <= set(task.model(**batch))
    assert set(task.model(**plain)) == {"loss", "drawn"}


def test_svds_unet_is_taken_and_the_new_layers_begin(tmp_path: Path) -> None:
    """What a file lacks is named; what it holds is kept to the last bit."""
    model = PortraitConfig.demo()
    torch.manual_seed(5)
    unet = build_module("unet", model)
    svd = {name: value for name, value in unet.state_dict().items() if "_ip" not in name}
    start = tmp_path / "svd"
    (start / "unet").mkdir(parents=True)
    save_file(svd, start / "unet" / "diffusion_pytorch_model.safetensors")  # as SVD's own repository has it
    events = list(prepare_weights(TrainConfig(preset="demo", start=str(start)), tmp_path / "weights"))
    first, *others = [event.text for event in events if isinstance(event, Notice)]
    assert [text for text in (first, *others) if "_ip" in text and "begin untrained" in text]
    assert len([text for text in (first, *others) if "begins untrained" in text]) == 7, "every other module is told of"
    assert not read_config(tmp_path / "weights").trained
    written = read_state_dict(tmp_path / "weights" / "hyportrait" / "unet.safetensors")
    assert all(torch.equal(written[name], value) for name, value in svd.items())


def test_published_adapters_ask_for_the_id_encoder(tmp_path: Path) -> None:
    save_module(tmp_path / "start", "dino", build_module("dino", PortraitConfig.demo()).state_dict(), torch.float32)
    settings = TrainConfig(preset="demo", start=str(tmp_path / "start"))
    with pytest.raises(OptionError, match="--for identity"):
        result(prepare_weights(settings, tmp_path / "weights"))
    assert not (tmp_path / "weights").exists()
    (tmp_path / "start" / CATALOG["arcface"].path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "start" / CATALOG["arcface"].path).write_bytes(b"onnx")
    result(prepare_weights(settings, tmp_path / "weights"))
    assert (tmp_path / "weights" / CATALOG["arcface"].path).read_bytes() == b"onnx"


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_module(tmp_path / "start", "unet", {"conv_in.weight": torch.zeros(3)}, torch.float32)
    with pytest.raises(WeightsError, match=r"holds 'conv_in.weight'"):
        result(prepare_weights(TrainConfig(preset="demo", start=str(tmp_path / "start")), tmp_path / "weights"))
    assert not (tmp_path / "weights").exists()
    with pytest.raises(OptionError, match="which is no folder"):
        result(prepare_weights(TrainConfig(preset="demo", start=str(tmp_path / "absent")), tmp_path / "weights"))


def test_a_stage_that_takes_networks_as_they_are_refuses_random_ones(tmp_path: Path) -> None:
    """Hours of caching what random encoders say, or ID embeddings of zeros, must not begin."""
    config = TrainConfig(preset="demo", animation=replace(TrainConfig().animation, data=DataConfig(clips=2, frames=2, held_out=1)))
    for name, remedy in (
        ("vae", "train vae` first"),
        ("expression", "train motion` first"),
        ("headpose", "train motion` first"),
        ("dino", "freeze_vit: false"),
    ):
        with pytest.raises(OptionError, match=rf"is as it began, at random.*{remedy}"):
            result(run_stage("animation", config, tmp_path))
        mark_trained(tmp_path / "weights", name)
    with pytest.raises(OptionError, match=r"zeros teach nothing.*train identity"):
        result(run_stage("animation", config, tmp_path))
    assert not (tmp_path / "features").exists()


def test_files_that_came_later_are_taken_and_other_settings_refused(tmp_path: Path) -> None:
    start, weights = tmp_path / "start", tmp_path / "weights"
    start.mkdir()
    config = TrainConfig(preset="demo", start=str(start))
    result(prepare_weights(config, weights))
    model = PortraitConfig.demo()
    torch.manual_seed(9)
    late = build_module("headpose", model).state_dict()
    save_module(start, "headpose", late, torch.float32)
    (start / CATALOG["arcface"].path).parent.mkdir(parents=True, exist_ok=True)
    (start / CATALOG["arcface"].path).write_bytes(b"onnx")
    notices = [event.text for event in prepare_weights(config, weights) if isinstance(event, Notice)]
    assert len([text for text in notices if "is taken now" in text]) == 2
    written = read_state_dict(CATALOG["headpose"].find(weights))  # type: ignore[arg-type]
    assert all(torch.equal(written[name], value) for name, value in late.items())
    mark_trained(weights, "expression")
    torch.manual_seed(10)
    save_module(start, "expression", build_module("expression", model).state_dict(), torch.float32)
    before = read_state_dict(CATALOG["expression"].find(weights))  # type: ignore[arg-type]
    assert not [event for event in prepare_weights(config, weights) if isinstance(event, Notice)], "what is trained here stays"
    after = read_state_dict(CATALOG["expression"].find(weights))  # type: ignore[arg-type]
    assert all(torch.equal(before[name], value) for name, value in after.items())
    with pytest.raises(OptionError, match=r"was begun with start .*start \(now empty\)"):
        result(prepare_weights(TrainConfig(preset="demo"), weights))


@pytest.mark.slow
def test_what_another_run_left_untrained_is_untrained_here(tmp_path: Path) -> None:
    """Its file is there, and random all the same."""
    result(prepare_weights(TrainConfig(preset="demo"), tmp_path / "one"))
    mark_trained(tmp_path / "one", "vae")
    result(prepare_weights(TrainConfig(preset="demo", start=str(tmp_path / "one")), tmp_path / "two"))
    for folder in ("one", "two"):
        with pytest.raises(OptionError, match="zeros teach nothing"):  # so the VAE is not refused
            check_frozen(tmp_path / folder, ["vae"])
        with pytest.raises(OptionError, match="train motion` first"):
            check_frozen(tmp_path / folder, ["expression"])
    other = replace(TrainConfig(preset="demo"), start=str(tmp_path / "." / "x" / ".." / "one"))
    assert not [event for event in prepare_weights(other, tmp_path / "two") if isinstance(event, Notice)], "another spelling of one folder"


def test_checkpointing_is_the_animation_stages_alone(tmp_path: Path) -> None:
    base = TrainConfig(preset="demo")
    config = replace(base, motion=replace(base.motion, optim=replace(OPTIM, gradient_checkpointing=True)))
    with pytest.raises(OptionError, match=r"motion.optim.gradient_checkpointing is true"):
        result(run_stage("motion", config, tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("optim", "message"),
    [({"batch": 5, "accumulate": 2}, "optim.batch is 5; .* need a multiple of 2"), ({"batch": 6, "accumulate": 2}, "drawn_stride is 2")],
)
def test_what_a_launch_cannot_do_is_said_before_the_clips_are_cached(tmp_path: Path, optim: dict[str, Any], message: str) -> None:
    base = TrainConfig(preset="demo")
    config = replace(base, motion=replace(base.motion, drawn_stride=2, optim=replace(OPTIM, **optim)))
    with pytest.raises(OptionError, match=message):
        result(run_stage("motion", config, tmp_path))
    assert [place.name for place in tmp_path.iterdir()] == ["weights"]


def test_two_frames_in_bfloat16_are_not_trained_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    base = TrainConfig(preset="demo")
    config = replace(base, animation=replace(base.animation, frames=2, optim=replace(OPTIM, precision="bf16")))
    with pytest.raises(OptionError, match=r"animation.frames is 2 .* precision: fp32"):
        result(run_stage("animation", config, tmp_path))


def test_parts_of_a_batch_redraw_the_pairs_of_the_whole(stores: tuple[Store, Store]) -> None:
    model = tiny.config()
    encoders = [build_module(name, model) for name in ("expression", "headpose")]
    settings = MotionTraining(optim=replace(OPTIM, batch=8), width=8, drawn_stride=2)
    task = MotionTask(*encoders, settings, *stores, lambda name, state: None)  # type: ignore[arg-type]
    whole, part = task.batch(3, range(8)), task.batch(3, range(4, 8))
    assert torch.equal(whole["source_crops"][2:], part["source_crops"])
    with pytest.raises(OptionError, match=r"drawn_stride is 2 and each part of a batch has 1 pairs"):
        task.batch(3, range(4, 5))
    whole["points"][4:] /= 3
    shares = zip(*(value.chunk(2) for value in whole.values()), strict=True)
    losses = [task.model(**dict(zip(whole, share, strict=True)))["loss"].item() for share in (tuple(whole.values()), *shares)]
    assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2, rel=1e-5), "small faces weigh as much in every share"


@pytest.mark.slow
def test_a_truth_that_some_clips_lack_is_told_before_training(stores: tuple[Store, Store], tmp_path: Path) -> None:
    known, source = stores[0], RenderedSource(tiny.DATA, tiny.config().face, first=0)

    def half_labelled(clip: Clip) -> dict[str, Any]:
        return {name: array for name, array in pixels(clip).items() if name != "rotation" or clip.key == known.keys[0]}

    mixed = result(build_store(source, source.keys, tmp_path / "mixed", half_labelled, {}))
    encoders = [build_module(name, tiny.config()) for name in ("expression", "headpose")]
    with pytest.raises(OptionError, match=rf"the first {known.keys[1]}, have no rotation"):
        MotionTask(*encoders, MotionTraining(optim=OPTIM, width=8), mixed, stores[1], lambda *_: None)  # type: ignore[arg-type]


@pytest.mark.slow
def test_every_stage_runs_from_its_configuration_and_its_weights_load(tmp_path: Path) -> None:
    """`hp-portrait train` for two steps each, in the order of the recipe, on the real demo networks."""
    data = DataConfig(clips=2, frames=2, held_out=1)
    optim = OptimConfig(steps=2, batch=2, precision="bf16")
    base = TrainConfig(preset="demo")
    config = replace(
        base,
        vae=replace(base.vae, data=data, optim=optim, encoder="patches", crop=64),
        identity=replace(base.identity, data=data, optim=optim),
        motion=replace(base.motion, data=data, optim=optim, width=8),
        animation=replace(
            base.animation, data=data, optim=optim, frames=1, spatial_only=True, freeze_vit=False, validation_steps=1, perceptual=1.0
        ),
        decoder=replace(base.decoder, data=data, optim=optim, steps=1, perceptual=1.0, sharpness=1.0),
    )
    for stage in STAGES:
        outcome, events = drained(run_stage(stage, config, tmp_path / "run"))
        assert outcome.finished
        assert any(isinstance(event, TrainingStep) for event in events)
        assert any(isinstance(event, Progress) for event in events) or stage in ("identity", "motion")
    models = result(load_models(tmp_path / "run" / "weights", device="cpu", dtype=torch.float32))
    assert models.identity is not None
    longer = replace(config, animation=replace(config.animation, optim=replace(optim, steps=3)))
    assert result(run_stage("animation", longer, tmp_path / "run")).finished, "the decoder changed nothing that its clips were made with"
