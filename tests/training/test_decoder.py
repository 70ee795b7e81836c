"""The decoder's second turn, on what the UNet draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hp_core.config import PortraitConfig
from hp_core.progress import result
from hp_core.training.animation import AnimationLoss, AnimationTask
from hp_core.training.decoder import DecoderTask, PredictionEncoder
from hp_core.training.features import ClipEncoder
from hp_core.training.rendered import RenderedSource
from hp_core.training.settings import AnimationTraining, DecoderTraining, OptimConfig
from hp_core.training.store import Store, build_store
from hp_core.weights.load import PortraitModels

from . import tiny

STEPS, CPU = 2, torch.device("cpu")
SETTINGS = DecoderTraining(data=tiny.DATA, optim=OptimConfig(batch=4), steps=STEPS, perceptual=1.0, sharpness=1.0, spikes=1e-3)


@pytest.fixture(scope="module")
def networks() -> tuple[PortraitConfig, dict[str, Any]]:
    model = tiny.config()
    return model, tiny.networks(model)


@pytest.fixture(scope="module")
def encode(networks: tuple[PortraitConfig, dict[str, Any]]) -> PredictionEncoder:
    model, modules = networks
    models: Any = PortraitModels(config=model, identity=tiny.Likeness(), fingerprint="tiny", **modules)  # type: ignore[arg-type]
    loss = AnimationLoss(modules, AnimationTraining(), model).eval()
    return PredictionEncoder(ClipEncoder(models, device=CPU, variants=1, jitter=0.0), loss, model, steps=STEPS, device=CPU)


@pytest.fixture(scope="module")
def store(encode: PredictionEncoder, tmp_path_factory: pytest.TempPathFactory) -> Store:
    source = RenderedSource(tiny.DATA, encode.model.face)
    return result(build_store(source, source.keys[:2], tmp_path_factory.mktemp("predicted"), encode, {}))


def task(networks: tuple[PortraitConfig, dict[str, Any]], store: Store, settings: DecoderTraining, saved: dict[str, Any]) -> DecoderTask:
    model, _ = networks
    fresh: dict[str, Any] = tiny.networks(model)
    return DecoderTask(fresh["vae"], fresh["expression"], settings, model, store, store, saved.update)


@pytest.mark.slow
def test_what_is_stored_is_what_validation_would_draw(
    networks: tuple[PortraitConfig, dict[str, Any]], encode: PredictionEncoder, store: Store, tmp_path: Path
) -> None:
    model, modules = networks[0], tiny.networks(networks[0])
    clip = RenderedSource(tiny.DATA, model.face)[0]
    item = store.read(0, ("frames", "latents", "predicted", "crop_points"), slice(None))
    assert {name: len(array) for name, array in item.items()} == dict.fromkeys(item, len(clip))
    assert np.array_equal(item["frames"].numpy(), clip.frames)
    features = tiny.features(model, modules, tmp_path, data=replace(tiny.DATA, clips=1, motion_variants=1))
    settings = AnimationTraining(data=tiny.DATA, validation_steps=STEPS, spatial_only=True, frames=1)
    animation = AnimationTask(tiny.trained(modules), settings, model, features, features, lambda *_: None)
    animation.loss.eval()
    torch.testing.assert_close(item["predicted"].float(), animation.redraw(0, CPU), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("share", "kind"), [(0.0, "latents"), (1.0, "predicted")])
def test_latents_come_from_the_encoder_or_from_the_unet(
    networks: tuple[PortraitConfig, dict[str, Any]], store: Store, share: float, kind: str
) -> None:
    batch = task(networks, store, replace(SETTINGS, predicted=share), {}).batch(0, range(4))
    known = torch.cat([store.read(index, (kind,), slice(None))[kind].float() for index in range(2)])
    assert all((row == known).flatten(1).all(1).any() for row in batch["latents"])
    assert batch["images"].shape == (4, 3, 64, 64)


@pytest.mark.slow
def test_nothing_but_the_decoder_learns(networks: tuple[PortraitConfig, dict[str, Any]], store: Store, tmp_path: Path) -> None:
    saved: dict[str, Any] = {}
    this = task(networks, store, SETTINGS, saved)
    before = {name: value.clone() for name, value in this.vae.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in this.model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(6):
        metrics = this.model(**this.batch(0, range(4)))
        optimizer.zero_grad()
        metrics["loss"].backward()
        optimizer.step()
        losses.append(float(metrics["loss"].detach()))
    assert losses[-1] < losses[0]
    assert {"loss", "absolute", "sharpness", "perceptual", "spikes"} == set(metrics)
    moved = {name for name, value in this.vae.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("decoder.") and "temporal" not in name and "time_" not in name for name in moved)
    figures = this.validate(0, tmp_path)
    assert set(figures) == {"psnr", "psnr_features", "psnr_predicted", "psnr_predicted_features"}
    assert all(0 < value < 40 for value in figures.values())
    assert (tmp_path / "validation.png").is_file()
    this.export(this.model.state_dict())
    assert set(saved) == set(before)
