"""What MediaPipe reads from drawn faces follows what they do."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from hp_core.bench.faces import face_readings
from hp_core.demo.identity import Identity
from hp_core.demo.render import five_points
from hp_core.errors import ImageError, OptionError
from hp_core.evaluation.readings import MotionReader
from tests.demo.faces import picture, still

LIMITS = {
    "yaw": 0.95, "roll": 0.95, "jaw": 0.9, "blink_left": 0.9, "blink_right": 0.9, "gaze_x": 0.9,
    "pitch": 0.85, "smile": 0.85, "brows": 0.85, "gaze_y": 0.75, "pucker": 0.7,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("yaw", -20, 20), ("pitch", -14, 14), ("roll", -12, 12), ("jaw", 0, 1), ("smile", -1, 1), ("pucker", 0, 1), ("brows", -1, 1)]
    + [("blink_left", 0, 1), ("blink_right", 0, 1), ("gaze_x", -0.9, 0.9), ("gaze_y", -0.9, 0.9)],
)
def test_each_reading_rises_with_its_motion(name: str, low: float, high: float, reader: MotionReader) -> None:
    for seed in (1, 7):
        below, above = (reader.read(picture(Identity.sample(seed), still(**{name: value}))) for value in (low, high))
        assert below is not None
        assert above is not None
        part = 0.2 if name.startswith("blink") else 0.35  # MediaPipe half believes in winks
        assert getattr(above, name) - getattr(below, name) > part * (high - low)


def test_landmarks_are_in_the_pixels_of_the_frame(reader: MotionReader) -> None:
    who = Identity.sample(2)
    for size in (128, 512):
        reading = reader.read(picture(who, still(), size))
        assert reading is not None
        assert (reading.landmarks.shape, reading.landmarks.dtype) == ((478, 2), np.float32)
        np.testing.assert_allclose(reading.landmarks[[468, 473, 1, 61, 291]], five_points(who, still(), size)[0], atol=0.03 * size)


def test_a_mirror_image_is_read_as_the_mirrored_motion(reader: MotionReader) -> None:
    who, doing = Identity.sample(4), still(yaw=14.0, roll=6.0, gaze_x=0.6, blink_left=0.8, jaw=0.4)
    frame = picture(who, doing)
    seen, mirrored = reader.read(frame), reader.read(np.ascontiguousarray(frame[:, ::-1]))
    assert seen is not None
    assert mirrored is not None
    alike = partial(pytest.approx, abs=0.01)  # enlarging rounds either way
    for name in ("pitch", "jaw", "smile", "pucker", "brows", "gaze_y"):
        assert getattr(mirrored, name) == alike(getattr(seen, name))
    for name in ("yaw", "roll", "gaze_x"):
        assert getattr(mirrored, name) == alike(-getattr(seen, name))
        assert getattr(seen, name) > 0.2
    assert (mirrored.blink_left, mirrored.blink_right) == alike((seen.blink_right, seen.blink_left))
    assert seen.blink_left > seen.blink_right
    points = five_points(who, doing, frame.shape[0])[0]
    np.testing.assert_allclose(seen.landmarks[[468, 473, 1, 61, 291]], points, atol=0.03 * frame.shape[0])


def test_no_face_no_reading(reader: MotionReader) -> None:
    assert reader.read(np.full((200, 300, 3), 128, np.uint8)) is None
    with pytest.raises(ImageError):
        reader.read(np.zeros((8, 8), np.uint8))


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(OptionError, match="at least 16"):
        face_readings(3)


@pytest.mark.slow
def test_a_thousand_faces_are_found_and_read(reader: MotionReader) -> None:
    facts = face_readings(1000)
    assert facts["frames_read"] == 1000
    assert facts["detected"] >= 0.99
    low = {name: value for name, value in facts["correlations"].items() if value < LIMITS[name]}
    assert not low
