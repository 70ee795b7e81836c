"""What the tests of all analyzers share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a model folder, both without any model; returns the model folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("HP_PORTRAIT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"
