"""`hp-portrait evaluate --manifest`: what is judged, what is refused, what goes on after a stop, and what the report holds."""

from __future__ import annotations

import base64
import csv
import json
import re
from collections.abc import Callable
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hp_core.demo.world import HeldOutPair
from hp_core.errors import OptionError, PortraitError
from hp_core.evaluation import scoring
from hp_core.evaluation.from_manifest import evaluate_manifest
from hp_core.evaluation.judgement import Judgement
from hp_core.evaluation.manifest import Row, read_manifest, write_manifest
from hp_core.evaluation.media import Clip
from hp_core.evaluation.metrics.psnr import frame_psnr
from hp_core.evaluation.metrics.registry import NAMES, PAIR_METRICS, build_metrics, check_names
from hp_core.evaluation.metrics.toolbox import Toolbox
from hp_core.evaluation.pairs import check_pairs
from hp_core.evaluation.readings import MotionReader
from hp_core.evaluation.statistics import paired_difference
from hp_core.progress import Notice, result
from hp_core.video import VideoWriter, read_frames
from tests.conftest import Run
from tests.evaluation.stand_ins import I3d, Inception, save_script

SIZE, FRAMES = 64, 20
QUICK = ("psnr", "ssim")


def video(path: Path, frames: np.ndarray, fps: Fraction = Fraction(25)) -> Path:
    with VideoWriter(path, fps=fps, crf=1) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def clip(seed: int, frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """Smooth colours that move, without any face."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.arange(size), np.arange(size))
    waves = [np.sin(across / rng.uniform(6, 20) + down / rng.uniform(6, 20) + rng.uniform(0, 6)) for _ in range(3)]
    base = 110 + 80 * np.stack(waves, axis=-1)
    return np.stack([np.roll(base, shift, axis=1) for shift in range(frames)]).astype(np.uint8)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two pairs, judged of two systems: `near`, 2 grey levels off in the first pair and 4 in the second, and `far`, 20 and 40."""
    rows = []
    for pair in range(2):
        truth = clip(pair)
        np.save(tmp_path / f"truth{pair}.npy", truth)
        for system, off in (("near", 2), ("far", 20)):
            np.save(tmp_path / f"{system}{pair}.npy", truth + np.uint8(off * (pair + 1)))
            rows.append({"pair": f"p{pair}", "system": system, "result": f"{system}{pair}.npy", "truth": f"truth{pair}.npy"})
    return manifest(tmp_path / "m.csv", rows)


def manifest(path: Path, rows: list[dict[str, Any]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def judge(path: Path, out: Path, **options: Any) -> Judgement:
    return result(evaluate_manifest(path, out, **{"metrics": QUICK, "device": "cpu"} | options))


def psnr_of(off: float) -> float:
    return float(20 * np.log10(255 / off))


# What is judged


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


# What is refused


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


# The report


class Page(HTMLParser):
    """What a page holds: its tags and the addresses in them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_one_file_with_playing_videos(world: Path, tmp_path: Path) -> None:
    judge(world, tmp_path / "out")
    text = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.sources, "the videos"
    assert all(source.startswith("data:video/mp4;base64,") for source in page.sources)
    assert {"table", "video", "svg", "circle", "path"} <= set(page.tags)
    assert not {"script", "link", "img"} & set(page.tags)
    assert page.tags.count("video") == 4, "best and worst of two pairs, of two systems"
    (tmp_path / "film.mp4").write_bytes(base64.b64decode(page.sources[0].partition(",")[2]))
    frames = list(read_frames(tmp_path / "film.mp4"))
    assert (len(frames), frames[0].shape) == (FRAMES, (192, 2 * 192, 3))  # result and truth; the best pair of `near`
    shown = [np.asarray(Image.fromarray(f).resize((192, 192), Image.Resampling.BICUBIC)) for f in (clip(0)[5] + np.uint8(2), clip(0)[5])]
    assert frame_psnr(frames[5][None], np.hstack(shown)[None])[0] > 25
    for part in ("near, best: pair p0", "far, worst: pair p1", "protocol: cross-reenactment", "window 11x11 Gaussian"):
        assert part in text


def test_tables_have_the_papers_columns_and_units(world: Path, tmp_path: Path, reader: MotionReader) -> None:
    del reader
    truth = HeldOutPair(0).truth(4, 128)
    np.save(tmp_path / "t.npy", truth)
    np.save(tmp_path / "r.npy", np.roll(truth, 8, axis=2))
    rows = [{"driving": "t.npy", "result": "r.npy"}]
    done = judge(manifest(tmp_path / "self.csv", rows), tmp_path / "self", protocol="self", metrics=("lmd_side", "psnr", "fvd"))
    text = (tmp_path / "self/report.md").read_text(encoding="utf-8")
    assert "## Table 1, self-reenactment" in text
    assert "| method | LMD (1e-3) ↓ | FID-VID ↓ | FVD ↓ | PSNR ↑ | SSIM ↑ | LPIPS ↓ |" in text
    assert "| method | identity similarity (1e-1) ↑ | FID-VID ↓ | FVD ↓ | LMD (1e-3) ↓ |" in text
    side = done.systems["result"]["metrics"]["lmd_side"]["mean"]
    assert side == pytest.approx(100 * 8 / 128, abs=0.6), "8 pixels of 128, in percent"
    assert f"| result | {10 * side:.2f} | - | - |" in text
    lines = (tmp_path / "self/report.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",")[:4] == ["pair", "system", "frames", "error"]


def test_the_command_prints_tables_or_json(world: Path, tmp_path: Path, run: Run) -> None:
    code, out, error = run("evaluate", "--manifest", world, "--metrics", "psnr, ssim", "-o", tmp_path / "out")
    assert (code, "PSNR (dB) ↑" in out, "Differences on the same pairs" in out) == (0, True, True), error
    code, out, _ = run("evaluate", "--manifest", world, "--metrics", "psnr,ssim", "-o", tmp_path / "out", "--json")
    assert json.loads(out)["systems"]["near"]["pairs"] == 2
    for arguments, message in (
        (("--manifest", world), "Add -o FOLDER"),
        (("--manifest", world, "--swap", "-o", tmp_path / "x"), "--swap is of the drawn world"),
        (("--manifest", world, "--metrics", "mos", "-o", tmp_path / "x"), "'mos' is not a metric"),
        (("--manifest", tmp_path / "none.csv", "-o", tmp_path / "x"), "none.csv cannot be read"),
    ):
        code, _, error = run("evaluate", *arguments)
        assert code == 1
        assert message in error


@pytest.mark.slow
def test_results_are_made_kept_and_judged(demo_weights: Path, tmp_path: Path, reader: MotionReader) -> None:
    """Self-reenactment of a drawn person with untrained weights: made once, and the truth cut to the square that the result shows."""
    del reader
    pair = HeldOutPair(0)
    video(tmp_path / "d.mp4", pair.truth(3, 128), Fraction(25, 2))
    path = manifest(tmp_path / "m.csv", [{"pair": "a", "driving": "d.mp4"}])
    options = {"protocol": "self", "weights": demo_weights, "steps": 1, "metrics": ("psnr", "lmd_side")}
    done = judge(path, tmp_path / "out", **options)
    (made,) = (tmp_path / "out/results").glob("*.mp4")
    written = made.stat().st_mtime_ns
    assert done.settings["made"]["steps"] == 1
    assert done.systems[demo_weights.name]["metrics"]["psnr"]["mean"] < 30
    (row,) = read_manifest(tmp_path / "out/manifest.json", "self")
    assert row.truth_square is not None
    assert row.result == made.resolve()
    assert judge(path, tmp_path / "out", **options).rows == done.rows
    assert made.stat().st_mtime_ns == written
    with pytest.raises(PortraitError, match=r"other settings: made\.seed was 0, now 1"):
        judge(path, tmp_path / "out", **options, seed=1)


def test_the_registry_names_every_metric_once() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert check_names(["psnr", "psnr", "all"])[0] == "psnr"
    assert sorted(check_names(["all"])) == sorted(NAMES)
    assert set(PAIR_METRICS) < set(NAMES)
