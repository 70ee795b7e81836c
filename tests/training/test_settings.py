"""Configurations of training: what is shipped can be read, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from hp_core.errors import OptionError
from hp_core.training.settings import SHIPPED, read_settings


@pytest.mark.parametrize("name", ["ablation", "demo", "released", "finetune"])
def test_shipped_configurations_are_read(name: str) -> None:
    settings = read_settings(name)
    assert settings.preset == ("demo" if name in ("demo", "ablation") else "released")
    assert sorted(file.stem for file in SHIPPED.glob("*.yaml")) == ["ablation", "demo", "finetune", "released"]


def test_the_released_configuration_has_the_papers_optimiser() -> None:
    optim = read_settings("released").animation.optim
    assert (optim.lr, optim.grad_norm) == (1e-5, 0.99)


def test_values_are_replaced_by_their_path() -> None:
    settings = read_settings("demo", {"animation.optim.lr": "1e-4", "animation.sigma.kind": "cosine", "vae.data.clips": "7"})
    assert (settings.animation.optim.lr, settings.animation.sigma.kind, settings.vae.data.clips) == (1e-4, "cosine", 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("preset: demo\nanimation: {optim: {rate: 1}}", r"unknown key 'animation.optim.rate'.*Known here: optimizer, steps, batch"),
        ("animation: {drop_translation: [0.1]}", "it takes two shares"),
        ("animation: {neck_length: [1.2, 1.0]}", "it takes two lengths above 0"),
        ("animation: {optim: {steps: many}}", r"animation.optim.steps is 'many'; it must be a whole number"),
        ("animation: {optim: {lr: [1, 2]}}", r"animation.optim.lr is \[1, 2\]; it must be a number"),
        ("animation: {optim: {lr: fast}}", r"animation.optim.lr is 'fast'; it must be a number"),
        ("animation: {frames: true}", r"animation.frames is True; it must be a whole number"),
        ("animation: {drop_all: 1.5}", r"drop_all is 1.5; it must be between 0 and 1"),
        ("animation: {drop_all: 0.6, drop_motion: 0.6}", r"together they must not exceed 1"),
        ("animation: {spatial_only: true}", r"frames is 14. Set frames: 1"),
        ("animation: {sigma: {kind: uniform}}", r"choose one of: lognormal, cosine, loguniform"),
        ("animation: {data: {held_out: 0}}", r"data.held_out is 0"),
        ("animation: {data: {stylizer: a.onnx}}", r"Set both, or neither"),
        ("animation: {data: {shards: x, style_share: 0.5}}", r"restyled by a stylizer alone"),
        ("animation: {optim: {grad_norm: 0}}", r"optim.grad_norm is 0"),
        ("animation: {optim: {betas: [0.9, 2.0]}}", r"optim.betas is 2"),
        ("animation: {optim: {seed: -1}}", r"optim.seed is -1"),
        ("animation: {validation_steps: 0}", r"validation_steps is 0"),
        ("motion: {width: 0}", r"motion.width is 0"),
        ("preset: big", r"choose one of: released, paper, demo"),
        ("vae: 3", r"vae is 3; it must be a section"),
        ("[1, 2]", r"must be a section"),
        ("a: [", r"is not YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError, match=message):
        read_settings(str(file))


def test_a_missing_file_names_the_shipped_ones() -> None:
    with pytest.raises(OptionError, match="demo, finetune, released"):
        read_settings("nowhere.yaml")


def test_a_stage_that_a_configuration_does_not_describe_is_refused() -> None:
    """`train motion --config finetune` would train the published encoders anew, on drawn people."""
    with pytest.raises(OptionError, match=r"finetune.yaml has no section for the stage motion \(it has: animation\)"):
        read_settings("finetune", {"motion.optim.lr": "1e-4"}, stage="motion")
    assert read_settings("finetune", stage="animation").animation.frames == 14


def test_a_change_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(OptionError, match=r"preset is '\[', which is not YAML"):
        read_settings("demo", {"preset": "["})


def test_a_change_below_a_value_is_refused() -> None:
    with pytest.raises(OptionError, match="is a value, not a section"):
        read_settings("demo", {"preset.name": "x"})
