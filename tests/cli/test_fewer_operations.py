"""Options of `animate` that trade exactness or preparation for time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hp_core.sampling.deep_reuse import DeepReuse
from tests.cli.calls import Run, failure, result, tags

LAYER = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_v"


@pytest.mark.slow
def test_a_lora_changes_the_picture_and_the_provenance(animate: Run, tmp_path: Path) -> None:
    factors = {"lora_down": torch.randn(2, 96), "lora_up": torch.randn(96, 2)}
    save_file({f"{LAYER}.{name}.weight": factor for name, factor in factors.items()}, tmp_path / "a.safetensors")
    runs = []
    for options in ((), ("--lora", tmp_path / "a.safetensors"), ("--lora", f"{tmp_path}/a.safetensors:0")):
        facts, frames = result(animate, tmp_path, "portrait.png", "driving.mp4", "--frames", 1, "--view", "crop", *options)
        assert json.loads(tags(tmp_path / "out/result.mp4")["comment"])["weights"] == facts["weights"]
        runs.append((facts["weights"], frames[0].tobytes()))
    assert runs[0] == runs[2]
    assert runs[0][0] != runs[1][0]
    assert runs[0][1] != runs[1][1]


def test_a_lora_that_is_none_is_refused(animate: Run, tmp_path: Path) -> None:
    assert "is not there" in failure(animate, tmp_path, "portrait.png", "driving.mp4", "--lora", tmp_path / "no.safetensors")
    save_file({f"{LAYER}_2.lora_down.weight": torch.zeros(2, 96)}, tmp_path / "b.safetensors")
    said = failure(animate, tmp_path, "portrait.png", "driving.mp4", "--lora", f"{tmp_path}/b.safetensors:0.5")
    assert f"1 of its 1 keys find no layer, first '{LAYER}_2.lora_down.weight'" in said


@pytest.mark.slow
def test_few_steps(animate: Run, tmp_path: Path) -> None:
    runs = []
    for sampler in ("euler", "lcm"):
        options = ("--steps", 2, "--frames", 1, "--view", "crop", "--sampler", sampler)
        runs.append(result(animate, tmp_path, "portrait.png", "driving.mp4", *options)[1][0].tobytes())
    assert runs[0] != runs[1]


@pytest.mark.slow
def test_kept_features(animate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they change is too little for a video of untrained networks to show: steps are counted."""
    begin, begun = DeepReuse.begin, []

    def counted(reuse: DeepReuse, step: int) -> None:
        begin(reuse, step)
        begun.append((reuse.every, step, reuse.ready(2)))

    monkeypatch.setattr(DeepReuse, "begin", counted)
    result(animate, tmp_path, "portrait.png", "driving.mp4", "--steps", 3, "--frames", 1, "--reuse-every", 2)
    assert begun == [(2, 0, False), (2, 1, True), (2, 2, False)]
    (tmp_path / "out/result.mp4").unlink()
    assert "reuse_every is 0" in failure(animate, tmp_path, "portrait.png", "driving.mp4", "--reuse-every", 0)
