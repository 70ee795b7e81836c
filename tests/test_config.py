"""The configuration: files and back, what is refused in them, and the two presets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hp_core.config import (
    AppearanceConfig,
    FaceConfig,
    MotionConfig,
    PortraitConfig,
    PoseConfig,
    SamplingConfig,
)
from hp_core.config_files import PORTRAIT_FILE, SCHEDULER_FILE, UNET_FILE, VAE_FILE, config_files, read_config
from hp_core.errors import OptionError

RANGES: list[tuple[type, str, Any, Any]] = [  # configuration, field, the last value allowed, the first one refused
    (FaceConfig, "image_size", 64, 56),
    (FaceConfig, "image_size", 520, 516),
    (MotionConfig, "head_input", "symmetric", "other"),
    (MotionConfig, "translation", "predicted", "other"),
    (MotionConfig, "intensity", "paper", "other"),
    (MotionConfig, "intensity_embedding", "concat", "other"),
    (MotionConfig, "memory_attention", "motion", "other"),
    (MotionConfig, "activation", "silu", "gelu"),
    (MotionConfig, "levels", 2, 1),
    (MotionConfig, "chunk", 2, 1),
    (AppearanceConfig, "adapter_query", "id", "other"),
    (AppearanceConfig, "image_size", 252, 256),
    (AppearanceConfig, "patch", 1, 0),
    (SamplingConfig, "sampler", "ddim", "heun"),
    (SamplingConfig, "steps", 1, 0),
    (SamplingConfig, "steps", 1000, 1001),
    (SamplingConfig, "window", 4, 0),
    (SamplingConfig, "overlap", 0, -1),
    (SamplingConfig, "overlap", 24, 25),
    (SamplingConfig, "decode_chunk", 1, 0),
    (SamplingConfig, "pad_frames", 0, -1),
    (SamplingConfig, "shift", 0, -1),
    (SamplingConfig, "fps", 0.0, -0.5),
    (SamplingConfig, "motion_bucket_id", 0.0, -1.0),
    (SamplingConfig, "noise_aug", 0.0, float("nan")),
    (SamplingConfig, "appearance_guidance", (0.0, 100.0), (0.0, 100.5)),
    (SamplingConfig, "motion_guidance", (0.0, 100.0), (-0.1, 2.0)),
    (SamplingConfig, "motion_guidance", (1.0, 1.0), (1.0, float("nan"))),
    (SamplingConfig, "appearance_guidance", (1.0, 1.0), (1.0, 1.0, 1.0)),
]


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def own(folder: Path, **parts: Any) -> Path:
    return write(folder, {PORTRAIT_FILE: json.dumps(parts)})


@pytest.mark.parametrize("preset", ["released", "demo"])
def test_files_give_back_every_value(preset: str, tmp_path: Path) -> None:
    config = replace(PortraitConfig.preset(preset), trained=False)
    config = replace(config, motion=replace(config.motion, intensity="paper")).with_sampling(steps=7, motion_guidance=(1.5, 3.0))
    assert read_config(write(tmp_path, config_files(config))) == config


def test_a_folder_without_files_has_the_released_values(tmp_path: Path) -> None:
    assert read_config(tmp_path) == PortraitConfig.released()


def test_a_partial_file_changes_only_what_it_names(tmp_path: Path) -> None:
    config = read_config(own(tmp_path, sampling={"steps": 40, "fps": 25}))
    assert config == PortraitConfig.released().with_sampling(steps=40, fps=25)


def test_keys_that_only_diffusers_knows_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, {UNET_FILE: json.dumps({"_diffusers_version": "0.24.0", "num_frames": 14, "brand_new": [1]})})
    config = read_config(tmp_path)
    assert config.unet == PortraitConfig.released().unet | {"num_frames": 14}


def test_released_is_svd_xt_at_512_and_demo_a_small_build_of_the_same_parts() -> None:
    released, demo = PortraitConfig.preset("released"), PortraitConfig.preset("demo")
    assert (released.face.image_size, released.unet["block_out_channels"]) == (512, [320, 640, 1280, 1280])
    assert (released.sampling.steps, released.sampling.sampler, released.sampling.window) == (25, "euler", 25)
    assert (demo.face.image_size, demo.unet["in_channels"], demo.vae["latent_channels"]) == (128, 40, 20)
    assert (released.vae_scale_factor, demo.vae_scale_factor) == (8, 4)
    assert demo.scheduler == released.scheduler | {"sigma_min": 20.0, "sigma_max": 100.0}
    with pytest.raises(OptionError, match=r"pose.channels has 2 entries; .* latents: 3 entries"):
        replace(demo, pose=PoseConfig(channels=(8, 16)))
    with pytest.raises(OptionError, match=r"preset is 'huge'; choose one of: released, paper, demo"):
        PortraitConfig.preset("huge")


def test_with_sampling_checks_and_leaves_the_original() -> None:
    config = PortraitConfig.demo()
    assert config.with_sampling(steps=3).sampling.steps == 3
    assert config.sampling.steps == 4
    with pytest.raises(OptionError, match="steps is 0"):
        config.with_sampling(steps=0)


@pytest.mark.parametrize(("cls", "name", "good", "bad"), RANGES)
def test_the_last_value_in_range_is_taken_and_the_next_refused_by_name(cls: type, name: str, good: Any, bad: Any) -> None:
    assert getattr(cls(**{name: good}), name) == good
    with pytest.raises(OptionError, match=name):
        cls(**{name: bad})


def test_a_range_error_names_value_and_limit() -> None:
    with pytest.raises(OptionError, match=r"steps is 1001; it must be between 1 and 1000\."):
        SamplingConfig(steps=1001)
    with pytest.raises(OptionError, match=r"overlap is 25, the window 25 frames"):
        SamplingConfig(overlap=25)


def test_token_widths_must_be_the_unets(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=rf"{PORTRAIT_FILE}: motion\.token_dim is 512 .*cross_attention_dim, 1024"):
        read_config(own(tmp_path, motion={"token_dim": 512}))
    with pytest.raises(OptionError, match=r"appearance\.width 512"):
        PortraitConfig(appearance=AppearanceConfig(width=512))


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"motions": {}}, "unknown part 'motions'"),
        ({"unet": {}}, "unknown part 'unet'"),
        ({"motion": {"levls": 64}}, "motion: unknown key 'levls'. Known keys: activation, chunk"),
        ({"motion": [1]}, "motion is [1]; it must be an object"),
        ({"motion": {"levels": "64"}}, "motion.levels is '64'; it must be a whole number"),
        ({"motion": {"levels": 64.5}}, "motion.levels is 64.5; it must be a whole number"),
        ({"motion": {"levels": True}}, "motion.levels is True; it must be a whole number"),
        ({"motion": {"levels": None}}, "motion.levels is None; it must be a whole number"),
        ({"motion": {"intensity": 1}}, "motion.intensity is 1; it must be text"),
        ({"motion": {"head_blocks": 2}}, "motion.head_blocks is 2; it must be a list, each of them a whole number"),
        ({"pose": {"channels": [16, "32"]}}, "pose.channels is [16, '32']; it must be a list"),
        ({"sampling": {"fps": "fast"}}, "sampling.fps is 'fast'; it must be a number"),
        ({"sampling": {"motion_guidance": 2.0}}, "sampling.motion_guidance is 2.0; it must be a list"),
        ({"trained": "yes"}, "trained is 'yes'; it must be true or false"),
        ({"sampling": {"steps": 0}}, "steps is 0; it must be between 1 and 1000"),
        ({"face": {"image_size": 100}}, "face.image_size is 100"),
    ],
)
def test_what_is_wrong_in_portrait_json_is_named_with_the_file(parts: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        read_config(own(tmp_path, **parts))
    assert str(caught.value).startswith(f"{tmp_path / PORTRAIT_FILE}: {named}")


@pytest.mark.parametrize(
    ("file", "key", "value", "wanted"),
    [
        (UNET_FILE, "cross_attention_dim", "1024", "a number or a list"),
        (UNET_FILE, "block_out_channels", {"0": 320}, "a number or a list"),
        (VAE_FILE, "force_upcast", 1, "true or false"),
        (SCHEDULER_FILE, "prediction_type", None, "text"),
        (SCHEDULER_FILE, "num_train_timesteps", True, "a number or a list"),
    ],
)
def test_a_wrong_type_in_a_diffusers_file_is_named_with_the_file(file: str, key: str, value: Any, wanted: str, tmp_path: Path) -> None:
    write(tmp_path, {file: json.dumps({key: value})})
    with pytest.raises(OptionError) as caught:
        read_config(tmp_path)
    assert str(caught.value) == f"{tmp_path / file}: {key} is {value!r}; it must be {wanted}."


@pytest.mark.parametrize("file", [PORTRAIT_FILE, UNET_FILE, VAE_FILE, SCHEDULER_FILE])
@pytest.mark.parametrize(
    ("content", "what"), [(b"{", "is not JSON"), (b"\xff\xfe{}", "is not JSON"), (b"[1]", "holds a list"), (b"", "is not JSON")]
)
def test_a_file_that_is_no_json_object_is_named(file: str, content: bytes, what: str, tmp_path: Path) -> None:
    write(tmp_path, {file: ""})
    (tmp_path / file).write_bytes(content)
    with pytest.raises(OptionError) as caught:
        read_config(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / file} {what}")
