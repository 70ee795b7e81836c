"""`hp-portrait evaluate --manifest`: what is refused, and what goes on after a stop."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hp_core.errors import OptionError, PortraitError
from hp_core.evaluation import scoring
from hp_core.evaluation.from_manifest import evaluate_manifest
from hp_core.evaluation.manifest import read_manifest
from hp_core.evaluation.pairs import check_pairs
from tests.evaluation.manifests import QUICK, clip, judge, manifest, video


def problem(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> str:
    with pytest.raises(PortraitError) as caught:
        judge(manifest(tmp_path / "bad.csv", rows), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists(), "nothing was begun"
    return str(caught.value)


def test_everything_wrong_with_a_manifest_is_told_at_once(world: Path, tmp_path: Path) -> None:
    rows = [{"result": "gone.npy", "truth": "truth0.npy"}, {"result": "near0.npy", "truth": "lost.mp4"}, {"pair": "x"}]
    text = problem(tmp_path, rows)
    assert "Nothing was run" in text
    assert re.search(r"row 1: the result .*gone\.npy is not there; row 2: the truth .*lost\.mp4 is not there; row 3: it has neither", text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: np.save(t / "r.npy", clip(0, frames=7)), r"the clips have 7 \(result\), 20 \(truth\) frames.*--fit"),
        (lambda t: np.save(t / "r.npy", clip(0, size=48)), r"the result is 48x48, the truth 64x64.*truth_square"),
        (
            lambda t: np.save(t / "r.npy", np.zeros((20, 64, 64))),
            r"r\.npy is float64 \(20, 64, 64\); a clip is \(frames, height, width, 3\)",
        ),
        (lambda t: (t / "r.npy").write_bytes(b"no array"), r"r\.npy is not an array NumPy can read"),
    ],
)
def test_clips_that_do_not_fit_each_other_are_refused(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    np.save(tmp_path / "t.npy", clip(0))
    make(tmp_path)
    assert re.search(message, problem(tmp_path, [{"result": "r.npy", "truth": "t.npy"}]))


def test_frame_rates_must_agree_even_where_clips_are_fitted(tmp_path: Path) -> None:
    video(tmp_path / "r.mp4", clip(0, frames=5), Fraction(25))
    video(tmp_path / "t.mp4", clip(0, frames=5), Fraction(30))
    for fit in (False, True):
        assert "25 (result), 30 (truth) frames/s; convert" in problem(tmp_path, [{"result": "r.mp4", "truth": "t.mp4"}], fit=fit)


def test_fitting_cuts_to_the_shortest_and_resizes_the_truth(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", clip(0))
    small = np.stack([np.asarray(Image.fromarray(frame).resize((48, 48), Image.Resampling.BICUBIC)) for frame in clip(0, frames=7)])
    np.save(tmp_path / "r.npy", small)
    done = judge(manifest(tmp_path / "m.csv", [{"result": "r.npy", "truth": "t.npy"}]), tmp_path / "out", fit=True)
    assert (done.systems["result"]["frames"], done.systems["result"]["metrics"]["psnr"]["mean"]) == (7, 100)
    assert "fit: clips of unequal length were cut" in (tmp_path / "out/report.md").read_text(encoding="utf-8")


def test_one_frame_is_judged_and_no_frame_of_self_reenactment_is_left(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", clip(0, frames=1))
    rows = [{"driving": "one.npy", "result": "one.npy"}]
    assert "none is left to judge; give clips of 2 frames" in problem(tmp_path, rows, protocol="self")
    done = judge(manifest(tmp_path / "m.csv", [{"truth": "one.npy", "result": "one.npy"}]), tmp_path / "out")
    assert done.systems["result"]["metrics"]["psnr"]["mean"] == 100


def test_a_frame_with_nan_costs_its_pair_and_nothing_else(tmp_path: Path) -> None:
    truth = clip(0) / 255
    broken = truth.copy()
    broken[17, 3, 4, 1] = np.nan
    for name, frames in (("t", truth), ("good", truth), ("bad", broken)):
        np.save(tmp_path / f"{name}.npy", frames.astype(np.float32))
    path = manifest(tmp_path / "m.csv", [{"pair": name, "result": f"{name}.npy", "truth": "t.npy"} for name in ("bad", "good")])
    done = judge(path, tmp_path / "out")
    (failed,) = done.systems["result"]["failed"]
    assert failed["pair"] == "bad"
    assert "bad.npy: frame 17 has 1 values that are NaN or infinite" in failed["error"]
    assert done.systems["result"]["metrics"]["psnr"] == {"mean": 100, "standard_error": None, "pairs": 1}
    report = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert "| pairs that failed | 1 |" in report
    np.save(tmp_path / "bad.npy", truth.astype(np.float32))
    assert judge(path, tmp_path / "out").systems["result"]["failed"] == [], "mended and judged again"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("result,turth\nr.npy,t.npy\n", "m.csv", "row 1: 'turth' is not a column"),
        ("result,truth\n", "m.csv", "names no pair"),
        ('{"rows": []}', "m.json", "neither a list of objects nor"),
        ("[1", "m.json", "is not JSON"),
        ("", "m.txt", "ends in '.txt'"),
        ("pair,result\na,m.csv\na,m.csv\n", "m.csv", "row 2: the pair 'a' of the system 'result' is there twice"),
        ("result,truth,truth_square\nm.csv,m.csv,1 2 3\n", "m.csv", "truth_square is '1 2 3'; give four whole numbers"),
        ("result,truth,truth_square\nm.csv,m.csv,9 2 3 8\n", "m.csv", "which is empty"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_explained(tmp_path: Path, text: str, name: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(PortraitError, match=re.escape(message)):
        read_manifest(tmp_path / name, "cross")


def test_names_and_options_are_refused_before_anything_is_read(world: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"metrics": ("psnr", "mos")}, "'mos' is not a metric; choose of: fid, fid_vid"),
        ({"metrics": ()}, "No metric is named"),
        ({"protocol": "both"}, "protocol is 'both'"),
        ({"steps": 4}, "steps is 4, and every row"),
        ({"device": "nonsense"}, "device is 'nonsense', which torch cannot use here"),
    ):
        with pytest.raises(OptionError, match=message):
            judge(world, tmp_path / "out", **options)
    with pytest.raises(OptionError, match=r"1 of 1 rows .* have no result, the pair 'q' first, and no weights"):
        judge(manifest(tmp_path / "n.csv", [{"pair": "q", "portrait": "m.csv", "driving": "truth0.npy"}]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# A stopped run


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_comes_to_the_same_report(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judge(world, tmp_path / "whole").facts()
    stage = evaluate_manifest(world, tmp_path / "out", metrics=QUICK, device="cpu")
    while len((tmp_path / "out/scores.jsonl").read_text().splitlines() if (tmp_path / "out/scores.jsonl").exists() else "") < 3:
        next(stage)
    stage.close()
    assert not (tmp_path / "out/report.json").exists()
    with (tmp_path / "out/scores.jsonl").open("a") as file:
        file.write('{"key": "cut o')  # as a killed process leaves it
    scored = []
    original = scoring._score
    monkeypatch.setattr(scoring, "_score", lambda pair, *rest: scored.append(pair) or original(pair, *rest))
    again = judge(world, tmp_path / "out").facts()
    assert len(scored) == 2, "of four pairs two were there"
    assert again == whole
    assert all(json.loads(line) for line in (tmp_path / "out/scores.jsonl").read_text().splitlines())
    judge(world, tmp_path / "out")
    assert len(scored) == 2


def test_other_settings_do_not_go_on_from_there(world: Path, tmp_path: Path) -> None:
    judge(world, tmp_path / "out", metrics=("psnr",))
    before = (tmp_path / "out/scores.jsonl").read_bytes()
    with pytest.raises(PortraitError, match=r"other settings: metrics\.ssim was null, now .*Name another folder"):
        judge(world, tmp_path / "out", metrics=("psnr", "ssim"))
    with pytest.raises(PortraitError, match="other settings: fit was false, now true"):
        judge(world, tmp_path / "out", metrics=("psnr",), fit=True)
    assert (tmp_path / "out/scores.jsonl").read_bytes() == before


def test_a_result_that_changed_is_judged_again(world: Path, tmp_path: Path) -> None:
    judge(world, tmp_path / "out")
    np.save(tmp_path / "near0.npy", clip(0))
    assert judge(world, tmp_path / "out").rows[0]["psnr"] == 100


def test_memory_holds_parts_not_clips(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", clip(0, frames=70))
    rows = read_manifest(manifest(tmp_path / "m.csv", [{"result": "t.npy", "truth": "t.npy"}]), "cross")
    (pair,) = check_pairs(tmp_path / "m.csv", rows, "cross", fit=False)
    parts = [(part.start, len(part)) for part in pair.parts()]
    assert parts == [(0, 16), (16, 16), (32, 16), (48, 16), (64, 6)]
