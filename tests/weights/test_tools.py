"""Inspecting, converting and initialising weights folders."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hp_core.config import PortraitConfig
from hp_core.config_files import PORTRAIT_FILE, read_config
from hp_core.errors import OptionError, PortraitError, WeightsError
from hp_core.weights.catalog import CATALOG, MODULES
from hp_core.weights.load import fingerprint, load_module
from hp_core.weights.tools import FileReport, convert_folder, init_folder, inspect_folder

SMALL = "hyportrait/image_proj.safetensors"


@pytest.fixture
def folder(demo_weights: Path, tmp_path: Path) -> Path:
    """A whole set of hard links: replace a file, never write into it."""
    return Path(shutil.copytree(demo_weights, tmp_path / "set", copy_function=os.link))


def replaced(path: Path, data: bytes) -> Path:
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


def reports(folder: Path) -> dict[str, FileReport]:
    return {report.name: report for report in inspect_folder(folder)}


def sums(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


# Inspect


def test_a_whole_set_is_usable_file_by_file(demo_weights: Path) -> None:
    found = reports(demo_weights)
    assert list(found) == list(CATALOG)
    assert all(report.usable for report in found.values())
    assert {name for name, report in found.items() if report.status == "ok"} == {*MODULES, "unet_config", "vae_config", "scheduler_config"}
    assert {found[name].status for name in ("arcface", "face_landmarker", "yoloface")} == {"absent"}
    unet = found["unet"]
    stored = load_file(demo_weights / unet.path)
    assert (unet.tensors, unet.parameters, unet.dtype) == (len(stored), sum(t.numel() for t in stored.values()), "float16")


def test_each_kind_of_fault_is_found_and_described(folder: Path) -> None:
    (folder / "hyportrait/headpose.safetensors").unlink()
    data = (folder / "hyportrait/expression.safetensors").read_bytes()
    replaced(folder / "hyportrait/expression.safetensors", data[: len(data) // 2])
    replaced(folder / "hyportrait/motion_proj.safetensors", (folder / "hyportrait/pose_guider.safetensors").read_bytes())
    tensors = load_file(folder / SMALL)
    tensors["bias"][0] = float("nan")
    (folder / SMALL).unlink()
    save_file(tensors, folder / SMALL)
    (folder / "scheduler/scheduler_config.json").unlink()
    replaced(folder / "arcface.onnx", b"no model")
    found = reports(folder)
    assert (found["headpose"].status, found["headpose"].path) == ("missing", "hyportrait/headpose.pth")
    assert found["expression"].status == "bad"
    assert "damaged or truncated" in found["expression"].detail
    assert found["motion_proj"].status == "bad"
    assert "unexpected, first 'blocks.0.bias'" in found["motion_proj"].detail
    assert (found["image_proj"].status, found["image_proj"].detail) == ("bad", "NaN or infinity in 'bias'")
    assert found["arcface"].status == "bad"
    assert "arcface.onnx" in found["arcface"].detail
    assert (found["scheduler_config"].status, found["scheduler_config"].detail) == ("absent", "released values are used")
    unusable = {name for name, report in found.items() if not report.usable}
    assert unusable == {"headpose", "expression", "motion_proj", "image_proj", "arcface"}


def test_a_file_of_mixed_dtypes_lists_them(folder: Path) -> None:
    tensors = load_file(folder / SMALL)
    (folder / SMALL).unlink()
    save_file(tensors | {"bias": tensors["bias"].float()}, folder / SMALL)
    assert reports(folder)["image_proj"].dtype == "float16, float32"


# Convert


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_conversion_rounds_every_tensor_and_the_result_loads(name: str, dtype: torch.dtype, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    written = list(convert_folder(folder, target, name))
    assert sorted(str(p.relative_to(target)) for p in written) == sorted(sums(target)) == sorted(sums(folder))
    for module in MODULES:
        source, result = load_file(CATALOG[module].find(folder) or ""), load_file(CATALOG[module].find(target) or "")
        assert source.keys() == result.keys()
        assert all(torch.equal(result[key], source[key].to(dtype)) for key in source)
    assert read_config(target) == read_config(folder)
    assert all(report.usable for report in reports(target).values())


@pytest.mark.slow
def test_there_and_back_through_fp32_is_the_same_file(folder: Path, tmp_path: Path) -> None:
    for _ in convert_folder(folder, tmp_path / "wide", "fp32"):
        pass
    for _ in convert_folder(tmp_path / "wide", tmp_path / "back", "fp16"):
        pass
    assert sums(tmp_path / "back") == sums(folder)
    assert fingerprint(tmp_path / "back") == fingerprint(folder) != fingerprint(tmp_path / "wide")


def test_optional_files_go_along(folder: Path, tmp_path: Path) -> None:
    replaced(folder / "face_landmarker.task", b"model")
    assert tmp_path / "out/face_landmarker.task" in list(convert_folder(folder, tmp_path / "out", "fp16"))
    assert (tmp_path / "out/face_landmarker.task").read_bytes() == b"model"


def test_a_value_beyond_fp16_is_refused_and_nothing_half_written_stays(folder: Path, tmp_path: Path) -> None:
    tensors = {key: value.float() for key, value in load_file(folder / SMALL).items()}
    tensors["weight"][0, 0] = 70000.0
    (folder / SMALL).unlink()
    save_file(tensors, folder / SMALL)
    with pytest.raises(WeightsError, match=r"'weight' of image_proj is not finite in torch.float16. Convert to bf16 or fp32"):
        list(convert_folder(folder, tmp_path / "out", "fp16"))
    assert not [path for path in tmp_path.iterdir() if path.name in ("out", ".out.part")]
    list(convert_folder(folder, tmp_path / "wide", "bf16"))
    assert load_file(tmp_path / "wide" / SMALL)["weight"][0, 0].isfinite()


def test_an_interrupted_conversion_leaves_no_part(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(tensors: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", half)
    with pytest.raises(KeyboardInterrupt):
        list(convert_folder(folder, tmp_path / "out", "fp16"))
    assert sums(tmp_path / "out") == {}


def test_what_cannot_be_converted_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PortraitError, match="is the source itself"):
        list(convert_folder(folder, folder / "vae" / "..", "fp16"))
    with pytest.raises(OptionError, match="dtype is 'int8'; choose one of: fp16, bf16, fp32"):
        list(convert_folder(folder, tmp_path / "out", "int8"))
    file = replaced(tmp_path / "file", b"")
    for target in (file, file / "below"):
        with pytest.raises(PortraitError, match=str(file)):
            list(convert_folder(folder, target, "fp16"))
    shutil.copy(folder / "hyportrait/pose_guider.safetensors", replaced(folder / SMALL, b""))
    with pytest.raises(WeightsError, match=r"image_proj\.safetensors does not fit the appearance token projector: 2 missing"):
        list(convert_folder(folder, tmp_path / "out", "fp16"))
    (folder / "hyportrait/unet.safetensors").unlink()
    (folder / SMALL).unlink()
    with pytest.raises(WeightsError, match=r"image_proj\.pth is missing"):
        list(convert_folder(folder, tmp_path / "out", "fp16"))


# Init


def test_one_seed_gives_one_set_whatever_was_drawn_before(demo_weights: Path, tmp_path: Path) -> None:
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    written = list(init_folder(tmp_path / "again", "demo", seed=0))
    assert torch.equal(torch.get_rng_state(), before)
    assert sorted(str(p.relative_to(tmp_path / "again")) for p in written) == sorted(sums(demo_weights))
    assert sums(tmp_path / "again") == sums(demo_weights)


def test_another_seed_and_dtype_give_another_set(demo_weights: Path, tmp_path: Path) -> None:
    list(init_folder(tmp_path / "other", "demo", seed=1, dtype="fp32"))
    module = load_module("pose_guider", tmp_path / "other", PortraitConfig.demo())
    base = load_module("pose_guider", demo_weights, PortraitConfig.demo())
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert not torch.equal(module.state_dict()["blocks.0.weight"].half(), base.state_dict()["blocks.0.weight"])
    assert fingerprint(tmp_path / "other") != fingerprint(demo_weights)


def test_a_fresh_set_says_that_it_is_untrained(demo_weights: Path) -> None:
    config = read_config(demo_weights)
    assert not config.trained
    assert config.unet == PortraitConfig.demo().unet
    assert (demo_weights / PORTRAIT_FILE).is_file()


def test_an_existing_set_is_not_overwritten(folder: Path) -> None:
    before = sums(folder)
    with pytest.raises(PortraitError, match=f"{folder} already holds weights"):
        list(init_folder(folder, "demo", seed=5))
    assert sums(folder) == before


def test_what_cannot_be_initialised_is_named(tmp_path: Path) -> None:
    file = replaced(tmp_path / "file", b"")
    with pytest.raises(PortraitError, match="file is a file"):
        list(init_folder(file, "demo"))
    with pytest.raises(PortraitError, match="file/below"):
        list(init_folder(file / "below", "demo"))
    with pytest.raises(OptionError, match="preset is 'huge'"):
        list(init_folder(tmp_path / "x", "huge"))
    with pytest.raises(OptionError, match="dtype is 'fp8'"):
        list(init_folder(tmp_path / "x", "demo", dtype="fp8"))
    assert not (tmp_path / "x").exists()


def test_a_set_whose_vae_has_lost_its_configuration_is_told_so(folder: Path) -> None:
    (folder / "vae/config.json").unlink()
    with pytest.raises(OptionError, match=r"unet.in_channels is 40 .* with vae.latent_channels 4 they must be 8"):
        list(inspect_folder(folder))
