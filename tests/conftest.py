"""Fixtures shared by all tests; real media lie outside the repository and tests that need them skip without."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from hp_core.evaluation.readings import MotionReader

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see hp_core.cli.main; set before torch loads OpenMP

settings.register_profile("project", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("project")

ROOT = Path(__file__).parents[1]


def _media(name: str) -> Path:
    folders = [Path(os.environ["PORTRAIT_MEDIA"])] if "PORTRAIT_MEDIA" in os.environ else []
    if "PARITY_CASES" in os.environ:
        folders.append(Path(os.environ["PARITY_CASES"]).resolve().parents[1] / "media")
    folders.append(ROOT.parent / "shared" / "media")
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    pytest.skip(f"{name} is not part of the repository; PORTRAIT_MEDIA names the folder that holds it")


@pytest.fixture(scope="session")
def portrait_image() -> Path:
    return _media("portrait.png")


@pytest.fixture(scope="session")
def driving_video() -> Path:
    return _media("driving.mp4")


@pytest.fixture(scope="session")
def media_landmarks() -> Path:
    return _media("landmarks.safetensors")


@pytest.fixture(scope="session")
def demo_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained set of the demo preset, written once; tests that change a file work on a copy."""
    from hp_core.weights.tools import init_folder

    folder = tmp_path_factory.mktemp("weights") / "demo"
    for _ in init_folder(folder, "demo"):
        pass
    return folder


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`hp-portrait` with these arguments: exit code, stdout, stderr."""
    from hp_core.cli import main

    monkeypatch.setenv("COLUMNS", "400")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hp-portrait", *map(str, arguments)])
        capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def reader() -> Iterator[MotionReader]:
    """MediaPipe's readings; tests that need them skip without the model."""
    from hp_core.errors import FaceError
    from hp_core.evaluation.readings import MotionReader

    try:
        opened = MotionReader()
    except FaceError as error:
        pytest.skip(str(error))
    with opened:
        yield opened
