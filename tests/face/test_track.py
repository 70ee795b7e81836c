"""A face stays the same face; frames without it follow the rule and say so."""

from __future__ import annotations

import numpy as np
import pytest

from hp_core.errors import FaceError, OptionError
from hp_core.face.analyzer import create_analyzer
from hp_core.face.choose import choose_face
from hp_core.face.track import FaceTracker, track_faces
from hp_core.progress import result
from tests.face.scripted import CONFIG, Scripted, face, track


def test_it_follows_the_first_face_past_a_larger_one():
    small, large = 60, 90
    frames = [[face(50, 100, small)]] + [[face(50 + 5 * i, 100, small), face(280, 100, large)] for i in range(1, 8)]
    result = track(frames)
    np.testing.assert_allclose(result.boxes[:, 0], [50 + 5 * i for i in range(8)])
    assert result.found.all()
    assert result.fps == 30


def test_two_faces_that_pass_each_other_keep_apart():
    frames = [[face(20 + 20 * i, 60, 60), face(300 - 20 * i, 190, 62)] for i in range(15)]
    result = track(frames, which="leftmost")
    np.testing.assert_allclose(result.boxes[:, 1], 60)


def test_another_face_alone_does_not_take_over():
    frames = [[face(20, 100, 60)], [face(300, 100, 60)], [face(24, 100, 60)]]
    with pytest.raises(FaceError, match=r"gone, 1 other found, in frame 1.*hold"):
        track(frames)
    assert track(frames, on_missing="hold").found.tolist() == [True, False, True]


def test_hold_and_interpolate():
    frames = [[], [face(40, 100, 60)], [], [], [face(70, 100, 60)], []]
    held, mixed = track(frames, on_missing="hold"), track(frames, on_missing="interpolate")
    np.testing.assert_allclose(held.boxes[:, 0], [40, 40, 40, 40, 70, 70])
    np.testing.assert_allclose(mixed.boxes[:, 0], [40, 40, 50, 60, 70, 70])
    assert mixed.found.tolist() == [False, True, False, False, True, False]
    assert (held.on_missing, mixed.on_missing) == ("hold", "interpolate")
    assert len(mixed.motion_crops) == len(mixed.head_crops) == 6
    # each filled frame is cut from its own picture
    assert [int(crop.max()) for crop in mixed.head_crops] == [0, 1, 2, 3, 4, 5]


def test_errors_name_frame_threshold_and_remedy():
    with pytest.raises(FaceError, match=r"No face found in frame 2.*detection_threshold \(now 0.5\)"):
        track([[face(40, 100, 60)], [face(41, 100, 60)], []])
    with pytest.raises(FaceError, match="any of 3 frames"):
        track([[], [], []], on_missing="hold")
    with pytest.raises(OptionError, match="on_missing is 'skip'"):
        track([[face(40, 100, 60)]], on_missing="skip")
    with pytest.raises(OptionError, match="no frames"):
        track([])


def test_frames_of_two_sizes_are_an_error():
    tracker = FaceTracker(Scripted([[face(40, 100, 60)]]), CONFIG)
    tracker.add(np.zeros((300, 400, 3), np.uint8))
    with pytest.raises(FaceError, match="Frame 1 is 200x300, the first one 400x300"):
        tracker.add(np.zeros((300, 200, 3), np.uint8))


def test_choice_of_face():
    faces = [face(200, 100, 80), face(10, 40, 60), face(150, 200, 50)]
    size = (300, 400)
    expected = {"largest": 0, "leftmost": 1, "rightmost": 0, "topmost": 1, "bottommost": 2, "center": 0}
    assert {which: faces.index(choose_face(faces, which, size)) for which in expected} == expected
    assert choose_face(faces, 2, size) is faces[2]
    with pytest.raises(OptionError, match=r"Face 3 was asked for, 3 found; choose 0 to 2"):
        choose_face(faces, 3, size)
    with pytest.raises(OptionError, match="Unknown choice of face 'prettiest'"):
        choose_face(faces, "prettiest", size)


def test_an_index_past_the_last_face_stops_the_run():
    two = [face(20, 100, 60), face(300, 100, 80)]
    assert track([two], which=1).boxes[0, 0] == 20
    for which in (2, -1):
        with pytest.raises(OptionError, match=rf"Face {which} was asked for, 2 found; choose 0 to 1"):
            track([two], which=which, on_missing="hold")


def test_choice_by_a_point():
    faces = [face(200, 100, 90), face(10, 40, 60), face(160, 120, 30)]
    size = (300, 400)
    # in the large one near its edge, although the small one's middle is nearer; between two; in a corner; a little outside
    points = {(201, 130): 0, (140, 130): 2, (90, 60): 1, (0, 0): 1, (350, 250): 0, (171.5, 140): 2}
    assert {point: faces.index(choose_face(faces, point, size)) for point in points} == points
    assert track([faces, faces], which=(20, 50)).boxes[:, 0].tolist() == [10, 10]
    frames = (np.zeros((300, 400, 3), np.uint8) for _ in range(2))
    followed = result(track_faces(frames, Scripted([faces] * 2), CONFIG, total=2, which=(170, 130)))
    assert followed.boxes[:, 0].tolist() == [160, 160]


@pytest.mark.parametrize("point", [(399, 299), (120, 250)])
def test_a_point_far_from_every_face_means_somebody_who_was_not_found(point):
    faces = [face(200, 100, 90), face(10, 40, 60), face(160, 120, 30)]
    with pytest.raises(FaceError, match=r"No face was found at the point .* the nearest one's middle is at"):
        choose_face(faces, point, (300, 400))
    with pytest.raises(FaceError, match=r"Frame 0: No face was found at the point"):  # nobody who comes by later is meant
        track([faces, [face(*point, 40)]], which=point, on_missing="hold")


@pytest.mark.parametrize("point", [(400, 10), (10, 300), (-1, 10), (float("nan"), 10)])
def test_a_point_outside_the_picture_is_refused(point):
    with pytest.raises(OptionError, match=r"outside the picture; x must be 0 to 399, y 0 to 299"):
        track([[face(20, 100, 60)]], which=point)


def test_a_point_of_three_numbers_is_refused():
    with pytest.raises(OptionError, match="has 3 numbers; give two"):
        choose_face([face(20, 100, 60)], (1, 2, 3), (300, 400))


def test_the_tracker_tells_the_face_of_the_last_frame():
    here, there = face(20, 100, 60), face(300, 100, 50)
    tracker = FaceTracker(Scripted([[here, there], [there], [here]]), CONFIG, on_missing="hold")
    seen = []
    for _ in range(3):
        tracker.add(np.zeros((300, 400, 3), np.uint8))
        seen.append(tracker.face)
    assert seen == [here, None, here]
    assert tracker.frames == 3


def test_the_first_frames_square_is_kept():
    result = track([[face(100 + 10 * i, 100, 60)] for i in range(4)])
    assert result.square == (40, 40, 220, 220)
    assert result.portrait_crop.shape == (128, 128, 3)
    assert result.crop_points_found


def test_unknown_analyzer_and_threshold():
    with pytest.raises(OptionError, match=r"Unknown face analyzer 'dlib'.*mediapipe, insightface, yolo"):
        create_analyzer("dlib")
    with pytest.raises(OptionError, match="between 0 and 1"):
        create_analyzer("mediapipe", threshold=1.5)


def test_a_neighbour_does_not_take_over_after_a_gap():
    neighbour = face(280, 100, 60)
    frames = [[face(40, 100, 60), neighbour]] + [[neighbour]] * 6 + [[face(50, 100, 60), neighbour]]
    result = track(frames, on_missing="hold")
    assert result.found.tolist() == [True] + [False] * 6 + [True]
    np.testing.assert_allclose(result.boxes[1:7, 0], 40)


def test_a_face_of_another_size_is_another_face():
    frames = [[face(100, 100, 60)], [face(60, 60, 140)]]
    with pytest.raises(FaceError, match="gone, 1 other found, in frame 1"):
        track(frames)


def test_waiting_for_a_face_has_a_limit_and_holding_none(monkeypatch):
    monkeypatch.setattr("hp_core.face.track.MAX_PENDING", 3)
    gap = [[face(40, 100, 60)]] + [[]] * 5 + [[face(40, 100, 60)]]
    assert len(track(gap, on_missing="hold")) == 7
    with pytest.raises(FaceError, match=r"No face in 4 frames up to frame 4.*hold"):
        track(gap, on_missing="interpolate")
