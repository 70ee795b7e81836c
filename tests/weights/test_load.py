"""Loading weights: which file is taken, and every file that is refused, with the words it is refused in."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hp_core.config import PortraitConfig
from hp_core.config_files import PORTRAIT_FILE, UNET_FILE, config_files, read_config
from hp_core.errors import OptionError, WeightsError
from hp_core.progress import Notice, Progress, result
from hp_core.weights.catalog import CATALOG, MODULES, weights_folder
from hp_core.weights.load import PortraitModels, build_module, fingerprint, load_models, load_module, read_state_dict, set_fingerprint

CONFIG = PortraitConfig.demo()
SMALL = "image_proj"  # a linear layer: "weight" (16, 69) and "bias" (16,)


class Hostile:
    """Unpickled with Python's own pickle, it creates the folder ``marker``."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def folder(demo_weights: Path, tmp_path: Path) -> Path:
    """A set that holds only the smallest module and the configuration; free to be changed."""
    target = tmp_path / "set"
    (target / "hyportrait").mkdir(parents=True)
    for name, text in config_files(CONFIG).items():
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(text)
    shutil.copy(demo_weights / f"hyportrait/{SMALL}.safetensors", target / "hyportrait")
    return target


@pytest.fixture
def tensors(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / f"hyportrait/{SMALL}.safetensors")


def place(folder: Path, suffix: str = ".safetensors") -> Path:
    return folder / f"hyportrait/{SMALL}{suffix}"


def only_pth(folder: Path, content: Any, **options: Any) -> Path:
    """Leave nothing but a `.pth` of ``content``."""
    place(folder).unlink(missing_ok=True)
    torch.save(content, place(folder, ".pth"), **options)
    return place(folder, ".pth")


def refusal(folder: Path, name: str = SMALL) -> str:
    with pytest.raises(WeightsError) as caught:
        load_module(name, folder, CONFIG)
    return str(caught.value)


def loaded(folder: Path, dtype: torch.dtype = torch.float32) -> PortraitModels:
    return result(load_models(folder, device="cpu", dtype=dtype))


def notices(folder: Path) -> list[str]:
    return [event.text for event in load_models(folder, device="cpu", dtype=torch.float32) if isinstance(event, Notice)]


# What is loaded


@pytest.mark.slow
def test_every_module_arrives_frozen_in_the_dtype_asked_for(demo_weights: Path) -> None:
    models = loaded(demo_weights, torch.bfloat16)
    assert models.config == read_config(demo_weights)
    for module in (getattr(models, name) for name in MODULES):
        assert not module.training
        assert {(p.requires_grad, p.device.type) for p in module.parameters()} == {(False, "cpu")}
    dtypes = {name: {p.dtype for p in getattr(models, name).parameters()} for name in MODULES}
    motion = {"expression", "headpose", "motion_proj"}  # degrees do not fit in half precision
    assert dtypes == {name: {torch.float32 if name in motion else torch.bfloat16} for name in MODULES}
    stored = load_file(demo_weights / "hyportrait/unet.safetensors")
    torch.testing.assert_close(models.unet.state_dict()["conv_in.weight"].half(), stored["conv_in.weight"], rtol=1e-2, atol=1e-3)
    events = [event for event in load_models(demo_weights, device="cpu", dtype=torch.float32) if isinstance(event, Progress)]
    assert [(event.done, event.total) for event in events] == [(i, 8) for i in range(1, 9)]


def test_what_is_absent_or_untrained_is_noticed_by_name(demo_weights: Path) -> None:
    said = notices(demo_weights)
    assert any("untrained" in text and str(demo_weights) in text for text in said)
    assert any("arcface.onnx" in text and "hp-portrait download" in text for text in said)


def test_a_trained_set_is_not_called_untrained(demo_weights: Path, tmp_path: Path) -> None:
    shutil.copytree(demo_weights, tmp_path / "set", copy_function=os.link)
    own = json.loads((demo_weights / PORTRAIT_FILE).read_text())
    (tmp_path / "set" / PORTRAIT_FILE).unlink()
    (tmp_path / "set" / PORTRAIT_FILE).write_text(json.dumps(own | {"trained": True}))
    assert not any("untrained" in text for text in notices(tmp_path / "set"))


@pytest.mark.slow
def test_the_published_layout_loads(demo_weights: Path, tmp_path: Path) -> None:
    for name in MODULES:
        tensors = load_file(CATALOG[name].find(demo_weights) or "")
        path = tmp_path / CATALOG[name].path
        path.parent.mkdir(exist_ok=True)
        save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    shutil.copy(demo_weights / PORTRAIT_FILE, tmp_path)
    for name in ("vae", "unet", "scheduler"):
        (tmp_path / name).mkdir(exist_ok=True)
        for config in (demo_weights / name).glob("*.json"):
            shutil.copy(config, tmp_path / name)
    assert sorted(path.name for path in (tmp_path / "hyportrait").iterdir()) == sorted(f"{name}.pth" for name in MODULES if name != "vae")
    assert [path.name for path in (tmp_path / "vae").glob("*.safetensors")] == ["diffusion_pytorch_model.fp16.safetensors"]
    ours, theirs = loaded(demo_weights), loaded(tmp_path)
    for name in MODULES:
        expected, found = getattr(ours, name).state_dict(), getattr(theirs, name).state_dict()
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_safetensors_is_taken_before_pth(folder: Path, tensors: dict[str, Tensor]) -> None:
    torch.save({key: torch.zeros_like(value) for key, value in tensors.items()}, place(folder, ".pth"))
    assert torch.equal(load_module(SMALL, folder, CONFIG).weight, tensors["weight"])
    place(folder).unlink()
    assert not load_module(SMALL, folder, CONFIG).weight.any()


@pytest.mark.parametrize("zipped", [True, False])
def test_pth_files_of_both_formats_load(zipped: bool, folder: Path, tensors: dict[str, Tensor]) -> None:
    only_pth(folder, tensors, _use_new_zipfile_serialization=zipped)
    assert torch.equal(load_module(SMALL, folder, CONFIG).bias, tensors["bias"])


# What is refused


def test_a_missing_file_is_named_with_its_purpose_and_the_remedy(folder: Path) -> None:
    text = refusal(folder, "unet")
    assert f"{folder / 'hyportrait/unet.pth'} is missing" in text
    assert CATALOG["unet"].purpose in text
    assert f"hp-portrait download {folder}" in text
    with pytest.raises(WeightsError, match=r"expression\.pth is missing"):
        loaded(folder)


def test_a_folder_in_a_files_place_is_refused(folder: Path) -> None:
    place(folder).unlink()
    place(folder, ".pth").mkdir()
    assert f"{place(folder, '.pth')} is a folder" in refusal(folder)
    with pytest.raises(WeightsError, match=r"image_proj\.pth is a folder"):
        read_state_dict(place(folder, ".pth"))


@pytest.mark.parametrize("cut", [0, 4, 8, 60, 0.5, -1])
def test_a_truncated_safetensors_is_refused(cut: float, folder: Path) -> None:
    data = place(folder).read_bytes()
    place(folder).write_bytes(data[: int(len(data) * cut) if isinstance(cut, float) else cut])
    assert f"{place(folder)} is damaged or truncated" in refusal(folder)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("cut", [0, 1, 3, 40, 0.25, 0.5, 0.9, -1])
def test_a_truncated_pth_is_refused(cut: float, zipped: bool, folder: Path, tensors: dict[str, Tensor]) -> None:
    path = only_pth(folder, tensors, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut) if isinstance(cut, float) else cut])
    text = refusal(folder)
    assert str(path) in text
    assert "damaged or truncated" in text or "refused" in text


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html><title>404</title>", b"version https://git-lfs.github.com/spec/v1\noid", b"entry not found"]
)
def test_a_web_page_or_pointer_is_not_called_hostile(content: bytes, folder: Path) -> None:
    place(folder).unlink()
    place(folder, ".pth").write_bytes(content)
    text = refusal(folder)
    assert f"{place(folder, '.pth')} is damaged or truncated (it begins with {content[:4]!r}" in text
    assert "fetch it again" in text


@pytest.mark.parametrize("writer", ["zip", "old torch", "pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(writer: str, folder: Path, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    hostile = tensors | {"extra": Hostile(tmp_path / "marker")}
    path = only_pth(folder, hostile, _use_new_zipfile_serialization=writer == "zip")
    if writer == "pickle":
        path.write_bytes(pickle.dumps(hostile["extra"], protocol=2))
    text = refusal(folder)
    assert not (tmp_path / "marker").exists()
    assert f"{path} is refused" in text
    assert "mkdir" in text
    assert "could run code" in text
    if writer == "pickle":
        pickle.loads(path.read_bytes())  # noqa: S301 (our own file, to show that it would have)
        assert (tmp_path / "marker").is_dir()


@pytest.mark.parametrize("content", [[1, 2], {"weight": 1}, {"state": {"weight": torch.zeros(1)}}, torch.zeros(2)])
def test_a_file_of_anything_but_named_tensors_is_refused(content: Any, folder: Path) -> None:
    path = only_pth(folder, content)
    assert f"{path} holds a {type(content).__name__}, not a plain dict of tensors" in refusal(folder)


def test_first_missing_unexpected_and_misshaped_keys_are_named(folder: Path, tensors: dict[str, Tensor]) -> None:
    save_file({"bias": torch.zeros(16), "weight": torch.zeros(16, 70)}, place(folder))
    text = refusal(folder)
    assert f"{place(folder)} does not fit the {CATALOG[SMALL].purpose}" in text
    assert "1 of another shape, first 'weight': [16, 70], expected [16, 69]" in text
    save_file({"bias": tensors["bias"], "gain": torch.zeros(1), "wait": torch.zeros(1)}, place(folder))
    text = refusal(folder)
    assert "1 missing, first 'weight'" in text
    assert "2 unexpected, first 'gain'" in text


def test_another_modules_file_under_the_name_is_refused(folder: Path, demo_weights: Path) -> None:
    shutil.copy(demo_weights / "hyportrait/pose_guider.safetensors", place(folder))
    text = refusal(folder)
    assert "2 missing" in text
    assert "12 unexpected, first 'blocks.0.bias'" in text
    assert "another model or configuration" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(value: float, folder: Path, tensors: dict[str, Tensor]) -> None:
    tensors["weight"][3, 5] = value
    save_file(tensors, place(folder))
    assert refusal(folder) == f"{place(folder)} holds NaN or infinity in 'weight'. Fetch it again."


def test_a_configuration_that_cannot_be_built_names_the_module(folder: Path) -> None:
    (folder / UNET_FILE).write_text(json.dumps(CONFIG.unet | {"num_attention_heads": [2, 4]}))
    shutil.copy(place(folder), folder / "hyportrait/unet.safetensors")
    with pytest.raises(OptionError, match=r"The configuration of unet is impossible \(Must provide the same number"):
        load_module("unet", folder, read_config(folder))


# Fingerprint


def test_the_fingerprint_is_stable_and_follows_any_file(demo_weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(demo_weights, copy, copy_function=os.link)
    assert fingerprint(copy) == fingerprint(demo_weights) == loaded(demo_weights).fingerprint
    assert len(fingerprint(copy)) == 12
    tensors = load_file(place(copy))
    place(copy).unlink()
    save_file(tensors | {"bias": tensors["bias"] + 1}, place(copy))
    changed = fingerprint(copy)
    place(copy).unlink()
    assert len({changed, fingerprint(copy), fingerprint(demo_weights)}) == 3


def test_the_fingerprint_of_a_set_follows_its_settings_and_what_lies_beside_it(demo_weights: Path, tmp_path: Path) -> None:
    copy, arcface = tmp_path / "copy", tmp_path / "arcface.onnx"
    shutil.copytree(demo_weights, copy, copy_function=os.link)
    seen = [set_fingerprint(copy), set_fingerprint(copy, [arcface, None])]
    assert seen[0] == seen[1] == set_fingerprint(copy), "a file that is not there says nothing"
    for content in (b"one", b"two"):
        arcface.write_bytes(content)
        seen.append(set_fingerprint(copy, [arcface]))
    settings = (copy / PORTRAIT_FILE).read_text()
    (copy / PORTRAIT_FILE).unlink()
    (copy / PORTRAIT_FILE).write_text(settings.replace('"steps": 4', '"steps": 5'))
    seen.append(set_fingerprint(copy))
    assert len(set(seen)) == 4


# Where the folder is looked for


@pytest.mark.parametrize(
    "inside", [".", "pretrained_weights", "models/HunyuanPortrait", "HunyuanPortrait", "ComfyUI/models/HunyuanPortrait"]
)
def test_the_usual_places_inside_a_folder_are_found(inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / inside / "hyportrait").mkdir(parents=True)
    assert weights_folder(tmp_path) == tmp_path / inside
    monkeypatch.chdir(tmp_path)
    assert weights_folder(None).resolve() == (tmp_path / inside).resolve()


def test_the_folder_itself_comes_before_places_inside_it(tmp_path: Path) -> None:
    for inside in ("models/HunyuanPortrait", "pretrained_weights", "."):
        (tmp_path / inside / "hyportrait").mkdir(parents=True)
        assert weights_folder(tmp_path) == tmp_path / inside


def test_no_weights_names_every_place_and_both_remedies(tmp_path: Path) -> None:
    (tmp_path / "hyportrait").write_text("a file where the folder should be")
    with pytest.raises(WeightsError) as caught:
        weights_folder(tmp_path)
    for inside in (".", "pretrained_weights", "models/HunyuanPortrait"):
        assert str(tmp_path / inside) in str(caught.value)
    assert "hp-portrait download" in str(caught.value)
    assert "hp-portrait init" in str(caught.value)


@pytest.mark.parametrize(("name", "what"), [("gone", "is not there"), ("file", "is a file")])
def test_a_path_that_is_no_folder_is_named(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=f"{name} {what}"):
        weights_folder(tmp_path / name)


@pytest.mark.parametrize("preset", ["demo", "paper", "released"])
def test_every_preset_builds(preset: str) -> None:
    config = PortraitConfig.preset(preset)
    with torch.device("meta"):
        built = {name: build_module(name, config) for name in MODULES}
    if preset == "paper":
        assert built["image_proj"].weight.shape == (64, 1 + 4 + 18**2)  # 252 pixels are 18 patches a side
        assert built["motion_proj"].position_head.weight.shape == (64, 384)  # 64 levels, two halves of the width
