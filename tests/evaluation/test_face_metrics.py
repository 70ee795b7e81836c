"""Metrics on faces: exact on landmarks made by hand, and in the right order on the drawn world's exact pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest

from hp_core.demo.identity import Identity
from hp_core.demo.render import render
from hp_core.demo.world import HeldOutPair
from hp_core.evaluation.clip_readings import ClipReadings, read_clip
from hp_core.evaluation.metrics.base import Metric
from hp_core.evaluation.metrics.correlation import HEAD, MotionCorrelation
from hp_core.evaluation.metrics.drift import drift
from hp_core.evaluation.metrics.gaze import CLOSED, EYEBALL, IRIS, eye_directions, gaze
from hp_core.evaluation.metrics.identity import identity
from hp_core.evaluation.metrics.landmarks import UNITS, LandmarkMeanDistance
from hp_core.evaluation.metrics.psnr import psnr
from hp_core.evaluation.metrics.ssim import ssim
from hp_core.evaluation.readings import FullReading, MotionReader
from tests.evaluation.stand_ins import Marked, marked, outcome, reading

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(5, 25, (478, 2))
POINTS[33], POINTS[263] = (8, 10), (18, 10)  # outer corners of the eyes, 10 pixels apart


@dataclass(eq=False)
class ReadOnce:
    """MediaPipe, which is asked once about a frame that several metrics look at."""

    reader: MotionReader
    known: dict[bytes, Any]

    def read(self, frame: np.ndarray) -> FullReading | None:
        key = frame.tobytes()
        if key not in self.known:
            self.known[key] = self.reader.read(frame)
        return self.known[key]


@pytest.fixture(scope="module")
def once(reader: MotionReader) -> ReadOnce:
    return ReadOnce(reader, {})


# LMD


def test_lmd_of_a_shifted_face_is_the_shift() -> None:
    """By (3, 4) pixels in a picture 40 wide and 20 high: 5 pixels; in percent of the sides (7.5, 20); of 10 between the eyes."""
    reader = Marked([reading(POINTS), reading(POINTS + (3, 4))])
    clips = {"result": marked([1, 1], size=(20, 40)), "truth": marked([0, 0], size=(20, 40))}
    values = {name: outcome(LandmarkMeanDistance(name), clips, reader).value for name in UNITS}
    assert values == pytest.approx({"lmd_px": 5, "lmd_side": np.hypot(7.5, 20), "lmd_eyes": 50}, rel=1e-5)


def test_lmd_of_a_picture_that_was_shifted_is_about_the_shift(reader: MotionReader) -> None:
    truth = HeldOutPair(0).truth(2, 256)
    moved = np.roll(truth, (6, 8), axis=(1, 2))
    value = outcome(LandmarkMeanDistance("lmd_px"), {"result": moved, "truth": truth}, reader).value
    assert value == pytest.approx(10, abs=0.7)


def test_frames_without_a_face_are_left_out_and_a_clip_without_any_is_a_blank() -> None:
    reader = Marked([reading(POINTS), reading(POINTS + (3, 4))])
    clips = {"result": marked([1, 255, 0]), "truth": marked([0, 0, 0])}
    for name, factor in (("lmd_px", 1), ("lmd_eyes", 10)):
        seen = outcome(LandmarkMeanDistance(name), clips, reader, step=1)
        assert seen.value == pytest.approx(factor * 2.5, rel=1e-5)
        assert seen.frames == (pytest.approx(factor * 5, rel=1e-5), None, 0)
    blind = outcome(LandmarkMeanDistance("lmd_eyes"), {"result": marked([255, 255]), "truth": marked([0, 0])}, reader)
    assert (blind.value, blind.frames) == (None, (None, None))
    assert "no frame shows a face" in blind.why


# Gaze


def eyes(x: float, y: float, *, roll: float = 0.0, scale: float = 1.0, opening: float = 0.3) -> np.ndarray:
    """478 landmarks whose two eyes are 30 wide and irises 12 across, the irises ``x`` and ``y`` of a diameter off the middle."""
    points = np.zeros((478, 2))
    for (left, right), (upper, lower), iris, (begin, end), middle in (
        ((33, 133), (159, 145), 468, (469, 471), (40, 50)),
        ((362, 263), (386, 374), 473, (474, 476), (90, 50)),
    ):
        middle = np.array(middle, float)
        points[left], points[right] = middle - (15, 0), middle + (15, 0)
        points[upper], points[lower] = middle - (0, 15 * opening), middle + (0, 15 * opening)
        points[iris] = middle + np.array([x, y]) * 12
        points[begin], points[end] = points[iris] - (6, 0), points[iris] + (6, 0)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return scale * (points @ turn.T)


def test_gaze_is_the_angle_of_the_iris_on_the_eyeball() -> None:
    """An iris 11.7 mm across that moved by a fraction of it, on a ball of 12 mm: the arc sine, whatever roll and size."""
    angle = np.degrees(np.arcsin(0.25 * IRIS / EYEBALL))
    reader = Marked([reading(eyes(0, 0)), reading(eyes(0.25, 0)), reading(eyes(0, -0.25, roll=0.4, scale=1.7)), reading(eyes(0.15, 0.2))])
    clips = {"result": marked([0, 1, 2, 3]), "driving": marked([0] * 4)}
    assert outcome(gaze(), clips, reader).frames == pytest.approx((0, angle, angle, angle), abs=1e-3)
    across = {"result": marked([1]), "driving": marked([2])}
    expected = np.degrees(np.arccos(1 - (0.25 * IRIS / EYEBALL) ** 2))  # two unit vectors with equal z
    assert outcome(gaze(), across, reader).value == pytest.approx(expected, abs=1e-3)


def test_a_closed_eye_looks_nowhere() -> None:
    directions = eye_directions(np.stack([eyes(0.2, 0, opening=0.9 * CLOSED), eyes(0.2, 0, opening=1.1 * CLOSED)]))
    assert np.isnan(directions).all(axis=(1, 2)).tolist() == [True, False]
    assert np.linalg.norm(directions[1], axis=1) == pytest.approx([1, 1])
    one_open = eyes(0.2, 0)
    one_open[[159, 145]] = one_open[33]
    reader = Marked([reading(one_open), reading(eyes(0, 0))])
    value = outcome(gaze(), {"result": marked([0]), "driving": marked([1])}, reader).value
    assert value == pytest.approx(np.degrees(np.arcsin(0.2 * IRIS / EYEBALL)), abs=1e-3), "the other eye is open"


# Motion


def moving(signal: np.ndarray, shape: int = 5) -> list[FullReading]:
    """Readings that turn and move one blendshape by ``signal``."""
    readings = []
    for value in signal:
        shapes = np.zeros(52, np.float32)
        shapes[shape] = 0.5 + 0.1 * value
        readings.append(reading(POINTS, yaw=float(value), pitch=float(-value), roll=float(2 * value), blendshapes=shapes))
    return readings


@pytest.mark.parametrize("name", ["motion_head", "motion_face"])
def test_motion_is_pearsons_correlation(name: str) -> None:
    signal = np.array([0.0, 1, 3, 2, -1, 0.5])
    other = np.array([0.5, 0.5, 2, 3, 0, 1])
    reader = Marked([*moving(signal), *moving(other)])
    clips = {"driving": marked([0, 1, 2, 3, 4, 5]), "result": marked([6, 7, 8, 9, 10, 11])}
    metric = MotionCorrelation(name)
    assert outcome(metric, clips, reader, step=4).value == pytest.approx(np.corrcoef(signal, other)[0, 1], abs=1e-5)
    assert outcome(metric, clips | {"result": clips["driving"]}, reader).value == pytest.approx(1)
    assert outcome(metric, clips | {"result": marked([6] * 6)}, reader).value == 0, "a still result follows nothing"
    assert outcome(metric, clips | {"driving": marked([6] * 6)}, reader).why == "nothing moves in the driving clip"
    short = outcome(metric, clips | {"result": marked([6, 7, 255, 255, 255, 255])}, reader)
    assert short.why == "2 frames show a face in both clips; a correlation needs 3"


def test_the_head_correlation_is_the_mean_of_three_angles() -> None:
    driver = [reading(POINTS, yaw=v, pitch=v, roll=v) for v in (0.0, 1.0, 2.0, 1.0)]
    result = [reading(POINTS, yaw=v, pitch=-v, roll=0.0) for v in (0.0, 1.0, 2.0, 1.0)]
    clips = {"driving": marked([0, 1, 2, 3]), "result": marked([4, 5, 6, 7])}
    assert len(HEAD) == 3
    assert outcome(MotionCorrelation("motion_head"), clips, Marked(driver + result)).value == pytest.approx((1 - 1 + 0) / 3)


# Identity


class Colours:
    """An encoder whose embedding is the mean colour of the face, its grey taken away."""

    def embed(self, face: np.ndarray) -> np.ndarray:
        mean = face.mean(axis=(0, 1)) - face.mean() + 1e-6
        return np.asarray(mean / np.linalg.norm(mean), np.float32)


def test_identity_does_not_depend_on_the_order_of_frames(reader: MotionReader) -> None:
    pair = HeldOutPair(0)
    portrait, frames = pair.portrait(128), pair.truth(5, 128)
    metric = identity(Colours(), "mean colour")
    forwards = outcome(metric, {"result": frames}, reader, portrait, step=2)
    backwards = outcome(metric, {"result": frames[::-1]}, reader, portrait)
    assert backwards.value == pytest.approx(forwards.value, abs=1e-9)
    assert backwards.frames == pytest.approx(forwards.frames[::-1])
    own = outcome(metric, {"result": portrait[None]}, reader, portrait).value
    assert own == pytest.approx(1, abs=1e-6)
    nobody = outcome(metric, {"result": np.full_like(frames, 90)}, reader, portrait)
    assert (nobody.value, nobody.frames) == (None, (None,) * 5)
    faceless = outcome(metric, {"result": frames}, reader, np.full_like(portrait, 90))
    assert faceless.value is None


@pytest.mark.slow
def test_identity_falls_from_the_portraits_person_to_the_driver(once: ReadOnce) -> None:
    """Frames cross-faded towards another person, under the demo weights' own ArcFace; exact pairs of the drawn world."""
    from hp_core.appearance.identity import ArcFaceOnnx
    from hp_core.weights.catalog import CATALOG, DEMO_WEIGHTS

    path = CATALOG["arcface"].find(DEMO_WEIGHTS)
    if path is None:
        pytest.skip("the demo weights are not here")
    pytest.importorskip("onnxruntime")
    metric, values = identity(ArcFaceOnnx(path), "demo"), []
    for share in (0.0, 0.25, 0.5, 1.0):
        scores = []
        for pair in (HeldOutPair(0), HeldOutPair(3), HeldOutPair(5)):
            truth, driving = pair.truth(3, 128).astype(float), pair.driving(3, 128).astype(float)
            mixed = ((1 - share) * truth + share * driving).astype(np.uint8)
            scores.append(outcome(metric, {"result": mixed}, once, pair.portrait(128)).value or 0.0)
        values.append(float(np.mean(scores)))
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.3


# Drift


def test_drift_is_what_changed_along_the_border(reader: MotionReader) -> None:
    portrait = HeldOutPair(1).portrait(128)
    metric = drift(reader._analyzer)
    frames = np.repeat(portrait[None], 3, axis=0)
    frames[2] = np.clip(frames[2].astype(int) + 9, 0, 255)
    seen = outcome(metric, {"result": frames}, None, portrait, step=2)
    assert seen.frames[:2] == (0, 0)
    assert 7 < (seen.frames[2] or 0) <= 9  # what is near white already cannot rise by 9
    worse = [np.clip(portrait[None].astype(int) - by, 0, 255).astype(np.uint8) for by in (0, 3, 9, 27)]
    values = [outcome(metric, {"result": frames}, None, portrait).value for frames in worse]
    assert values == sorted(values)
    assert len(set(values)) == 4
    smaller = outcome(metric, {"result": frames[:, :64, :64]}, None, portrait)
    assert "not of the portrait's size" in smaller.why


# The drawn world


FRAMES, SIZE = 16, 128


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Truth and driving clip of two held-out pairs."""
    return [(HeldOutPair(index).truth(FRAMES, SIZE), HeldOutPair(index).driving(FRAMES, SIZE)) for index in (0, 3)]


def noisy(clip: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(clip + np.random.default_rng(1).normal(0, sigma, clip.shape), 0, 255).astype(np.uint8)


def blurred(clip: np.ndarray, side: float) -> np.ndarray:
    return np.stack([cv2.blur(frame, (int(side), int(side))) for frame in clip]) if side else clip


def delayed(clip: np.ndarray, by: float) -> np.ndarray:
    return np.concatenate([clip[:1]] * int(by) + [clip])[: len(clip)]


def shifted(clip: np.ndarray, by: float) -> np.ndarray:
    return np.roll(clip, int(by), axis=2)


WORSE: dict[str, tuple[Callable[[np.ndarray, float], np.ndarray], tuple[float, ...]]] = {
    "noise": (noisy, (0, 6, 14, 28)),  # with more, and with a stronger blur, no face is found any more
    "blur": (blurred, (0, 3, 5, 9)),
    "delay": (delayed, (0, 1, 2, 4)),  # with more, drawn people look the same way again
    "shift": (shifted, (0, 2, 6, 14)),
}
JUDGES: list[tuple[str, Callable[[], Metric], tuple[str, ...]]] = [
    ("psnr", psnr, ("noise", "blur", "delay", "shift")),
    ("ssim", ssim, ("noise", "blur", "delay", "shift")),
    ("lmd_px", lambda: LandmarkMeanDistance("lmd_px"), ("noise", "blur", "delay", "shift")),
    ("lmd_eyes", lambda: LandmarkMeanDistance("lmd_eyes"), ("noise", "blur", "delay", "shift")),
    ("motion_head", lambda: MotionCorrelation("motion_head"), ("noise", "blur", "delay")),
    ("motion_face", lambda: MotionCorrelation("motion_face"), ("noise", "blur", "delay")),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "harm"), [pytest.param(make, harm, id=f"{name}-{harm}") for name, make, harms in JUDGES for harm in harms]
)
def test_every_metric_falls_in_order_on_exact_pairs(
    make: Callable[[], Metric], harm: str, pairs: list[tuple[np.ndarray, np.ndarray]], once: ReadOnce
) -> None:
    """The truth made worse step by step; the mean over two pairs never gets better, and ends worse than it began."""
    worse, amounts = WORSE[harm]
    metric = make()
    values = []
    for amount in amounts:
        scores = [outcome(metric, {"result": worse(truth, amount), "truth": truth, "driving": truth}, once).value for truth, _ in pairs]
        assert None not in scores
        values.append(float(np.mean(scores)))
    if metric.better == "higher":
        values = [-value for value in values]
    assert values == sorted(values)
    assert values[-1] > values[0]


@pytest.mark.parametrize("index", [0, 3, 5])
def test_gaze_error_grows_with_the_gaze_of_drawn_eyes(index: int, once: ReadOnce) -> None:
    """Eyes that look further and further aside from the truth's, and nothing else: small angles grow like their sines."""
    pair = HeldOutPair(index)
    still = np.zeros(3, np.float32)
    performance = replace(pair.performance(3), gaze_x=still, gaze_y=still, blink_left=still, blink_right=still)
    person = Identity.sample(pair.portrait_seed)
    clips = [np.stack(list(render(person, replace(performance, gaze_x=still + by), size=256))) for by in (0, 0.1, 0.2, 0.4)]
    values = [outcome(gaze(), {"result": clip, "driving": clips[0]}, once).value or 0.0 for clip in clips]
    assert values == sorted(values)
    assert values[0] == 0
    assert np.array(values[1:3]) / values[3] == pytest.approx([0.25, 0.5], abs=0.08)


def test_the_truth_follows_the_driver_more_than_a_still_portrait(pairs: list[tuple[np.ndarray, np.ndarray]], once: ReadOnce) -> None:
    for name in ("motion_head", "motion_face"):
        for truth, driving in pairs:
            still = np.repeat(truth[:1], len(truth), axis=0)
            follows, stands = (
                outcome(MotionCorrelation(name), {"result": clip, "driving": driving}, once).value or 0.0 for clip in (truth, still)
            )
            assert follows > 0.3
            assert stands == 0


def test_readings_of_a_clip_have_blendshapes(once: ReadOnce, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    read: ClipReadings = read_clip(once, pairs[0][0][:2])
    assert read.blendshapes.shape == (2, 52)
    assert ((read.blendshapes >= 0) & (read.blendshapes <= 1)).all()
