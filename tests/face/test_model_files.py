"""Where the analyzers look for their models."""

from __future__ import annotations

from pathlib import Path

import pytest

from hp_core.errors import FaceError
from hp_core.face.analyzer import create_analyzer
from hp_core.face.model_files import default_places, find_model


def test_default_places_start_with_the_named_folder(no_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = [Path.home() / ".cache" / "hp_portrait" / "x.task", Path("pretrained_weights/x.task")]
    assert default_places("x.task") == [no_models / "x.task", *usual]
    monkeypatch.delenv("HP_PORTRAIT_MODELS")
    assert default_places("x.task") == usual


def test_first_existing_place_is_taken_and_a_missing_given_file_is_not_replaced(tmp_path: Path) -> None:
    second, third = tmp_path / "b", tmp_path / "c"
    second.touch()
    third.touch()
    assert find_model("test", None, [tmp_path / "a", second, third], "") == second
    with pytest.raises(FaceError, match="does not exist"):
        find_model("test", tmp_path / "a", [second], "")


@pytest.mark.parametrize(("name", "filename"), [("mediapipe", "face_landmarker.task"), ("yolo", "yoloface_v5m.pt")])
def test_missing_model_names_every_place(name: str, filename: str, no_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(FaceError) as caught:
        create_analyzer(name)
    assert str(no_models / filename) in str(caught.value)
    assert str(Path.home() / ".cache" / "hp_portrait" / filename) in str(caught.value)


@pytest.mark.parametrize("name", ["mediapipe", "yolo"])
def test_unusable_model_file(name: str, tmp_path: Path) -> None:
    if name == "mediapipe":
        pytest.importorskip("mediapipe")
    junk = tmp_path / "junk.bin"
    junk.write_bytes(b"not a model" * 100)
    with pytest.raises(FaceError, match=r"junk\.bin is not a"):
        create_analyzer(name, model=junk)
    with pytest.raises(FaceError, match="is a folder"):
        create_analyzer(name, model=tmp_path)
    with pytest.raises(FaceError, match="does not exist"):
        create_analyzer(name, model=tmp_path / "absent")
