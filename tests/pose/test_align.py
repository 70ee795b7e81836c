"""Pose Align: properties of the paper's rule, and what it does about clips that lack something."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hp_core.config import AlignConfig, FaceConfig, PoseStyle
from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render
from hp_core.errors import OptionError, PortraitError
from hp_core.face.analyzer import create_analyzer
from hp_core.face.track import track_faces
from hp_core.pose.align import Alignment, align_pose, closest_pose_frame, face_ratio, fitted, head_sizes, steadied
from hp_core.pose.draw import distinct_maps
from hp_core.pose.keypoints import BODY, NECK, NOSE, POINTS
from hp_core.preview import pose_pictures
from hp_core.progress import result
from hp_core.values import FaceTrack, PoseKeypoints
from tests.stages import with_notices

PAPER = AlignConfig(mode="paper", reference=0)
shifts = st.floats(-500, 500)
scales = st.floats(0.05, 20)
angles = st.floats(-3, 3)
seeds = st.integers(0, 10**6)


def people(seed: int, frames: int = 1, *, shoulders: bool = True) -> np.ndarray:
    """(frames, 128, 3): somebody who sways, with a head and, if asked for, shoulders."""
    rng = np.random.default_rng(seed)
    points = np.zeros((frames, POINTS, 3), np.float32)
    still = rng.uniform(-40, 40, (POINTS, 2))
    still[NOSE], still[NECK], still[2], still[5] = (0, 0), (0, 60), (-70, 70), (70, 72)
    way = np.cumsum(rng.normal(0, 4, (frames, 1, 2)), axis=0)
    points[..., :2] = 200 + still + way + rng.normal(0, 0.5, (frames, POINTS, 2))
    points[..., 2] = 1
    if not shoulders:
        points[:, 2:14, 2] = 0
    return points


def moved(points: np.ndarray, scale: float, x: float, y: float, angle: float = 0.0) -> np.ndarray:
    return Alignment(scale, (x, y), angle).apply(points)


def keypoints(points: np.ndarray, size: tuple[int, int] = (400, 400), found: np.ndarray | None = None) -> PoseKeypoints:
    return PoseKeypoints(points, np.ones(len(points), bool) if found is None else found, size, "test")


def track(frames: int, size: tuple[int, int] = (400, 400), square: tuple[int, int, int, int] | None = None) -> FaceTrack:
    width, height = size
    five = np.tile(np.array([[180, 180], [220, 180], [200, 200], [185, 225], [215, 225]], np.float32), (frames, 1, 1))
    return FaceTrack(
        head_crops=np.zeros((frames, 8, 8, 3), np.uint8),
        motion_crops=np.zeros((frames, 8, 8, 3), np.uint8),
        boxes=np.tile(np.array([160, 150, 240, 250], np.float32), (frames, 1)),
        five_points=five,
        landmarks=None,
        found=np.ones(frames, bool),
        on_missing="hold",
        square=square or (0, 0, width, height),
        portrait=np.zeros((height, width, 3), np.uint8),
        portrait_crop=np.zeros((128, 128, 3), np.uint8),
        crop_points=five[0],
        crop_points_found=True,
        fps=Fraction(25),
        analyzer="test",
    )


@settings(max_examples=50)
@given(seeds)
def test_a_portrait_on_itself_stays_where_it_is(seed):
    person = people(seed)
    fit = fitted(person, person[0])
    assert fit.scale == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(fit.apply(person), person, atol=1e-3)


@settings(max_examples=50)
@given(seeds, scales, shifts, shifts)
def test_alignment_undoes_a_scale_and_a_shift_of_the_driver(seed, scale, x, y):
    driver, portrait = people(seed, 5), people(seed + 1)[0]
    plain = fitted(driver, portrait).apply(driver)
    other = moved(driver, scale, x, y)
    np.testing.assert_allclose(fitted(other, portrait).apply(other), plain, atol=0.05)


@settings(max_examples=50)
@given(seeds, scales, shifts, shifts, angles)
def test_a_levelled_alignment_undoes_any_similarity_of_the_driver(seed, scale, x, y, angle):
    driver, portrait = people(seed, 5), people(seed + 1)[0]
    plain = fitted(driver, portrait, level=True).apply(driver)
    other = moved(driver, scale, x, y, angle)
    np.testing.assert_allclose(fitted(other, portrait, level=True).apply(other), plain, atol=0.05)


@settings(max_examples=50)
@given(seeds, st.floats(-2, 2), st.booleans(), st.booleans(), st.booleans())
def test_no_point_leaves_its_relation_to_its_neighbours(seed, strength, lock_x, lock_y, lock_scale):
    driver, portrait = people(seed, 6), people(seed + 1)[0]
    config = AlignConfig(mode="paper", strength=strength, lock_x=lock_x, lock_y=lock_y, lock_scale=lock_scale)
    out = steadied(fitted(driver, portrait).apply(driver), sizes(driver), config)

    def shape(points: np.ndarray) -> np.ndarray:
        """Every point about the nose, in lengths of the whole figure."""
        about = points[:, :, :2] - points[:, NOSE : NOSE + 1, :2]
        return about / np.linalg.norm(about, axis=(1, 2), keepdims=True)

    np.testing.assert_allclose(shape(out), shape(driver), atol=1e-4)
    assert np.array_equal(out[..., 2], driver[..., 2])


def sizes(points: np.ndarray) -> np.ndarray:
    """(frames,) of the whole figure about its nose."""
    return np.linalg.norm(points[:, :, :2] - points[:, NOSE : NOSE + 1, :2], axis=(1, 2))


def test_arms_and_speech_do_not_make_a_locked_figure_breathe():
    """Its size is that of the face, which knows of neither."""
    still, points = track(6), np.repeat(people(2), 6, axis=0)
    points[3:, 4, :2] += 60  # a wrist
    points[4:, NECK, 1] += 15
    config = replace(PAPER, lock_scale=True, reference=0)
    pose = result(align_pose(still, track(1), config, driving_keypoints=keypoints(points), portrait_keypoints=keypoints(people(3))))
    eyes = np.linalg.norm(pose.skeletons[:, 14, :2] - pose.skeletons[:, 15, :2], axis=-1)
    np.testing.assert_allclose(eyes, eyes[0], rtol=1e-5)


def test_a_head_that_turns_and_speaks_keeps_its_size() -> None:
    """As MediaPipe sees a drawn one: by the eyes' distance in the picture a turn of 30 degrees takes an eighth of it."""
    still = {field.name: np.full(12, field.name == "scale", np.float32) for field in fields(Performance)}
    turn = np.sin(np.linspace(0, 2 * np.pi, 12, endpoint=False)).astype(np.float32)
    performance = Performance(**still | {"yaw": 30 * turn, "pitch": 12 * turn[::-1], "jaw": np.abs(turn)})
    frames = list(render(Identity.sample(3), performance, size=256))
    seen = result(track_faces(frames, create_analyzer(), FaceConfig(), total=12))
    eyes = np.linalg.norm(seen.five_points[:, 0] - seen.five_points[:, 1], axis=-1)
    sizes = head_sizes(seen)
    assert np.ptp(eyes) > 0.12 * np.median(eyes)
    assert np.ptp(sizes) < 0.06 * np.median(sizes)


@pytest.mark.parametrize("mode", ["paper", "identity"])
def test_a_square_that_follows_takes_the_subjects_way_out(mode: str):
    """Somebody who walks through the picture, nearer and nearer, stands still in the crop, and so does the skeleton."""
    standing, moving, points = track(5), track(5), np.repeat(people(2), 5, axis=0)
    x1, y1, x2, _ = standing.square
    grown, steps = 1 + 0.25 * np.arange(5)[:, None, None], 8.0 * np.arange(5)[:, None, None]
    corner = np.array([x1, y1], np.float32)

    def walked(flat: np.ndarray) -> np.ndarray:
        return (corner + steps + (flat - corner) * grown).astype(np.float32)

    side = (x2 - x1) * grown[:, 0, 0]
    first = x1 + steps[:, 0, 0]
    squares = np.stack([first, first, first + side, first + side], axis=1).round()
    moving = replace(moving, five_points=walked(standing.five_points), squares=squares.astype(np.int32))
    followed = points.copy()
    followed[..., :2] = walked(points[..., :2])
    config = AlignConfig(mode=mode, reference=0)
    expected, found = (
        result(align_pose(one, track(1), config, driving_keypoints=keypoints(body), portrait_keypoints=keypoints(people(3))))
        for one, body in ((standing, points), (moving, followed))
    )
    np.testing.assert_allclose(found.skeletons[..., :2], expected.skeletons[..., :2], atol=0.02)


def test_the_figure_does_not_breathe():
    driver, portrait = people(3, 40), people(4)[0]
    out = fitted(driver, portrait).apply(driver)
    ratio = np.linalg.norm(out[:, NECK, :2] - out[:, NOSE, :2], axis=-1) / np.linalg.norm(
        driver[:, NECK, :2] - driver[:, NOSE, :2], axis=-1
    )
    assert np.ptp(ratio) < 1e-4


@given(seed=seeds, at=st.integers(0, 9), scale=scales, x=shifts, y=shifts)
def test_the_closest_frame_is_the_one_held_alike_wherever_it_is(seed: int, at: int, scale: float, x: float, y: float) -> None:
    faces = track(1).five_points + np.random.default_rng(seed).normal(0, 5, (10, 5, 2))
    assert closest_pose_frame(faces, scale * faces[at] + (x, y)) == at


def test_the_closest_frame_is_laid_onto_the_portrait_unless_one_is_named() -> None:
    driver, standing = track(5), track(1)
    driver.five_points[:3, 2, 0] += (12, 9, 6)  # turned until frame 3
    points = people(1, 5)
    for reference, frame in ((-1, 3), (1, 1)):
        maps = result(
            align_pose(
                driver,
                standing,
                replace(PAPER, reference=reference),
                driving_keypoints=keypoints(points),
                portrait_keypoints=keypoints(people(2)),
            )
        )
        np.testing.assert_allclose(maps.skeletons[frame, NOSE, :2], people(2)[0, NOSE, :2] * 128 / 400, atol=1e-2)


def test_strength_and_locks_act_on_the_way_of_the_nose():
    driver = people(5, 10)
    nose = driver[:, NOSE, :2]
    assert np.array_equal(steadied(driver, sizes(driver), PAPER), driver), "strength 1 changes nothing to the last bit"
    np.testing.assert_allclose(
        steadied(driver, sizes(driver), replace(PAPER, strength=0.0))[:, NOSE, :2], np.tile(nose[:1], (10, 1)), atol=1e-3
    )
    back = steadied(driver, sizes(driver), replace(PAPER, strength=-1.0))[:, NOSE, :2]
    np.testing.assert_allclose(back - nose[0], nose[0] - nose, atol=1e-3)
    locked = steadied(driver, sizes(driver), replace(PAPER, lock_x=True))[:, NOSE, :2]
    assert np.ptp(locked[:, 0]) < 1e-3
    np.testing.assert_allclose(locked[:, 1], nose[:, 1], atol=1e-3)
    later = steadied(driver, sizes(driver), replace(PAPER, strength=0.0, reference=4))[:, NOSE, :2]
    np.testing.assert_allclose(later, np.tile(nose[4:5], (10, 1)), atol=1e-3)
    grown = driver * np.array([1, 1, 1], np.float32)
    grown[5:, :, :2] = nose[5:, None] + 1.5 * (grown[5:, :, :2] - nose[5:, None])
    steady = steadied(grown, sizes(grown), replace(PAPER, lock_scale=True))
    lengths = np.linalg.norm(steady[:, 2, :2] - steady[:, 5, :2], axis=-1)
    assert np.ptp(lengths) < 0.03 * lengths.mean()


def test_released_is_black_and_keeps_one_map():
    pose = result(align_pose(track(7), track(1)))
    assert (pose.mode, len(pose), len(pose.maps)) == ("black", 7, 1)
    assert not pose_pictures(pose, 0).any()
    assert len(pose_pictures(pose, 0)) == 1


def test_paper_mode_lays_the_noses_on_each_other_in_the_crop():
    driver = moved(people(7, 4), 0.5, 30, 10)
    portrait = people(8)
    square = (100, 100, 300, 300)
    pose = result(align_pose(
        track(4), track(1, square=square), PAPER, driving_keypoints=keypoints(driver), portrait_keypoints=keypoints(portrait)
    ))  # fmt: skip
    expected = (portrait[0, NOSE, :2] - 100) * 128 / 200
    np.testing.assert_allclose(pose.skeletons[0, NOSE, :2], expected, atol=1e-3)
    assert pose.scale == pytest.approx(2 * 128 / 200, rel=0.05)
    maps, rows = distinct_maps(pose, [0, 2, 2])
    assert tuple(maps.shape) == (2, 3, 128, 128)
    assert rows.tolist() == [0, 1, 1]
    assert 0 < float(maps.max()) <= 1


def test_identity_mode_takes_the_drivers_place_in_its_own_square():
    driver = people(9, 3)
    pose = result(align_pose(
        track(3, square=(100, 100, 356, 356)), track(1), AlignConfig(mode="identity"),
        driving_keypoints=keypoints(driver), portrait_keypoints=keypoints(people(1)),
    ))  # fmt: skip
    np.testing.assert_allclose(pose.skeletons[..., :2], (driver[..., :2] - 100) / 2, atol=1e-3)


def test_identity_mode_asks_nothing_of_the_portraits_skeleton():
    nobody = keypoints(people(3), found=np.zeros(1, bool))
    config, moving = AlignConfig(mode="identity"), keypoints(people(2, 3))
    with_one = result(align_pose(track(3), track(1), config, driving_keypoints=moving, portrait_keypoints=keypoints(people(3))))
    without = result(align_pose(track(3), track(1), config, driving_keypoints=moving, portrait_keypoints=nobody))
    np.testing.assert_array_equal(with_one.skeletons, without.skeletons)
    with pytest.raises(PortraitError, match="Take the face track's keypoints"):
        result(align_pose(track(3), track(1), PAPER, driving_keypoints=moving, portrait_keypoints=nobody))


def test_level_has_no_meaning_where_nothing_is_moved() -> None:
    config = AlignConfig(mode="identity", level=True)
    with pytest.raises(OptionError, match="identity leaves it where it is"):
        result(align_pose(track(3), track(1), config, driving_keypoints=keypoints(people(2, 3)), portrait_keypoints=keypoints(people(3))))


def test_hands_that_nobody_sees_are_not_drawn_black() -> None:
    with pytest.raises(OptionError, match=r"\(hands\) the face track .* shows nothing"):
        result(align_pose(track(3), track(1), replace(PAPER, style=PoseStyle(body=False, hands=True))))


def test_a_style_that_draws_nothing_is_refused():
    with pytest.raises(OptionError, match=r"mode is paper, .* leaves the pose black. Draw one of them"):
        result(align_pose(track(3), track(1), replace(PAPER, style=PoseStyle(body=False, eyes=True))))
    assert result(align_pose(track(3), track(1), AlignConfig(style=PoseStyle(body=False)))).mode == "black"


def test_face_tracks_are_compared_by_their_five_points():
    """Of a driver in a picture of twice the size, whose mouth opens: its neck is estimated, and no measure."""
    small, large = track(1), track(3)
    points = 2 * large.five_points
    points[1:, 3:, 1] += 8.0  # mouth corners
    pose = result(align_pose(replace(large, five_points=points), small, AlignConfig(mode="paper")))
    size, (x1, _, x2, _) = small.portrait_crop.shape[0], small.square
    assert pose.scale == pytest.approx(face_ratio(points, small.five_points[0]) * size / (x2 - x1))
    still = result(align_pose(replace(large, five_points=2 * large.five_points), small, AlignConfig(mode="paper")))
    assert still.scale == pytest.approx(0.5 * size / (x2 - x1))


def test_a_close_up_beside_a_whole_person_is_measured_by_its_face():
    """DWPose's neck is the middle of the shoulders: a portrait without them shows no edge of the skeleton."""
    head, large = people(2), track(3)
    head[:, 1:14, 2] = 0
    large = replace(large, five_points=2 * large.five_points)
    stage = align_pose(large, track(1), PAPER, driving_keypoints=keypoints(people(3, 3)), portrait_keypoints=keypoints(head))
    pose, notices = with_notices(stage)
    assert pose.scale == pytest.approx(0.5 * 128 / 400)
    assert any("their faces are compared in size" in text for text in notices)


def test_tracks_alone_are_enough():
    pose = result(align_pose(track(3), track(1), AlignConfig(mode="paper", style=PoseStyle(face=True))))
    assert float(distinct_maps(pose, range(3))[0].max()) > 0


def test_frames_without_keypoints_are_filled_and_reported():
    points, found = people(2, 5), np.array([True, False, False, True, False])
    points[~found] = 0
    stage = align_pose(track(5), track(1), PAPER, driving_keypoints=keypoints(points, found=found), portrait_keypoints=keypoints(people(2)))
    pose, notices = with_notices(stage)
    assert [text[:16] for text in notices] == ["3 of 5 frames of"]
    nose = pose.skeletons[:, NOSE, :2]
    np.testing.assert_allclose(nose[1], nose[0] + (nose[3] - nose[0]) / 3, atol=1e-2)
    np.testing.assert_allclose(nose[4], nose[3], atol=1e-3)
    held = result(align_pose(
        track(5), track(1), replace(PAPER, on_missing="hold"),
        driving_keypoints=keypoints(points, found=found), portrait_keypoints=keypoints(people(2)),
    ))  # fmt: skip
    np.testing.assert_allclose(held.skeletons[2, NOSE], held.skeletons[0, NOSE], atol=1e-3)
    with pytest.raises(PortraitError, match=r"No person in frame 1 .*3 of 5"):
        result(align_pose(track(5), track(1), replace(PAPER, on_missing="error"), driving_keypoints=keypoints(points, found=found)))
    with pytest.raises(PortraitError, match="No person in any of 5 frames"):
        result(align_pose(track(5), track(1), PAPER, driving_keypoints=keypoints(points, found=np.zeros(5, bool))))


def test_a_close_up_without_a_neck_is_not_drawn_black():
    """DWPose of a head whose shoulders are outside the picture sees no neck, from which a body is drawn."""
    seen = people(2, 4)
    close = seen.copy()
    close[1:3, 1:14, 2] = 0
    stage = align_pose(track(4), track(1), PAPER, driving_keypoints=keypoints(close), portrait_keypoints=keypoints(people(2)))
    pose, notices = with_notices(stage)
    assert [text for text in notices if "neck is not seen in 2 of 4 frames" in text]
    drawn = [float(distinct_maps(pose, [number])[0].max()) for number in range(4)]
    assert min(drawn) > 0
    lengths = np.linalg.norm(pose.skeletons[:, NECK, :2] - pose.skeletons[:, NOSE, :2], axis=1)
    np.testing.assert_allclose(lengths[1:3], np.median(lengths[[0, 3]]), rtol=0.1)  # as long as the others
    close[:, 1:14, 2] = 0
    driver, portrait = keypoints(close), keypoints(people(2))
    pose = result(align_pose(track(4), track(1), replace(PAPER, mode="identity"), driving_keypoints=driver, portrait_keypoints=portrait))
    assert float(distinct_maps(pose, [3])[0].max()) > 0


def test_a_portrait_without_shoulders_is_measured_by_its_head():
    whole, head = people(2, 3), people(2, shoulders=False)
    assert fitted(whole, head[0]).scale == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_a_driver_far_smaller_or_larger_than_the_portrait(scale):
    driver, portrait = moved(people(1, 4), scale, 0, 0), people(1)[0]
    assert fitted(driver, portrait).scale == pytest.approx(1 / scale, rel=0.05)


def test_nothing_in_common_is_refused():
    nose_alone = people(1, 2)
    nose_alone[:, 1:, 2] = 0
    with pytest.raises(PortraitError, match=r"no edge in common.*identity"):
        fitted(nose_alone, people(1)[0])


def test_of_a_portrait_of_several_frames_the_first_counts():
    several = keypoints(np.concatenate([people(1), people(8, 3)]))
    plain, first = (
        result(align_pose(track(2), track(frames), PAPER, driving_keypoints=keypoints(people(1, 2)), portrait_keypoints=points))
        for frames, points in ((1, keypoints(people(1))), (4, several))
    )
    np.testing.assert_array_equal(plain.skeletons, first.skeletons)
    with pytest.raises(OptionError, match="portrait keypoints have 3 frames, its face track 4"):
        result(align_pose(track(2), track(4), PAPER, portrait_keypoints=keypoints(people(1, 3))))


def test_keypoints_of_another_clip_are_refused():
    with pytest.raises(OptionError, match="driving keypoints have 4 frames, its face track 5"):
        result(align_pose(track(5), track(1), PAPER, driving_keypoints=keypoints(people(1, 4))))
    with pytest.raises(OptionError, match="another shape"):
        result(align_pose(track(5), track(1), PAPER, driving_keypoints=keypoints(people(1, 5), size=(400, 300))))
    with pytest.raises(OptionError, match="reference is frame 5; the clip has 5 frames"):
        result(align_pose(track(5), track(1), replace(PAPER, reference=5)))
    half = result(align_pose(track(2), track(1), PAPER, driving_keypoints=keypoints(people(1, 2) * np.float32(0.5), size=(200, 200))))
    whole = result(align_pose(track(2), track(1), PAPER, driving_keypoints=keypoints(people(1, 2))))
    np.testing.assert_allclose(half.skeletons[:, BODY, :2], whole.skeletons[:, BODY, :2], atol=1e-2)
