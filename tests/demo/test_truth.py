"""What is known about a rendered clip: regions that agree with the points, rotations, the file, and the command that writes both."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import SMALLEST, five_points, render
from hp_core.demo.scripts import SCRIPTS
from hp_core.demo.truth import MASK_LABELS, head_rotation, masks, save_truth
from hp_core.errors import OptionError, PortraitError
from hp_core.video import probe, read_frames
from tests.demo.faces import SIZE, still

Run = Callable[..., tuple[int, str, str]]


def label(name: str) -> int:
    return MASK_LABELS.index(name)


def test_masks_agree_with_the_points() -> None:
    for seed in range(12):
        who = replace(Identity.sample(seed), beard="none")
        what = still(yaw=4.0 * (seed - 6), pitch=seed - 6, roll=6 - seed, jaw=0.6)
        (mask,) = masks(who, what, SIZE)
        assert (mask.shape, mask.dtype) == ((SIZE, SIZE), np.uint8)
        points = five_points(who, what, SIZE)[0]
        at = [mask[tuple(np.floor(point).astype(int)[::-1])] for point in points[:3]]
        assert at == [label("eyes"), label("eyes"), label("skin")]
        rows, columns = np.nonzero(mask == label("mouth"))
        np.testing.assert_allclose([columns.min(), columns.max()], points[3:, 0], atol=0.02 * SIZE)
        assert rows.min() < points[3:, 1].max()
        assert (mask[:4] == label("background")).all()
        assert mask[-1, SIZE // 2] == label("body")


def test_masks_agree_with_the_flat_picture() -> None:
    """Everything that is drawn in one colour on a plain ground is where the mask says."""
    who = replace(Identity.sample(3), beard="none", glasses="none", hair_style="short")
    flat, (mask,) = next(render(who, still(), size=SIZE, style="flat")).astype(int), masks(who, still(), SIZE)
    for name in ("background", "hair"):
        region = flat[mask == label(name)]
        assert (np.abs(region - np.median(region, axis=0)).max(axis=1) < 6).mean() > 0.9, name
    assert (np.abs(flat - flat[0, 0]).max(axis=2)[mask != label("background")] > 4).mean() > 0.97


def test_closed_eyes_beards_and_open_mouths_are_seen() -> None:
    who = replace(Identity.sample(1), beard="full", hair_style="short")
    (rest,), (moved,) = masks(who, still(), SIZE), masks(who, still(jaw=1, blink_left=1, blink_right=1), SIZE)
    assert (rest == label("eyes")).sum() > 100
    assert not (moved == label("eyes")).any()
    assert (moved == label("mouth")).sum() > 2 * (rest == label("mouth")).sum()
    assert (rest == label("beard")).sum() > 200
    assert not (next(masks(replace(who, beard="stubble"), still(), SIZE)) == label("beard")).any()
    with pytest.raises(OptionError, match=f"{SMALLEST} or more"):
        masks(who, still(), SMALLEST - 1)


def test_head_rotations_turn_the_nose_as_the_performance_says() -> None:
    what = Performance.sample(3, 40)
    turned = head_rotation(what)
    assert (turned.shape, turned.dtype) == ((40, 3, 3), np.float32)
    np.testing.assert_allclose(turned @ turned.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (40, 3, 3)), atol=1e-5)
    forward = np.array([0, 0, 1])
    assert (head_rotation(still(yaw=20))[0] @ forward)[0] == pytest.approx(np.sin(np.radians(20)), abs=1e-5)
    assert (head_rotation(still(pitch=10))[0] @ forward)[1] == pytest.approx(np.sin(np.radians(10)), abs=1e-5)
    assert (head_rotation(still(roll=10))[0] @ (1, 0, 0))[1] == pytest.approx(np.sin(np.radians(10)), abs=1e-5)


def test_the_truth_file_holds_everything(tmp_path: Path) -> None:
    who, what = Identity.sample(4), Performance.sample(4, 3)
    save_truth(tmp_path / "clip.npz", who, what, 96, fps=12.5)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.npz"]
    with np.load(tmp_path / "clip.npz") as stored:
        for field in fields(what):
            assert np.array_equal(stored[field.name], getattr(what, field.name))
        assert np.array_equal(stored["five_points"], five_points(who, what, 96))
        assert np.array_equal(stored["head_rotation"], head_rotation(what))
        assert np.array_equal(stored["masks"], np.stack(list(masks(who, what, 96))))
        assert tuple(stored["mask_labels"]) == MASK_LABELS
        assert json.loads(str(stored["identity"])) == json.loads(json.dumps(asdict(who)))
        assert float(stored["fps"]) == 12.5
    with pytest.raises(PortraitError, match="does not exist"):
        save_truth(tmp_path / "no" / "clip.npz", who, what, 96)


@pytest.fixture
def run(run: Run) -> Run:
    """`hp-portrait faces` with these arguments: exit code, stdout, stderr."""
    return partial(run, "faces")


def test_faces_writes_a_clip_and_its_truth(run: Run, tmp_path: Path) -> None:
    given = ("--seed", 7, "--frames", 5, "--size", 96, "--fps", 12.5, "--script", "nod", "--style", "flat", "-o", tmp_path / "clip.mp4")
    code, out, err = run(*given, "--json")
    assert code == 0, err
    assert json.loads(out) == {
        "output": str(tmp_path / "clip.mp4"),
        "truth": str(tmp_path / "clip.npz"),
        "frames": 5,
        "fps": 12.5,
        "size": [96, 96],
        "style": "flat",
    }
    info = probe(tmp_path / "clip.mp4")
    assert (info.frames, float(info.fps), info.width, info.height) == (5, 12.5, 96, 96)
    expected = list(render(Identity.sample(7), SCRIPTS["nod"](5, 12.5), size=96, style="flat"))
    assert np.abs(np.stack(list(read_frames(tmp_path / "clip.mp4"))).astype(int) - expected).mean() < 6
    with np.load(tmp_path / "clip.npz") as truth:
        assert np.array_equal(truth["pitch"], SCRIPTS["nod"](5, 12.5).pitch)
        assert truth["masks"].shape == (5, 96, 96)


def test_faces_takes_a_performance_by_number(run: Run, tmp_path: Path) -> None:
    for options, seed in (((), 3), (("--performance-seed", 8), 8)):
        code, out, err = run("--seed", 3, "--frames", 2, "--size", 64, *options, "-o", tmp_path / "clip.mkv")
        assert code == 0, err
        assert out.startswith(f"{tmp_path / 'clip.mkv'}: 2 frames of 64x64 at 25 frames/s; truth in ")
        with np.load(tmp_path / "clip.npz") as truth:
            assert np.array_equal(truth["yaw"], Performance.sample(seed, 2).yaw)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", 20), "64 or more"),
        (("--frames", 0), "0 frames"),
        (("--fps", 0), "0.0 frames a second"),
        (("--seed", -1), "numbered from 0"),
        (("--script", "nod", "--performance-seed", 2), "not both"),
        (("-o", "clip.gif"), ".gif is not one of"),
    ],
)
def test_faces_refuses_what_it_cannot_do(options: tuple[object, ...], message: str, run: Run, tmp_path: Path) -> None:
    given = [str(tmp_path / option) if option == "clip.gif" else option for option in options]
    code, out, err = run(*(() if "-o" in given else ("-o", tmp_path / "clip.mp4")), *given)
    assert (code, out) == (1, ""), err
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
