"""People who pass each other are not taken for one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hp_core.errors import FaceError
from hp_core.face.analyzer import Face
from hp_core.face.follow import Follower
from tests.face.scripted import FIVE, face, track

WIDE = (300, 1200)
SIDE = 60


def walk(start: float, speed: float, frames: int = 30, *, y: float = 100, side: float = SIDE, seed: int | None = None) -> list[Face]:
    """A face that moves sideways; with a seed, seen where it is not, by up to 3 % of its side."""
    faces = [face(start + speed * i, y, side) for i in range(frames)]
    if seed is None:
        return faces
    noise = np.random.default_rng(seed).uniform(-0.03, 0.03, (frames, 7, 2)) * side
    return [
        Face((f.box + n[5:].reshape(4)).astype(np.float32), (f.five_points + n[:5]).astype(np.float32))
        for f, n in zip(faces, noise, strict=True)
    ]


def hidden(front: list[Face], behind: list[Face], distance: float) -> list[list[Face]]:
    """What is found where the one in front hides the other within ``distance`` of it, pixels."""
    return [[f] if abs(f.center[0] - b.center[0]) < distance else [f, b] for f, b in zip(front, behind, strict=True)]


def starts(faces: list[Face]) -> np.ndarray:
    return np.array([f.box[0] for f in faces])


def test_two_faces_that_meet_at_one_place_and_pass():
    right, left = walk(100, 20), walk(100 + 20 * 28, -20)  # at frame 14 both are at 380
    frames = [list(pair) for pair in zip(right, left, strict=True)]
    np.testing.assert_array_equal(frames[14][0].box, frames[14][1].box)
    np.testing.assert_allclose(track(frames, WIDE, which="leftmost").boxes[:, 0], starts(right))
    np.testing.assert_allclose(track(frames, WIDE, which="rightmost").boxes[:, 0], starts(left))


@given(
    speed=st.floats(3, 30),
    other=st.floats(-30, -3),
    meeting=st.floats(8, 22),
    size=st.floats(0.8, 1.25),
    y=st.floats(-15, 15),
    seed=st.integers(0, 99),
)
def test_two_faces_that_pass_at_any_speed_and_place(speed, other, meeting, size, y, seed):
    followed = walk(600 - speed * meeting, speed, seed=seed)
    passed = walk(600 - other * meeting, other, y=100 + y, side=SIDE * size, seed=seed + 100)
    follower = Follower(followed[0], [followed[0], passed[0]])
    for right, wrong in zip(followed[1:], passed[1:], strict=True):
        taken = follower.next([wrong, right])
        if abs(right.center[0] - wrong.center[0]) > 0.25 * SIDE:  # nearer than that, nobody can tell, and nothing depends on it
            assert taken is right


def test_a_face_passes_one_that_stands_still_and_the_other_way_round():
    moving, still = walk(100, 17), walk(340, 0, seed=3)
    frames = [list(pair) for pair in zip(moving, still, strict=True)]
    np.testing.assert_allclose(track(frames, WIDE, which="leftmost").boxes[:, 0], starts(moving))
    np.testing.assert_allclose(track(frames, WIDE, which="rightmost").boxes[:, 0], starts(still))


@pytest.mark.parametrize("speed", [3, 7, 11])
def test_a_face_hidden_behind_another_is_missing_until_it_comes_out(speed):
    """The one in front is within reach all the while, and is not taken."""
    behind, front = walk(300 - speed * 15.5, speed, seed=1), walk(300, 0, seed=2)
    frames = hidden(front, behind, 0.35 * SIDE)
    gone = [len(found) == 1 for found in frames]
    assert any(gone)
    result = track(frames, WIDE, which="leftmost", on_missing="interpolate")
    np.testing.assert_array_equal(result.found, ~np.array(gone))
    np.testing.assert_allclose(result.boxes[:, 0], starts(behind), atol=0.08 * SIDE)
    with pytest.raises(FaceError, match=rf"gone, 1 other found, in frame {gone.index(True)}\."):
        track(frames, WIDE, which="leftmost")
    np.testing.assert_allclose(track(frames, WIDE, which="rightmost").boxes[:, 0], starts(front))


def test_both_walk_and_the_one_behind_comes_out_on_its_side():
    behind, front = walk(300 - 6 * 15, 6, seed=4), walk(300 + 9 * 15, -9, seed=5)
    frames = hidden(front, behind, 0.4 * SIDE)
    result = track(frames, WIDE, which="leftmost", on_missing="hold")
    assert 0 < (~result.found).sum() < 6
    np.testing.assert_allclose(result.boxes[result.found, 0], starts(behind)[result.found])


def test_where_two_stand_in_one_place_the_points_tell_them_apart():
    """They come together and stay there cheek to cheek: who looks left stays who looks left."""
    turn = np.array([[0.1, 0], [0.1, 0], [0.25, 0], [0.1, 0], [0.1, 0]])
    rng = np.random.default_rng(0)

    def seen(look: np.ndarray, x: float) -> Face:
        x, y = x + rng.uniform(-2, 2), 100 + rng.uniform(-2, 2)
        return Face(np.array([x, y, x + SIDE, y + SIDE], np.float32), ((FIVE + look) * SIDE + (x, y)).astype(np.float32))

    apart = np.maximum(np.linspace(60, -60, 40), 1)
    lefts, rights = [seen(-turn, 150 - way) for way in apart], [seen(turn, 150 + way) for way in apart]
    frames = [list(pair) for pair in zip(lefts, rights, strict=True)]
    np.testing.assert_allclose(track(frames, which="leftmost").boxes[:, 0], starts(lefts))


def test_a_second_detection_of_the_face_does_not_take_its_place():
    """For some frames the analyzer reports it twice; then only the other box remains."""
    frames = [[face(100, 100, 60), face(110, 105, 50)]] * 5 + [[face(110, 105, 50)]] * 5
    result = track(frames)
    assert result.found.all()


@pytest.mark.parametrize("away", [4, 9, 12])
def test_somebody_who_walks_on_out_of_sight_is_met_where_they_come_out(away):
    """Behind a pillar: longer than a face's width, at the speed they had."""
    walking = walk(50, 0.15 * SIDE, 40, seed=6)
    frames = [[] if 15 <= i < 15 + away else [f] for i, f in enumerate(walking)]
    result = track(frames, WIDE, on_missing="interpolate")
    assert result.found.tolist() == [bool(found) for found in frames]
    elsewhere = track([*frames[: 15 + away], [walking[-1]]], WIDE, on_missing="hold")
    assert not elsewhere.found[-1], "who comes out elsewhere is somebody else"


def test_a_face_found_again_too_far_off_is_taken_once_it_is_back():
    frames = [[face(100, 100, 60)], [], [face(180, 100, 60)], [face(150, 100, 60)], [face(140, 100, 60)]]
    assert track(frames, on_missing="hold").found.tolist() == [True, False, False, True, True]


@given(st.lists(st.tuples(st.floats(-0.35, 0.35), st.floats(-0.35, 0.35), st.floats(0.8, 1.25)), min_size=1, max_size=20))
def test_a_face_alone_is_followed_whatever_it_does_within_reach(steps):
    x, y, side = 1000.0, 1000.0, 100.0
    faces = [face(x, y, side)]
    follower = Follower(faces[0], faces)
    for dx, dy, growth in steps:
        grown = min(max(side * growth, 50), 200)
        x, y, side = x + dx * side + (side - grown) / 2, y + dy * side + (side - grown) / 2, grown
        faces.append(face(x, y, side))
        assert follower.next([faces[-1]]) is faces[-1]
