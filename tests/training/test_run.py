"""`hp-portrait train`: from real videos to trained weights, and what it says when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hp_core.config import PortraitConfig
from hp_core.config_files import read_config
from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render
from hp_core.training.shards import ShardWriter
from hp_core.video import VideoWriter
from hp_core.weights.load import read_state_dict

from . import tiny

Run = Callable[..., tuple[int, str, str]]
QUICK = ("optim.steps=1", "optim.batch=2", "optim.warmup=0", "data.held_out=1")


def sets(stage: str, *values: str) -> list[str]:
    return [text for value in values for text in ("--set", f"{stage}.{value}")]


@pytest.mark.slow
def test_from_videos_to_weights(tmp_path: Path, run: Run) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for seed in range(3):
        with VideoWriter(videos / f"{seed}.mp4", fps=Fraction(25), crf=12) as writer:
            for frame in render(Identity.sample(seed), Performance.sample(seed, 18), size=256):
                writer.write(frame)
    code, out, _ = run("prepare", videos, tmp_path / "shards", "--preset", "demo", "--min-face", 60, "--json")
    assert code == 0
    assert json.loads(out)["clips"] == 3
    folder = tmp_path / "run"
    shards, start = f"data.shards={tmp_path / 'shards'}", ("--set", "start=demo")  # whose VAE and ID encoder it takes as they are
    assert run("train", "motion", "--out", folder, *start, *sets("motion", *QUICK, shards, "width=8", "drawn_stride=1"))[0] == 0
    before = read_state_dict(folder / "weights" / "hyportrait" / "unet.safetensors")
    settings = ("frames=3", "spatial_only=false", "stride=2", "pose=1.0", "validation_steps=1")
    code, out, _ = run("train", "animation", "--out", folder, "--json", *start, *sets("animation", *QUICK, shards, *settings))
    assert (code, json.loads(out)["finished"]) == (0, True)
    after = read_state_dict(folder / "weights" / "hyportrait" / "unet.safetensors")
    assert any(not np.array_equal(before[name], value) for name, value in after.items())
    assert (folder / "animation" / "validation.mp4").is_file()
    assert read_config(folder / "weights").trained
    assert (folder / "animation" / "metrics.jsonl").is_file()


@pytest.mark.slow
def test_a_broken_clip_is_counted_and_the_rest_is_trained_on(tmp_path: Path, run: Run) -> None:
    shards = tmp_path / "shards"
    source = tiny.RenderedSource(replace(tiny.DATA, clips=4), PortraitConfig.demo().face)
    with ShardWriter(shards, clips_per_shard=1) as writer:
        for index in range(4):
            writer.add(source[index])
    last = sorted(shards.glob("*.tar"))[-1]
    last.write_bytes(last.read_bytes()[:2048] + b"\0" * 4096)
    code, out, err = run("train", "identity", "--out", tmp_path / "run", "--json", *sets("identity", *QUICK, f"data.shards={shards}"))
    assert code == 0, err
    assert any("could not be read and are left out" in notice for notice in json.loads(out)["notices"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--config", "nowhere"), "There is no configuration file nowhere"),
        (("--set", "animation.optim.rate=1"), "unknown key 'animation.optim.rate'"),
        (("--set", "animation.optim.steps=some"), "must be a whole number"),
        (("--set", "animation.optim.steps"), "--set is 'animation.optim.steps'; give NAME=VALUE"),
        (("--set", "animation.data.shards=/nowhere"), "holds no shard"),
        (("--set", "start=/nowhere"), "which is no folder"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path: Path, run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = run("train", "animation", "--out", tmp_path / "run", *arguments)
    assert code == 1
    assert message in " ".join(err.split())
    assert "Traceback" not in err
