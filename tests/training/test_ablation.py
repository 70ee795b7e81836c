"""The parts of the paper's Table 2: what is gone without each, that the rest still trains, and the comparison from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hp_core.appearance.vit import AppearanceViT
from hp_core.config import ABLATIONS, PortraitConfig
from hp_core.config_files import config_files, read_config
from hp_core.errors import OptionError
from hp_core.evaluation.ablate import ARMS, ablate
from hp_core.motion.refiner import MotionRefiner
from hp_core.progress import result
from hp_core.training.animation import AnimationTask
from hp_core.training.settings import read_settings
from tests.stages import with_notices

from . import tiny
from .test_animation import SETTINGS, gradients

SMALL = {
    "animation.optim.steps": "2",
    "animation.optim.batch": "2",
    "animation.data.clips": "2",
    "animation.data.held_out": "1",
    "animation.data.frames": "4",
    "animation.log.validate_every": "1",
}


def refined(config: PortraitConfig, level: int) -> torch.Tensor:
    torch.manual_seed(0)
    refiner = MotionRefiner(config.motion).eval()
    levels = torch.full((2,), level)
    return refiner(torch.ones(2, config.motion.expression_dim), levels, levels).detach()


def appearance(config: PortraitConfig, identity: float, picture: float = 0.3) -> torch.Tensor:
    torch.manual_seed(0)
    vit = AppearanceViT(config.appearance).eval()
    for parameter in vit.parameters():
        parameter.data.normal_(0, 0.3)
    side = config.appearance.image_size
    return vit(torch.full((1, 3, side, side), picture), torch.full((1, config.appearance.id_dim), identity)).detach()


def test_without_memories_one_token_a_frame_is_left() -> None:
    config = tiny.config()
    assert refined(config, 3).shape[1] == config.motion.memories
    assert refined(config.without("memory_bank"), 3).shape[1] == 1
    assert not any("latents" in name for name, _ in MotionRefiner(config.without("memory_bank").motion).named_parameters())


def test_without_the_intensity_aware_encoder_levels_change_nothing() -> None:
    config = tiny.config()
    assert not torch.equal(refined(config, 3), refined(config, 90))
    torch.testing.assert_close(refined(config.without("iame"), 3), refined(config.without("iame"), 90), rtol=0, atol=0)


def test_without_id_features_the_id_changes_nothing_and_the_convolutions_do() -> None:
    config = tiny.config()
    assert not torch.equal(appearance(config, 0.0), appearance(config, 1.0))
    bare = config.without("id_features")
    torch.testing.assert_close(appearance(bare, 0.0), appearance(bare, 1.0), rtol=0, atol=0)
    vit = AppearanceViT(bare.appearance).eval()
    picture, nobody = torch.rand(1, 3, 56, 56), torch.zeros(1, 512)
    vit(picture, nobody).sum().backward()
    assert all(block.adapter.branch3[1].conv.weight.grad.any() for block in vit.blocks if block.adapter is not None)


def test_without_adapters_there_are_none() -> None:
    assert not any("adapter" in name for name, _ in AppearanceViT(tiny.config().without("im_adapter").appearance).named_parameters())


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(OptionError, match="memory_bank, iame, id_features, im_adapter"):
        tiny.config().without("nose")
    with pytest.raises(OptionError, match="without is 'nose'"):
        read_settings("demo", {"without": "nose"})


@pytest.mark.parametrize("part", ABLATIONS)
def test_each_is_rebuilt_from_its_files(part: str, tmp_path: Path) -> None:
    config = tiny.config().without(part)
    for name, text in config_files(config).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert read_config(tmp_path) == config


@pytest.mark.slow
@pytest.mark.parametrize("part", ABLATIONS)
def test_what_is_left_trains(part: str, tmp_path: Path) -> None:
    model = tiny.config().without(part)
    modules = tiny.networks(model)
    store = tiny.features(model, modules, tmp_path)
    task = AnimationTask(tiny.trained(modules), SETTINGS, model, store, store, lambda *_: None)
    idle = {name for name, gradient in gradients(task, 4).items() if gradient is None or not gradient.any()}
    if part == "memory_bank":  # of attention to one token, keys decide nothing
        idle = {name for name in idle if "to_k_ip" not in name}
    if part == "iame":  # of the modulation, scale and shift are left: the biases
        idle = {name for name in idle if not name.endswith((".ln_1.linear.weight", ".ln_2.linear.weight", ".ln_ff.linear.weight"))}
        idle.discard("motion_proj.connector.intensity_aware_linear.weight")
    if part != "id_features":
        idle = {name for name in idle if ".branch" not in name and "cross_attn.image_proj" not in name}
    assert idle == {"dino.mask_token"}


def run(folder: Path, **options: object) -> tuple[object, list[str]]:
    return with_notices(ablate(read_settings("ablation", SMALL), folder, pairs=2, frames=4, **options))  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_comparison_goes_on_where_it_stopped_and_fills_table_2(tmp_path: Path) -> None:
    judgement, notices = run(tmp_path, only=["whole"])
    assert judgement is None
    assert "- Memory Bank" in notices[-1]
    weights = tmp_path / "whole" / "weights" / "hyportrait" / "unet.safetensors"
    written = weights.stat().st_mtime_ns
    judgement, notices = run(tmp_path)
    assert weights.stat().st_mtime_ns == written
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert list(report["systems"]) == [arm.title for arm in ARMS]
    assert all(system["metrics"]["psnr"]["mean"] > 5 for system in report["systems"].values())
    assert {"fid_vid", "fvd"} <= set(report["blanks"])
    assert "Table 2" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    curve = (tmp_path / "report" / "curve.svg").read_text(encoding="utf-8")
    assert curve.count("<polyline") == len(ARMS)
    configs = [read_config(tmp_path / arm.folder / "weights") for arm in ARMS]
    demo = PortraitConfig.demo()
    for arm, found in zip(ARMS, configs, strict=True):
        expected = demo.without(arm.without) if arm.without else demo
        assert (found.motion, found.appearance) == (expected.motion, expected.appearance)


def test_an_unknown_arm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="only is 'nose'"):
        result(ablate(read_settings("ablation"), tmp_path, only=["nose"]))
