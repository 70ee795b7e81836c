"""Fixtures shared by all tests; real media lie outside the repository and tests that need them skip without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see hp_core.cli.main; set before torch loads OpenMP

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
