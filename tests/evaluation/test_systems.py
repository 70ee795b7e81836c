"""Held-out pairs, baselines and what the runner makes of them: from a perfect system to one that fails."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hp_core.demo.world import HELD_OUT_SEED, TRAINING_SEEDS, HeldOutPair, held_out_pairs, portrait_performance
from hp_core.errors import FaceError, OptionError, PortraitError
from hp_core.evaluation.baselines import LandmarkWarp, staring, still
from hp_core.evaluation.case import Answer, Case, from_pixels, truth_itself
from hp_core.evaluation.clip_readings import VALUES, read_clip
from hp_core.evaluation.demo import demo_cases
from hp_core.evaluation.demo_report import Evaluation, score_row, score_table, write_report
from hp_core.evaluation.judge import Judge
from hp_core.evaluation.metrics.psnr import frame_psnr
from hp_core.evaluation.metrics.resize import squashed
from hp_core.evaluation.readings import MotionReader
from hp_core.evaluation.runner import judge_systems
from hp_core.evaluation.statistics import mean_and_error
from hp_core.evaluation.strips import StripFolder, draw_strip
from hp_core.evaluation.summary import differences, summarise
from hp_core.progress import Progress, result

pytest.importorskip("skimage", reason="the extra evaluation is not installed")
SIZE, FRAMES = 128, 6


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(demo_cases(2, FRAMES, SIZE))


class Colours:
    """An encoder whose embedding is the mean colour of the face, its grey taken away."""

    def embed(self, face: np.ndarray) -> np.ndarray:
        mean = face.mean(axis=(0, 1)) - face.mean()
        return np.asarray(mean / np.linalg.norm(mean), np.float32)


# The world


def test_held_out_pairs_share_nobody_with_training_or_each_other() -> None:
    pairs = held_out_pairs(50)
    people = [seed for pair in pairs for seed in (pair.portrait_seed, pair.driver_seed)]
    assert len(set(people)) == 100
    assert len({pair.performance_seed for pair in pairs}) == 50
    assert min(people) == min(pair.performance_seed for pair in pairs) == HELD_OUT_SEED == TRAINING_SEEDS.stop
    assert held_out_pairs(3) == pairs[:3]
    with pytest.raises(OptionError, match="pairs is 0"):
        held_out_pairs(0)
    with pytest.raises(OptionError, match="is -1"):
        HeldOutPair(-1)


def test_portraits_are_about_at_rest() -> None:
    limits = {"yaw": 8, "pitch": 5, "roll": 4, "shift_x": 0.02, "shift_y": 0.02, "gaze_x": 0.2, "gaze_y": 0.2, "brows": 0.2, "smile": 0.4}
    poses = [portrait_performance(seed) for seed in range(200)]
    for field in fields(poses[0]):
        values = np.array([getattr(pose, field.name)[0] for pose in poses])
        if field.name == "scale":
            assert (values.min() >= 0.97, values.max() <= 1.03) == (True, True)
        else:
            assert np.abs(values).max() <= limits.get(field.name, 0), field.name
            assert (np.ptp(values) > 0.5 * limits.get(field.name, 0)) == (field.name in limits), field.name
    assert np.array_equal(portrait_performance(3).yaw, portrait_performance(3).yaw)


def test_a_case_is_the_driver_and_the_truth_of_one_performance(cases: list[Case]) -> None:
    for case in cases:
        assert (case.portrait.shape, case.portrait.dtype) == ((SIZE, SIZE, 3), np.uint8)
        assert case.driver_portrait.shape == (2 * SIZE, 2 * SIZE, 3), "driving pictures are larger than the result"
        assert (case.truth.shape, case.driving.shape) == ((FRAMES, SIZE, SIZE, 3), (FRAMES, 2 * SIZE, 2 * SIZE, 3))
        assert frame_psnr(case.driving[:, ::2, ::2], case.truth).max() < 20, "two people"
        assert (case.face_boxes >= 0).all()
        assert (case.face_boxes <= SIZE).all()
        extent = (case.face_boxes[:, 2:] - case.face_boxes[:, :2]) / SIZE
        assert (extent.min() > 0.3, extent.max() < 0.75) == (True, True)
    longer = next(demo_cases(1, FRAMES + 2, SIZE))
    assert np.array_equal(longer.truth[:FRAMES], cases[0].truth)


# The baselines


def test_still_repeats_the_portrait(cases: list[Case]) -> None:
    frames = still(cases[0].portrait, cases[0].driving, 0)
    assert (frames == cases[0].portrait).all()
    assert frames.shape == cases[0].truth.shape


def test_warp_of_a_portrait_by_itself_is_the_portrait(cases: list[Case], reader: MotionReader) -> None:
    case = replace(cases[0], driver_portrait=cases[0].portrait, driving=cases[0].portrait[None])
    answer = LandmarkWarp(reader)(case)
    assert answer.held == 0
    assert frame_psnr(answer.frames, case.portrait[None])[0] > 40


def test_warp_comes_nearer_to_the_truth_than_still(cases: list[Case], reader: MotionReader) -> None:
    for case in cases:
        moved, unmoved = LandmarkWarp(reader)(case).frames, still(case.portrait, case.driving, 0)
        gain = frame_psnr(moved, case.truth, case.face_boxes) - frame_psnr(unmoved, case.truth, case.face_boxes)
        assert gain.mean() > 1
        borders = [frames[:, [0, -1]].astype(int) for frames in (moved, unmoved)]
        assert np.abs(borders[0] - borders[1]).max() <= 2, "the border stays"


def test_warp_keeps_the_last_frame_where_the_driver_is_gone(cases: list[Case], reader: MotionReader) -> None:
    driving = cases[0].driving.copy()
    driving[[0, 3]] = 128
    answer = LandmarkWarp(reader)(replace(cases[0], driving=driving))
    assert answer.held == 2
    assert np.array_equal(answer.frames[0], cases[0].portrait)
    assert np.array_equal(answer.frames[3], answer.frames[2])
    blind = LandmarkWarp(reader)(replace(cases[0], driver_portrait=np.full_like(cases[0].portrait, 128)))
    assert (blind.held, (blind.frames == cases[0].portrait).all()) == (FRAMES, True)


@pytest.mark.slow
def test_staring_is_the_truth_but_for_the_gaze() -> None:
    for case in demo_cases(2, 24, SIZE):
        frames = staring(case).frames
        assert frames.shape == case.truth.shape
        changed = np.abs(frames.astype(int) - case.truth).max(axis=-1) > 4
        assert changed.any()
        eyes = changed.any(axis=0).nonzero()
        assert np.ptp(eyes[0]) < SIZE / 4, "a band over the eyes"


# The runner


@pytest.mark.slow
def test_a_perfect_system_gets_perfect_scores_and_still_gets_none_for_motion(cases: list[Case], reader: MotionReader) -> None:
    truths = {case.index: case.truth for case in cases}
    systems = {"still": from_pixels(still), "perfect": from_pixels(lambda portrait, driving, seed: truths[seed].copy())}
    stage = judge_systems(iter(cases), systems, reader, total=2, identity=Colours())
    assert next(stage) == Progress("evaluate", 1, 4)
    verdicts = result(stage)
    assert [(verdict.pair, verdict.system) for verdict in verdicts] == [(0, "still"), (0, "perfect"), (1, "still"), (1, "perfect")]
    summary = summarise(verdicts)
    perfect = {name: figure["mean"] for name, figure in summary["perfect"]["scores"].items()}
    assert perfect["identity_portrait"] > perfect["identity_driver"]
    assert perfect["portrait_nearer"] == 1
    assert score_table(summary)[-2] == ["nearer to the portrait than to the driver (pairs)", "2 of 2", "2 of 2"]
    assert {name: perfect[name] for name in ("psnr", "psnr_face", "ssim", "landmarks", "detection", "flicker", "held")} == pytest.approx(
        {"psnr": 100, "psnr_face": 100, "ssim": 1, "landmarks": 0, "detection": 1, "flicker": 0, "held": 0}
    )
    still_scores = {name: figure["mean"] for name, figure in summary["still"]["scores"].items()}
    assert still_scores["psnr"] < 30
    assert (still_scores["flicker"], still_scores["detection"]) == (0, 1)
    assert still_scores["landmarks"] > 1
    for name in VALUES:
        own = summary["perfect"]["correlation"]["truth"][name]
        assert (own["pooled"], own["per_pair"]["mean"]) == pytest.approx((1, 1))
        assert summary["still"]["correlation"]["truth"][name]["per_pair"]["mean"] == 0


def test_whose_face_it_is_does_not_hang_on_whose_picture_is_finer(cases: list[Case], reader: MotionReader) -> None:
    """The driver, seen in twice as many pixels and then in as many as the result has, is one person."""

    class Detail:
        def embed(self, face: np.ndarray) -> np.ndarray:
            steps = np.array([0.05, np.abs(np.diff(face, axis=1)).mean()])
            return np.asarray(steps / np.linalg.norm(steps), np.float32)

    grain = np.random.default_rng(0).integers(0, 2, (1, 2 * SIZE, 2 * SIZE, 1)) * 40
    driving = np.clip(cases[0].driving.astype(int) + grain, 0, 255).astype(np.uint8)
    small = squashed(driving, SIZE)
    case = replace(cases[0], driving=driving)
    scores = Judge(case, reader, Detail()).verdict("driver", Answer(small)).scores  # type: ignore[arg-type]
    assert scores["identity_driver"] == pytest.approx(1, abs=1e-3)


def test_a_system_without_a_face_to_follow_stands_still_and_is_counted(cases: list[Case]) -> None:
    def blind(portrait: np.ndarray, driving: np.ndarray, seed: int) -> np.ndarray:
        raise FaceError("no face")

    answer = from_pixels(blind)(cases[0])
    assert (answer.held, (answer.frames == cases[0].portrait).all(), answer.frames.shape) == (FRAMES, True, cases[0].truth.shape)


def test_frames_unlike_the_truth_are_refused(cases: list[Case], reader: MotionReader) -> None:
    short = {"short": from_pixels(lambda portrait, driving, seed: driving[1:, ::2, ::2])}
    with pytest.raises(PortraitError, match=r"system 'short' answered pair 0 with uint8 \(5, 128, 128, 3\); the truth is uint8 \(6,"):
        result(judge_systems(cases, short, reader, total=2))


def test_a_clip_without_faces_is_read_as_such(reader: MotionReader, cases: list[Case]) -> None:
    clip = np.stack([cases[0].portrait, np.full_like(cases[0].portrait, 128), cases[0].portrait])
    read = read_clip(reader, clip)
    assert read.found.tolist() == [True, False, True]
    assert np.isnan(read.values["yaw"]).tolist() == [False, True, False]
    assert np.isnan(read.five_points[1]).all()
    np.testing.assert_array_equal(read.landmarks[0], read.landmarks[2])


# Summary and report


def test_means_leave_out_what_is_undefined() -> None:
    assert mean_and_error([1, None, 3]) == {"mean": 2, "standard_error": pytest.approx(1), "pairs": 2}
    assert mean_and_error([5]) == {"mean": 5, "standard_error": None, "pairs": 1}
    assert mean_and_error([None]) == {"mean": None, "standard_error": None, "pairs": 0}


def test_pooled_and_per_pair_correlation_differ_where_pairs_differ(cases: list[Case], reader: MotionReader) -> None:
    verdicts = result(judge_systems(cases, {"truth": truth_itself}, reader, total=2))
    for index, verdict in enumerate(verdicts):  # each pair follows backwards, at a level of its own
        verdict.readings["truth"]["yaw"] = 100.0 * index + np.arange(FRAMES)
        verdict.readings["result"]["yaw"] = 100.0 * index - np.arange(FRAMES)
        verdict.follows["truth"]["yaw"] = -1.0
    yaw = summarise(verdicts)["truth"]["correlation"]["truth"]["yaw"]
    assert yaw["per_pair"]["mean"] == -1
    assert yaw["pooled"] > 0.9


@pytest.mark.slow
def test_a_report_survives_its_files(cases: list[Case], reader: MotionReader, tmp_path: Path) -> None:
    def noise(case: Case) -> Answer:
        return Answer(np.random.default_rng(0).integers(0, 256, case.truth.shape, np.uint8))

    verdicts = result(judge_systems(cases, {"noise": noise, "truth": truth_itself}, reader, total=2))
    assert verdicts[0].scores["detection"] == 0
    assert verdicts[0].scores["landmarks"] is None
    apart = {"noise - truth": differences(verdicts, "noise", "truth")}
    evaluation = Evaluation({"pairs": 2}, summarise(verdicts), [score_row(verdict) for verdict in verdicts], apart)
    noise_psnr = [verdict.scores["psnr"] for verdict in verdicts if verdict.system == "noise"]
    assert apart["noise - truth"]["psnr"]["mean"] == pytest.approx(np.mean(noise_psnr) - 100)  # type: ignore[arg-type]
    assert apart["noise - truth"]["landmarks"]["mean"] is None
    write_report(tmp_path, evaluation, {"strips/noise-best.png": "the best"})
    stored = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert stored == {"settings": {"pairs": 2}, "systems": evaluation.systems, "rows": evaluation.rows, "differences": apart}
    assert "Differences, pair by pair" in (tmp_path / "report.md").read_text(encoding="utf-8")
    lines = (tmp_path / "report.csv").read_text(encoding="utf-8").splitlines()
    assert (len(lines), lines[0].split(",")[:4]) == (5, ["pair", "system", "frames", "psnr"])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "|  | noise | truth |" in text
    assert "![the best](strips/noise-best.png)" in text
    assert "nan" not in text


def test_strips_show_the_best_the_median_and_the_worst(cases: list[Case], tmp_path: Path) -> None:
    book = StripFolder(tmp_path / "strips")
    for index, score in enumerate((20.0, 30.0, 10.0)):
        case = replace(cases[0], index=index, portrait=np.full_like(cases[0].portrait, 50 * index))
        book.add("warp", case, Answer(case.truth), score)
    captions = book.keep()
    assert sorted(path.name for path in (tmp_path / "strips").iterdir()) == sorted(captions)
    assert captions["warp-best.png"] == "warp, best: pair 1, 30.00 dB"
    levels = {rank: np.asarray(Image.open(tmp_path / f"strips/warp-{rank}.png"))[60, 60, 0] for rank in ("best", "median", "worst")}
    assert levels == {"best": 50, "median": 0, "worst": 100}
    assert draw_strip(cases[0], Answer(cases[0].truth)).shape == (16 + FRAMES * SIZE, 4 * SIZE, 3)
