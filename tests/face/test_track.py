"""A face stays the same face; frames without it follow the rule and say so."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hp_core.config import FaceConfig
from hp_core.errors import FaceError, OptionError
from hp_core.face.analyzer import Face, create_analyzer
from hp_core.face.track import FaceTracker, choose_face

CONFIG = FaceConfig(image_size=128, head_size=64, motion_size=64)
FIVE = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])


def face(x: float, y: float, side: float) -> Face:
    """A face whose box starts at (x, y)."""
    return Face(np.array([x, y, x + side, y + side], np.float32), (FIVE * side + (x, y)).astype(np.float32), score=0.9)


class Scripted:
    """An analyzer that reports what a script says, frame by frame, and one face filling any crop."""

    name, threshold = "scripted", 0.5

    def __init__(self, frames: list[list[Face]]):
        self.frames = iter(frames)

    def detect(self, image: np.ndarray) -> list[Face]:
        if image.shape[0] == CONFIG.image_size:
            return [face(43, 43, 42)]
        return sorted(next(self.frames), key=lambda f: -f.area)

    def close(self) -> None:
        pass


def track(frames: list[list[Face]], **options):
    tracker = FaceTracker(Scripted(frames), CONFIG, **options)
    for i in range(len(frames)):
        tracker.add(np.full((300, 400, 3), i, np.uint8))
    return tracker.finish(Fraction(30))


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
