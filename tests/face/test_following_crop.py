"""The crop that follows the face: steady, without lag, of every frame by its own square, in bounded memory."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hp_core.errors import OptionError
from hp_core.face.crop import crop_square, head_crop, motion_crop, square_box
from hp_core.face.cropper import CROPS
from hp_core.face.track import FaceTracker
from hp_core.values import in_square
from tests.face.scripted import CONFIG, Scripted, face, track

WIDE = (300, 1200)
SIDE = 60
CLIPS = settings(max_examples=40)  # whole clips are cropped
stiffnesses = st.integers(0, 40)


def middle(squares: np.ndarray) -> np.ndarray:
    return (squares[:, :2] + squares[:, 2:]) / 2


def test_crops():
    assert CROPS == ("face", "whole", "follow")
    with pytest.raises(OptionError, match="crop is 'tracked'; choose one of: face, whole, follow"):
        FaceTracker(Scripted([]), CONFIG, crop="tracked")


@pytest.mark.parametrize("stiffness", [-1, 251])
def test_stiffness_has_limits(stiffness):
    with pytest.raises(OptionError, match=rf"stiffness is {stiffness}; it must be between 0 and 250"):
        FaceTracker(Scripted([]), CONFIG, crop="follow", stiffness=stiffness)


@pytest.mark.slow
@CLIPS
@given(stiffnesses, st.floats(-15, 15), st.floats(40, 70), st.integers(1, 60))
@example(stiffness=0, speed=1.5, side=41.0, frames=4)  # whose corners lie between pixels
def test_a_face_of_constant_speed_stays_where_it_is_in_its_crop(stiffness, speed, side, frames):
    """All along, since the window stays symmetric; within the rounding of the square to whole pixels."""
    clip = [[face(570 + speed * (i - frames / 2), 110 + speed / 10 * i, side)] for i in range(frames)]
    result = track(clip, WIDE, crop="follow", stiffness=stiffness)
    places = np.stack([in_square(result.five_points[i], result.square_of(i), 1) for i in range(frames)])  # 0..1 of the side
    inside = (result.boxes[:, :2].min(1) > side) & (result.boxes[:, 2] < WIDE[1] - side) & (result.boxes[:, 3] < WIDE[0] - side)
    assert np.ptp(places[inside], axis=0).max(initial=0) * 3 * side <= 2
    assert np.ptp(result.squares[inside, 2] - result.squares[inside, 0]) <= 1 if inside.any() else True


@pytest.mark.slow
@CLIPS
@given(stiffnesses, st.floats(0, 340), st.floats(0, 240), st.floats(20, 60), st.integers(1, 50))
def test_a_still_face_gives_the_fixed_crop(stiffness, x, y, side, frames):
    clip = [[face(x, y, side)]] * frames
    fixed, follow = track(clip), track(clip, crop="follow", stiffness=stiffness)
    assert fixed.squares is None
    assert (follow.squares == fixed.square).all()
    assert follow.square == fixed.square
    for name in ("head_crops", "motion_crops", "portrait_crop", "crop_points", "boxes"):
        np.testing.assert_array_equal(getattr(follow, name), getattr(fixed, name), err_msg=name)


@pytest.mark.parametrize("speed", [0, 6])
def test_the_crop_is_much_steadier_than_a_jittering_detection(speed):
    rng = np.random.default_rng(0)
    clip = [[face(300 + speed * i + rng.uniform(-6, 6), 120 + rng.uniform(-6, 6), SIDE + rng.uniform(-6, 6))] for i in range(80)]

    def unrest(stiffness: int) -> float:
        squares = track(clip, WIDE, crop="follow", stiffness=stiffness).squares[15:-15]
        return float(np.diff(np.hstack([middle(squares), squares[:, 2:3] - squares[:, :1]]), axis=0).std(0).sum())

    raw, soft, stiff = (unrest(stiffness) for stiffness in (0, 4, 12))
    assert soft < 0.3 * raw
    assert stiff < 0.15 * raw


def test_the_square_keeps_its_size_at_the_pictures_edge():
    """The released rule would shrink it there, and the head would grow in the crop."""
    clip = [[face(200 - 8 * i, 110, SIDE)] for i in range(25)]
    x1, _, x2, _ = track(clip, crop="follow", stiffness=0).squares.T
    assert x1[-1] == 0
    assert np.ptp(x2 - x1) <= 1


def test_stiffness_0_follows_every_box():
    rng = np.random.default_rng(1)
    clip = [[face(*rng.uniform(90, 110, 2), rng.uniform(50, 60))] for _ in range(20)]
    result = track(clip, crop="follow", stiffness=0)
    assert [tuple(square) for square in result.squares] == [square_box(box, (300, 400)) for box in result.boxes]


def test_a_jump_is_met_halfway_without_lag():
    clip = [[face(x, 110, SIDE)] for x in [300.0] * 20 + [330.0] * 20]
    followed = middle(track(clip, WIDE, crop="follow", stiffness=5).squares)[:, 0]
    assert followed[14] == 330
    assert followed[25] == 360
    np.testing.assert_allclose(followed + followed[::-1], 690, atol=1)  # as long before as after
    assert (np.diff(followed) >= 0).all()


@pytest.mark.slow
@CLIPS
@given(stiffnesses, st.integers(0, 1000))
def test_squares_stay_in_the_picture(stiffness, seed):
    rng = np.random.default_rng(seed)
    x, y, side, clip = 170.0, 120.0, 60.0, []
    for _ in range(30):
        x, y, side = np.clip(x + rng.uniform(-30, 30), -20, 360), np.clip(y + rng.uniform(-30, 30), -20, 260), rng.uniform(50, 70)
        clip.append([face(x, y, side)])
    x1, y1, x2, y2 = track(clip, crop="follow", stiffness=stiffness, on_missing="hold").squares.T
    assert (x1 >= 0).all()
    assert (y1 >= 0).all()
    assert (x2 <= 400).all()
    assert (y2 <= 300).all()
    assert (np.abs((x2 - x1) - (y2 - y1)) <= 1).all()


@CLIPS
@given(
    seen=st.lists(st.booleans(), min_size=1, max_size=50).filter(any),
    rule=st.sampled_from(["hold", "interpolate"]),
    stiffness=stiffnesses,
)
def test_gaps_are_filled_as_with_a_fixed_crop(seen, rule, stiffness):
    clip = [[face(100 + i, 100, SIDE)] if found else [] for i, found in enumerate(seen)]
    fixed, follow = track(clip, on_missing=rule), track(clip, crop="follow", stiffness=stiffness, on_missing=rule)
    for name in ("boxes", "five_points", "found", "portrait"):
        np.testing.assert_array_equal(getattr(follow, name), getattr(fixed, name), err_msg=name)
    # each frame is cut from its own picture, which is of one grey level
    assert [int(crop.max()) for crop in follow.head_crops] == list(range(len(seen)))
    assert [int(crop.max()) for crop in follow.motion_crops] == list(range(len(seen)))
    # smoothed as if all boxes had been known at once
    boxes = follow.boxes.astype(np.float64)
    for i in range(len(boxes)):
        radius = min(stiffness, i, len(boxes) - 1 - i)
        window = np.hanning(2 * radius + 3)[1:-1]
        expected = square_box(np.average(boxes[i - radius : i + radius + 1], axis=0, weights=window), (300, 400))
        assert np.abs(np.subtract(follow.squares[i], expected)).max() <= 1


def test_both_crops_of_a_frame_are_cut_where_the_face_is():
    """A picture whose colours tell the place; the face walks eight times its side."""
    ys, xs = np.mgrid[0 : WIDE[0], 0 : WIDE[1]]
    image = np.stack([xs // 5, ys // 2, xs % 256], -1).astype(np.uint8)
    tracker = FaceTracker(Scripted([[face(100 + 16 * i, 110, SIDE)] for i in range(31)]), CONFIG, crop="follow", stiffness=6)
    for _ in range(31):
        tracker.add(image)
    result = tracker.finish()
    for i in (0, 3, 15, 30):
        cut = crop_square(image, result.square_of(i), CONFIG.image_size)
        np.testing.assert_array_equal(result.head_crops[i], head_crop(cut, CONFIG))
        own = motion_crop(image, result.five_points[i], result.boxes[i], CONFIG)  # at constant speed the smoothed box is the face's
        np.testing.assert_allclose(result.motion_crops[i].astype(int), own.astype(int), atol=1)
    assert result.square == result.square_of(0)
    np.testing.assert_array_equal(result.portrait_crop, np.asarray(crop_square(image, result.square, CONFIG.image_size)))


@pytest.mark.parametrize("stiffness", [0, 3, 9])
def test_no_more_whole_frames_than_the_stiffness_stay_in_memory(stiffness):
    clip = [[] if 10 <= i < 14 else [face(100 + i, 100, SIDE)] for i in range(60)]
    tracker = FaceTracker(Scripted(clip), CONFIG, crop="follow", stiffness=stiffness, on_missing="interpolate")
    images: list[weakref.ref[np.ndarray]] = []
    alive = []
    for _ in clip:
        image = np.zeros((300, 400, 3), np.uint8)
        images.append(weakref.ref(image))
        tracker.add(image)
        del image
        alive.append(sum(ref() is not None for ref in images))
    assert max(alive[:10] + alive[14:]) <= stiffness + 1  # and the first frame, which is the portrait
    assert max(alive) <= stiffness + 1 + 4
