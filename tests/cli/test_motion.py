"""`motion save | show | edit`, and a motion in a video's place."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hp_core.video import read_frames
from tests.cli.calls import Run


def test_motion_is_saved_shown_edited_and_reused(run: Run, media: Path, demo_weights: Path, tmp_path: Path) -> None:
    portrait, driving = media / "portrait.png", media / "driving.mp4"
    saved, edited, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors", tmp_path / "out.mp4"
    code, text, _ = run("motion", "save", driving, "-o", saved, "--weights", demo_weights, "--json")
    assert code == 0
    facts = json.loads(text)
    assert facts["tokens"] == [8, 128]
    assert facts["encoder"] != "unknown" != facts["source"]
    assert json.loads(run("motion", "show", saved, "--json")[1]) == facts
    code, text, _ = run("motion", "edit", saved, "-o", edited, "--expression", 1.5, "--smooth", 3, "--frames", 7, "--yaw", 5, "--json")
    assert code == 0
    assert json.loads(text)["frames"] == 7
    whole, again = tmp_path / "whole.mp4", tmp_path / "again.mp4"
    assert run("animate", portrait, driving, "-o", whole, "--weights", demo_weights, "--no-provenance", "--no-sound")[0] == 0
    assert run("animate", portrait, saved, "-o", again, "--weights", demo_weights, "--no-provenance")[0] == 0
    assert all(np.array_equal(a, b) for a, b in zip(read_frames(whole), read_frames(again), strict=True)), "the same motion, the same video"
    code, text, _ = run("animate", portrait, edited, "-o", out, "--weights", demo_weights, "--json")
    assert code == 0
    assert json.loads(text)["frames"] == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("motion", "show", "{picture}"), "cannot be read as MotionTokens"),
        (("motion", "edit", "{motion}", "-o", "{folder}/x.safetensors", "--smooth", 4), "smoothing window is 4"),
        (("motion", "save", "{driving}", "-o", "{folder}/gone/x.safetensors"), "does not exist"),
        (("animate", "{picture}", "{motion}", "-o", "{folder}/x.mp4", "--view", "compare"), "a motion without its video"),
        (("animate", "{picture}", "{motion}", "-o", "{folder}/x.mp4", "--start", 99), "start is 99"),
    ],
)
def test_motion_mistakes_are_named(
    run: Run, media: Path, demo_weights: Path, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    import torch

    from hp_core.values import MotionTokens

    motion = tmp_path / "m.safetensors"
    MotionTokens(torch.zeros(9, 8, 128), torch.zeros(9, 3), torch.zeros(9, 3), Fraction(25), "released").save(motion)
    places = {"picture": media / "portrait.png", "driving": media / "driving.mp4", "motion": motion, "folder": tmp_path}
    filled = [argument.format(**places) if isinstance(argument, str) else argument for argument in arguments]
    weights = ("--weights", demo_weights) if arguments[:2] != ("motion", "show") and arguments[1] != "edit" else ()
    code, _, said = run(*filled, *weights)
    assert code == 1
    assert words in " ".join(said.split())
