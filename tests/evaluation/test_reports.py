"""`hp-portrait evaluate --manifest`: what the report holds, and results made on the way."""

from __future__ import annotations

import base64
import json
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hp_core.demo.world import HeldOutPair
from hp_core.errors import PortraitError
from hp_core.evaluation.manifest import read_manifest
from hp_core.evaluation.metrics.psnr import frame_psnr
from hp_core.evaluation.metrics.registry import NAMES, PAIR_METRICS, check_names
from hp_core.evaluation.readings import MotionReader
from hp_core.video import read_frames
from tests.conftest import Run
from tests.evaluation.manifests import FRAMES, clip, judge, manifest, video


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


@pytest.mark.slow
def test_the_command_prints_tables_or_json(world: Path, tmp_path: Path, run: Run) -> None:
    code, out, error = run("evaluate", "--manifest", world, "--metrics", "psnr, ssim", "-o", tmp_path / "out")
    assert (code, "PSNR (dB) ↑" in out, "Differences on the same pairs" in out) == (0, True, True), error
    code, out, _ = run("evaluate", "--manifest", world, "--metrics", "psnr,ssim", "-o", tmp_path / "out", "--json")
    assert json.loads(out)["systems"]["near"]["pairs"] == 2
    for arguments, message in (
        (("--manifest", world), "Add -o FOLDER"),
        (("--manifest", world, "--swap", "-o", tmp_path / "x"), "--swap is of the drawn world"),
        (("--swap", "--translation", "released"), "--translation released is of the held-out pairs alone"),
        (("--swap", "--pose", "paper"), "--pose paper shows one driver's skeleton"),
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
