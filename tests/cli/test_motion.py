"""`motion save | show | edit | mix | join`, and a motion in a video's place."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from hp_core.values import MotionTokens
from hp_core.video import read_frames
from tests.cli.calls import Run


def written(path: Path, frames: int, turn: float = 0.0) -> None:
    """A motion of random expression and one turn of the head."""
    tokens = torch.randn(frames, 8, 128, generator=torch.Generator().manual_seed(frames))
    tokens[..., -6:-3], tokens[..., -3:] = turn, 0.0
    MotionTokens(tokens, torch.full((frames, 3), turn), torch.zeros(frames, 3), Fraction(25), "released").save(path)


@pytest.mark.slow
def test_motion_is_saved_shown_edited_and_reused(run: Run, media: Path, demo_weights: Path, tmp_path: Path) -> None:
    portrait, driving = media / "portrait.png", media / "driving.mp4"
    saved, edited, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors", tmp_path / "out.mp4"
    code, text, _ = run("motion", "save", driving, "-o", saved, "--weights", demo_weights, "--json")
    assert code == 0
    facts = json.loads(text)
    assert facts["tokens"] == [8, 128]
    assert facts["encoder"] != "unknown" != facts["source"]
    assert json.loads(run("motion", "show", saved, "--json")[1]) == facts
    code, text, _ = run("motion", "edit", saved, "-o", edited, "--expression", 1.5, "--smooth", 3, "--stretch", 7, "--yaw", 5, "--json")
    assert code == 0
    assert json.loads(text)["frames"] == 7
    whole, again = tmp_path / "whole.mp4", tmp_path / "again.mp4"
    assert run("animate", portrait, driving, "-o", whole, "--weights", demo_weights, "--no-provenance", "--no-sound")[0] == 0
    assert run("animate", portrait, saved, "-o", again, "--weights", demo_weights, "--no-provenance")[0] == 0
    assert all(np.array_equal(a, b) for a, b in zip(read_frames(whole), read_frames(again), strict=True)), "the same motion, the same video"
    code, text, _ = run("animate", portrait, edited, "-o", out, "--weights", demo_weights, "--json")
    assert code == 0
    assert json.loads(text)["frames"] == 7


def test_motions_are_trimmed_mixed_and_joined(run: Run, tmp_path: Path) -> None:
    first, second, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors", tmp_path / "out.safetensors"
    written(first, 9)
    written(second, 4, turn=10.0)

    def made(*arguments: object) -> MotionTokens:
        code, _, said = run("motion", *arguments, "-o", out)
        assert code == 0, said
        return MotionTokens.load(out)

    assert len(made("edit", first, "--start", 2, "--frames", 3, "--hold-after", 2, "--fps", 50)) == 8
    mixed = made("mix", first, second)
    assert len(mixed) == 9
    assert (mixed.rotation == 10).all()
    assert torch.equal(mixed.tokens[..., :-6], MotionTokens.load(first).tokens[..., :-6])
    assert len(made("join", first, second, "--blend", 2)) == 11


@pytest.mark.slow
def test_the_file_s_format_and_numbers_do_not_make_the_encoders_others(run: Run, media: Path, demo_weights: Path, tmp_path: Path) -> None:
    """A motion goes on with the same weights in another dtype, and with none that were trained otherwise."""
    from hp_core.weights.tools import init_folder

    wide, other, motion = tmp_path / "wide", tmp_path / "other", tmp_path / "m.safetensors"
    assert run("convert", demo_weights, wide, "--dtype", "fp32")[0] == 0
    list(init_folder(other, "demo", seed=1))
    assert run("motion", "save", media / "driving.mp4", "-o", motion, "--weights", demo_weights)[0] == 0
    use = ("animate", media / "portrait.png", motion, "-o", tmp_path / "out.mp4", "--steps", 1)
    assert run(*use, "--weights", wide)[0] == 0
    code, _, said = run(*use, "--weights", other)
    assert code == 1
    assert "was made by the encoders" in " ".join(said.split())


@pytest.mark.parametrize("name", ["tokens", "rotation", "fps", "empty"])
def test_a_motion_file_whose_parts_do_not_fit_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.safetensors"
    written(path, 0 if name == "empty" else 9)
    motion = MotionTokens(torch.zeros(9, 8, 128), torch.zeros(9, 3), torch.zeros(9, 3), Fraction(25), "released")
    broken = {
        "tokens": {"tokens": torch.full((9, 8, 128), float("nan"))},
        "rotation": {"rotation": torch.zeros(4, 3)},
        "fps": {"fps": Fraction(0)},
        "empty": {"tokens": torch.zeros(0, 8, 128)},
    }
    replace(motion, **broken[name]).save(path)
    code, _, said = run("motion", "show", path)
    assert code == 1
    assert "cannot be read as MotionTokens" in " ".join(said.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("motion", "show", "{picture}"), "cannot be read as MotionTokens"),
        (("motion", "edit", "{motion}", "-o", "{folder}/x.safetensors", "--smooth", 4), "smoothing window is 4"),
        (("motion", "edit", "{motion}", "-o", "{folder}/x.safetensors", "--smoothing", "one_euro"), "smooth is 1, which is none"),
        (("motion", "edit", "{motion}", "-o", "{folder}/x.safetensors", "--neutral", 2), "change nothing"),
        (("motion", "mix", "{motion}", "{motion}", "-o", "{folder}/x.safetensors", "--neutral", 2), "relative alone asks for"),
        (("motion", "save", "{driving}", "-o", "{folder}/gone/x.safetensors"), "does not exist"),
        (("motion", "save", "{driving}", "-o", "{driving}"), "which is known by .safetensors"),
        (("motion", "save", "{driving}", "-o", "{folder}/x.safetensors", "--frames", "0"), "frames is 0; it must be at least 1"),
        (("motion", "save", "{driving}", "-o", "{folder}/x.safetensors", "--start", "-1"), "start is -1"),
        (("motion", "edit", "{driving}", "-o", "{folder}/x.safetensors", "--fps", "0.05"), "fps is 0.05; it must be between 0.1 and 1000"),
        (("motion", "edit", "{motion}", "-o", "{folder}/x"), "Name it x.safetensors"),
        (("animate", "{picture}", "{driving}", "-o", "{folder}/x.mp4", "--stretch", 9, "--view", "compare"), "another length or rate"),
        (("animate", "{picture}", "{driving}", "-o", "{folder}/x.mp4", "--end", "loop", "--pose", "paper"), "another length or rate"),
        (("animate", "{picture}", "{driving}", "-o", "{folder}/x.mp4", "--head-from", "{folder}/gone.mp4"), "gone.mp4"),
        (("animate", "{picture}", "{motion}", "-o", "{folder}/x.mp4", "--view", "compare"), "a motion without its video"),
        (("animate", "{picture}", "{motion}", "-o", "{folder}/x.mp4", "--start", 99), "start is 99"),
        (("motion", "edit", "{motion}", "-o", "{folder}/e.safetensors", "--frames", -5), "frames is -5"),
        (("motion", "edit", "{motion}", "-o", "{folder}/e.safetensors", "--start", -1), "start is -1"),
        (("motion", "edit", "{motion}", "-o", "{motion}", "--yaw", 5), "is an input too and would be lost"),
        (("motion", "save", "{driving}", "-o", "{folder}/s.safetensors", "--driving-face", "lefmost"), "driving_face is 'lefmost'"),
        (("motion", "save", "{driving}", "-o", "{folder}/s.safetensors", "--stiffness", 40), "whose square stands still"),
    ],
)
def test_motion_mistakes_are_named(
    run: Run, media: Path, demo_weights: Path, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    motion = tmp_path / "m.safetensors"
    written(motion, 9)
    places = {"picture": media / "portrait.png", "driving": media / "driving.mp4", "motion": motion, "folder": tmp_path}
    filled = [argument.format(**places) if isinstance(argument, str) else argument for argument in arguments]
    weights = () if arguments[1] in ("show", "edit", "mix") else ("--weights", demo_weights)
    code, _, said = run(*filled, *weights)
    assert code == 1
    assert words in " ".join(said.split())
