"""Help, usage, and the commands that need no media: init, inspect, convert, bench."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from hp_core.cli import app
from hp_core.config import PortraitConfig
from tests.cli.calls import Run

TOP = ("animate", "download", "inspect", "convert", "init", "faces", "prepare", "train", "evaluate", "bench", "motion", "study")
COMMANDS = (
    *TOP,
    *(f"bench {name}" for name in ("flops", "step", "clip", "io", "memory", "face", "faces", "motion", "import")),
    *("motion save", "motion show", "motion edit", "motion mix", "motion join", "study make", "study summarise"),
)
SMALL = "hyportrait/image_proj.safetensors"


def test_the_installed_command_runs() -> None:
    script = shutil.which("hp-portrait", path=str(Path(sys.executable).parent)) or shutil.which("hp-portrait")
    if script is None:
        pytest.skip("hp_core is on the path but not installed")
    done = subprocess.run([script, "download", "--for", "everything"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: --for is 'everything'; choose one of: animate, identity")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_for_all_its_options(command: str, run: Run) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert f"hp-portrait {command} " in out.replace("\n", " ")
    node: Any = typer.main.get_command(app)
    for name in command.split():
        node = node.commands[name]
    shown = " ".join(out.split())
    for parameter in node.params:
        assert parameter.help, f"{parameter.name} has no help"
        assert " ".join(parameter.help.split()) in shown


def test_help_lists_every_command(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for command in TOP:
        assert re.search(rf"│ {command} +[A-Z]", out)


def test_help_of_animate_names_the_released_value_of_each_sampling_option(run: Run) -> None:
    sampling = PortraitConfig.released().sampling
    released = {
        name: str(getattr(sampling, name)) for name in ("steps", "sampler", "window", "overlap", "shift", "pad_frames", "decode_chunk")
    }
    released |= {name: f"{getattr(sampling, name)[0]:g}" for name in ("appearance_guidance", "motion_guidance")}
    released |= {"intensity": PortraitConfig.released().motion.intensity}
    lines = run("animate", "--help")[1].splitlines()
    for name, value in released.items():
        (line,) = [line for line in lines if re.match(rf"│ +--{name.replace('_', '-')} ", line)]
        assert re.search(rf"Released: {value}\b", line), line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--step", "3"], "--step"),
        (["animate", "a.png", "b.mp4"], "--output"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--steps", "many"], "--steps"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--sampler", "heun"], "heun"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--on-missing", "skip"], "skip"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--view", "all"], "all"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--intensity", "strong"], "strong"),
        (["convert", "a", "b", "--dtype", "int8"], "int8"),
        (["paint"], "paint"),
    ],
)
def test_a_usage_error_exits_with_2_and_names_it(arguments: list[str], named: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert named in err
    assert "Traceback" not in err


# Weights


@pytest.mark.slow
def test_init_inspect_and_convert(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("init", tmp_path / "w", "--preset", "demo", "--seed", "4")
    assert code == 0
    assert str(tmp_path / "w/hyportrait/unet.safetensors") in out.splitlines()
    code, out, err = run("init", tmp_path / "w")
    assert (code, out) == (1, "")
    assert f"{tmp_path / 'w'} already holds weights" in err
    assert run("convert", tmp_path / "w", tmp_path / "wide", "--dtype", "fp32")[0] == 0
    code, out, _ = run("inspect", tmp_path / "wide", "--json")
    facts = json.loads(out)
    assert (code, facts["loads"], facts["folder"]) == (0, True, str(tmp_path / "wide"))
    assert {row["dtype"] for row in facts["files"] if row["tensors"]} == {"float32"}
    code, out, _ = run("inspect", tmp_path / "w")  # a table this time
    assert code == 0
    assert "hyportrait/unet.safetensors" in out
    assert "float16" in out


def test_inspect_exits_with_1_where_animate_could_not_load(run: Run, demo_weights: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(demo_weights, tmp_path / "w", copy_function=os.link))
    (folder / SMALL).unlink()
    code, out, _ = run("inspect", folder, "--json")
    facts = json.loads(out)
    assert (code, facts["loads"]) == (1, False)
    assert {row["name"]: row["status"] for row in facts["files"]}["image_proj"] == "missing"


# Bench


@pytest.mark.slow
def test_bench_flops_adds_up_the_branches_of_a_step(run: Run) -> None:
    code, out, _ = run("bench", "flops", "--preset", "demo", "--window", 2, "--appearance-guidance", 1.5, "--json")
    counts = json.loads(out)
    assert (code, counts["size"], counts["window"], counts["guidance"]) == (0, 128, 2, [1.5, 2.0])
    assert set(counts["branches_tflop"]) == {"nothing", "appearance", "appearance+motion"}
    assert counts["step_tflop"] == pytest.approx(sum(counts["branches_tflop"].values()) + counts["pose_guider_tflop"])
    assert 0 < counts["pose_guider_tflop"] < counts["step_tflop"]


@pytest.mark.parametrize(("option", "value", "named"), [("--window", 0, "window is 0"), ("--size", 96 + 8, "image_size is 104")])
def test_bench_flops_refuses_what_the_networks_cannot_take(option: str, value: int, named: str, run: Run) -> None:
    code, _, err = run("bench", "flops", "--preset", "demo", option, value)
    assert code == 1
    assert named in err


@pytest.mark.slow
def test_bench_step_weighs_the_unet(run: Run) -> None:
    call = ("bench", "step", "--preset", "demo", "--size", 32, "--window", 2, "--runs", 1, "--device", "cpu", "--dtype", "fp32", "--json")
    plain, stored = (json.loads(run(*call, "--unet-storage", storage)[1]) for storage in ("compute", "fp8"))
    assert 0.25 < stored["unet_bytes"] / plain["unet_bytes"] < 0.4
    assert (plain["unet_storage"], stored["unet_storage"]) == ("compute", "fp8")
    assert stored["difference"] < 1e-3


def test_bench_import_names_no_heavy_library(run: Run) -> None:
    code, out, _ = run("bench", "import", "--json")
    facts = json.loads(out)
    assert (code, facts["imported"]) == (0, [])
    assert 0 < facts["seconds"] < 5
