"""`hp-portrait evaluate --manifest`: what is judged."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hp_core.demo.world import HeldOutPair
from hp_core.evaluation.from_manifest import evaluate_manifest
from hp_core.evaluation.manifest import Row, read_manifest, write_manifest
from hp_core.evaluation.media import Clip
from hp_core.evaluation.metrics.psnr import frame_psnr
from hp_core.evaluation.metrics.registry import NAMES, build_metrics, check_names
from hp_core.evaluation.metrics.toolbox import Toolbox
from hp_core.evaluation.readings import MotionReader
from hp_core.evaluation.statistics import paired_difference
from hp_core.progress import Notice
from tests.evaluation.manifests import FRAMES, SIZE, clip, judge, manifest, psnr_of, video
from tests.evaluation.stand_ins import I3d, Inception, save_script


def test_means_errors_and_differences_are_those_of_the_pairs(world: Path, tmp_path: Path) -> None:
    done = judge(world, tmp_path / "out")
    near, far = [psnr_of(2), psnr_of(4)], [psnr_of(20), psnr_of(40)]
    figure = done.systems["near"]["metrics"]["psnr"]
    assert figure["mean"] == pytest.approx(np.mean(near))
    assert figure["standard_error"] == pytest.approx(np.std(near, ddof=1) / 2**0.5, rel=1e-5)
    assert (figure["pairs"], done.systems["near"]["frames"], done.systems["near"]["failed"]) == (2, 2 * FRAMES, [])
    difference = next(d for d in done.differences if d["metric"] == "psnr")
    assert (difference["one"], difference["other"], difference["pairs"]) == ("near", "far", 2)
    assert difference["mean"] == pytest.approx(np.mean(near) - np.mean(far))
    assert difference["low"] == pytest.approx(20) == difference["high"], "each pair differs by the same 20 dB"
    assert [row["psnr"] for row in done.rows] == pytest.approx([near[0], far[0], near[1], far[1]])


def test_the_bootstrap_is_scipys_and_pairs_pairs() -> None:
    from scipy.stats import bootstrap

    rng = np.random.default_rng(0)
    hard = rng.normal(0, 50, 40)
    one, other = hard + rng.normal(1, 1, 40), hard + rng.normal(0, 1, 40)
    found = paired_difference([*one, 5.0, None], [*other, None, 5.0])
    assert found["pairs"] == 40
    interval = bootstrap((one - other,), np.mean, n_resamples=9999, method="basic", rng=1).confidence_interval
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high), abs=0.06)
    assert found["low"] > 0, "that pairs are hard or easy plays no part"
    assert paired_difference([1.0], [3.0]) == {"mean": -2, "low": None, "high": None, "pairs": 1}


def test_self_reenactment_is_judged_against_the_clip_itself_without_its_first_frame(tmp_path: Path) -> None:
    driving, made = clip(0), clip(0)
    made[0] = 0  # the frame that is the portrait itself
    made[1:] += 10
    np.save(tmp_path / "d.npy", driving)
    np.save(tmp_path / "r.npy", made)
    done = judge(manifest(tmp_path / "m.csv", [{"driving": "d.npy", "result": "r.npy"}]), tmp_path / "out", protocol="self")
    assert done.systems["result"]["metrics"]["psnr"]["mean"] == pytest.approx(psnr_of(10))
    assert done.systems["result"]["frames"] == FRAMES - 1


def test_the_part_of_the_truth_that_the_result_shows(tmp_path: Path) -> None:
    truth = clip(0, size=96)
    np.save(tmp_path / "t.npy", truth)
    np.save(tmp_path / "r.npy", truth[:, 8:72, 16:80] + np.uint8(5))
    rows = [{"result": "r.npy", "truth": "t.npy", "truth_square": "16 8 80 72"}]
    done = judge(manifest(tmp_path / "m.csv", rows), tmp_path / "out")
    assert done.systems["result"]["metrics"]["psnr"]["mean"] == pytest.approx(psnr_of(5))


def test_videos_folders_and_arrays_hold_the_same_clip(tmp_path: Path) -> None:
    frames = clip(3, frames=6)
    (tmp_path / "folder").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"folder/{number:03d}.png")
    np.save(tmp_path / "bytes.npy", frames)
    np.save(tmp_path / "floats.npy", (frames / 255).astype(np.float32))
    for path in ("folder", "bytes.npy", "floats.npy"):
        opened = Clip.open(tmp_path / path)
        assert (opened.frames, opened.width, opened.height, opened.fps) == (6, SIZE, SIZE, None)
        np.testing.assert_array_equal(np.stack(list(opened.read(2, 3))), frames[2:5])
    opened = Clip.open(video(tmp_path / "v.mp4", frames, Fraction(30000, 1001)))
    assert (opened.frames, opened.fps) == (6, Fraction(30000, 1001))
    assert frame_psnr(np.stack(list(opened.read(2, 3))), frames[2:5]).min() > 30


def test_json_and_csv_manifests_say_the_same(world: Path, tmp_path: Path) -> None:
    rows = read_manifest(world, "cross")
    write_manifest(tmp_path / "again.json", rows)
    assert read_manifest(tmp_path / "again.json", "cross") == [
        Row(r.pair, r.system, result=r.result.resolve(), truth=r.truth.resolve()) for r in rows if r.result and r.truth
    ]


def test_metrics_on_sets_are_over_all_pairs_of_a_system(world: Path, tmp_path: Path) -> None:
    files = {"inception": save_script(Inception(), tmp_path / "inc.pt"), "i3d": save_script(I3d(), tmp_path / "i3d.pt")}
    done = judge(world, tmp_path / "out", metrics=("fid", "fvd"), files=files, fvd={"length": 10, "stride": 10})
    for system, off in (("near", 2), ("far", 20)):
        expected = 3 * (1.5 * off) ** 2  # the means of the three channels are off by (1 + 2) / 2 times `off`, deviations by nothing
        assert done.systems[system]["metrics"]["fid"]["mean"] == pytest.approx(expected, rel=0.2)
        assert done.systems[system]["metrics"]["fvd"]["mean"] == pytest.approx(6 * (1.5 * off / 127.5) ** 2, rel=0.3)
    assert done.systems["near"]["metrics"]["fvd"] | {"mean": 0} == {"mean": 0, "standard_error": None, "pairs": 2}
    assert done.settings["metrics"]["fvd"]["stride"] == 10


@pytest.mark.slow
def test_faces_are_counted_and_what_needs_them_is_a_blank(reader: MotionReader, tmp_path: Path) -> None:
    del reader  # skips where MediaPipe's model is absent
    truth = HeldOutPair(0).truth(6, 128)
    some, none = truth.copy(), np.full_like(truth, 90)
    some[[1, 4]] = 90
    rows = []
    for name, frames in (("truth", truth), ("some", some), ("none", none)):
        np.save(tmp_path / f"{name}.npy", frames)
        rows.append({"pair": "a", "system": name, "result": f"{name}.npy", "truth": "truth.npy", "driving": "truth.npy"})
    done = judge(manifest(tmp_path / "m.csv", rows), tmp_path / "out", metrics=("lmd_px", "psnr", "motion_head"))
    assert {system: facts["faces"]["result"] for system, facts in done.systems.items()} == {"truth": [6, 6], "some": [4, 6], "none": [0, 6]}
    values = {system: facts["metrics"]["lmd_px"]["mean"] for system, facts in done.systems.items()}
    assert values == {"truth": 0, "some": 0, "none": None}
    assert "no frame shows a face" in done.systems["none"]["metrics"]["lmd_px"]["why"]
    assert done.systems["none"]["metrics"]["psnr"]["mean"] < 20
    report = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert "| frames of the result without a face | 0 of 6 | 2 of 6 | 6 of 6 |" in report
    assert "lmd_px of none: no frame shows a face" in report


def test_a_metric_that_cannot_run_is_a_blank_with_its_reason(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hp_core.evaluation.metrics.toolbox.default_places", lambda name: [tmp_path / "nowhere" / name])
    events = list(evaluate_manifest(world, tmp_path / "out", metrics=("psnr", "lpips_alex", "fvd", "fid_vid", "apd", "gaze"), device="cpu"))
    notices = " ".join(event.text for event in events if isinstance(event, Notice))
    for part in ("alexnet-owt-7be5be79.pth is not there", "hp-portrait download DIR --for evaluation", "kenshohara/3D-ResNets-PyTorch"):
        assert part in notices
    stored = json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))
    assert set(stored["blanks"]) >= {"lpips_alex", "fvd", "fid_vid", "apd", "gaze"}
    assert {name for row in stored["rows"] for name, value in row.items() if value == 0 and name in NAMES} == set(), "a blank is no zero"
    assert "| fvd | - | - |" in (tmp_path / "out/report.md").read_text(encoding="utf-8")


def test_every_metric_says_what_it_is(tmp_path: Path) -> None:
    """All that can be built here: name, direction, inputs and settings."""
    files = {"inception": save_script(Inception(), tmp_path / "inc.pt"), "i3d": save_script(I3d(), tmp_path / "i3d.pt")}
    with Toolbox([], against="truth", device=torch.device("cpu"), files=files) as tools:
        built = build_metrics(check_names(["all"]), tools, {"result", "truth", "driving", "portrait"})
    assert set(NAMES) == {metric.name for metric in built.all} | set(built.blanks)
    for metric in built.all:
        assert metric.better in ("higher", "lower")
        assert "result" in metric.inputs
        assert metric.title
        assert metric.settings
        json.dumps(metric.settings)
    assert {"fid", "fvd", "psnr"} <= set(built.settings)
