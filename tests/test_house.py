"""Rules of the house that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hp_core.bench.start import import_time

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "hp_core").rglob("*.py"))


def test_ruff():
    run = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


@pytest.mark.slow
def test_types():
    run = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_import_is_light():
    assert import_time()["imported"] == []


def test_command_line_help_needs_no_torch():
    code = "import sys; import hp_core.cli; print([m for m in ('torch', 'diffusers', 'cv2', 'mediapipe') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_files(path: Path):
    text = path.read_text(encoding="utf-8")
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not {name.split(".")[0] for name in imported} & {"comfy", "comfy_api", "folder_paths", "nodes"}, "hp_core knows no ComfyUI"
    assert not re.search(r"""['"](cuda|mps)[:'"]|\.cuda\(""", text), "a device is named"
    assert "weights_only=False" not in text
    assert len(text.splitlines()) <= 420, "more than a person can hold in mind"


def test_stages_do_not_import_each_other():
    """Imports point one way, from the pipeline to the stages to values and config."""
    allowed = {
        "face": set(),
        "motion": set(),
        "pose": set(),
        "unet": set(),
        "appearance": {"face"},  # ArcFace alignment is a crop
        "sampling": {"unet", "pose"},  # the loop drives both networks
    }
    stages = set(allowed)
    for path in CORE:
        stage = path.relative_to(ROOT / "hp_core").parts[0]
        if stage not in stages:
            continue
        used = set(re.findall(r"from hp_core\.(\w+)", path.read_text(encoding="utf-8"))) & stages - {stage}
        assert used <= allowed[stage], f"{path.name} imports {used - allowed[stage]}"


def test_both_requirement_lists_agree():
    names = re.compile(r"^\s*\"?([A-Za-z0-9_-]+)", re.M)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = set(names.findall(re.search(r"^dependencies = \[(.*?)^\]", project, re.M | re.S)[1]))
    listed = set(re.findall(r"^([A-Za-z0-9_-]+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M))
    owned_by_comfyui = {"torch", "numpy", "einops", "safetensors", "huggingface_hub", "pillow", "av", "scipy"}
    of_the_command_line = {"typer", "rich"}
    assert listed == declared - owned_by_comfyui - of_the_command_line
    assert "onnxruntime" not in listed, "it and onnxruntime-gpu, which other packs bring, overwrite each other"
    assert not re.search(r"[=~<]=?\d", re.sub(r">=", "", (ROOT / "requirements.txt").read_text(encoding="utf-8"))), "nothing is pinned"
