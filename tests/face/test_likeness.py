"""The person of a reference picture is found among others, or the run says that nobody is like it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hp_core.demo
from hp_core.config import FaceConfig
from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render
from hp_core.errors import FaceError, OptionError
from hp_core.face.analyzer import FaceAnalyzer, create_analyzer
from hp_core.face.choose import choose_face
from hp_core.face.likeness import IdentityEncoder, Likeness
from hp_core.face.track import FaceTracker, track_faces
from hp_core.progress import result
from tests.face.scripted import CONFIG, Scripted, face


class ByColour:
    """Embeds the mean colour of the aligned face."""

    def embed(self, face: np.ndarray) -> np.ndarray:
        colour = face.mean((0, 1))
        return np.asarray(colour / np.linalg.norm(colour), np.float32)


COLOURS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}


def picture(*names: str) -> np.ndarray:
    """A 100 pixels wide field of each colour, side by side."""
    return np.hstack([np.full((300, 100, 3), COLOURS[name], np.uint8) for name in names])


def in_field(index: int, side: float = 60, **options: object) -> object:
    return face(100 * index + 20, 100, side, **options)


def likeness(name: str, threshold: float = 0.5) -> Likeness:
    return Likeness.of(picture(name), Scripted([[in_field(0)]]), ByColour(), threshold=threshold)


def test_it_is_that_of_the_largest_face():
    small, large = in_field(0, 40), in_field(1, 70)
    several = Likeness.of(picture("red", "blue"), Scripted([[small, large]]), ByColour())
    np.testing.assert_allclose(several.embedding, likeness("blue").embedding, atol=1e-6)
    assert several.threshold == 0.3


def test_the_tracker_follows_whom_it_shows():
    faces = [in_field(0), in_field(1, 66), in_field(2)]
    tracker = FaceTracker(Scripted([faces] * 3), CONFIG, which=likeness("blue"))
    for _ in range(3):
        tracker.add(picture("red", "green", "blue"))
    assert tracker.finish().boxes[:, 0].tolist() == [220] * 3


@pytest.mark.parametrize("which", ["likeness", "leftmost"])
def test_whoever_comes_back_elsewhere_is_found_by_the_likeness_alone(which: str):
    """After a cut: by place alone it could be anybody."""
    clip, pictures = [[in_field(2)], [], [in_field(0)]], [picture("red", "green", "blue")] * 2 + [picture("blue", "green", "red")]
    tracker = FaceTracker(Scripted(clip), CONFIG, which=likeness("blue") if which == "likeness" else which, on_missing="hold")
    for image in pictures:
        tracker.add(image)
    track = tracker.finish()
    assert track.found.tolist() == [True, False, which == "likeness"]
    assert track.boxes[2, 0] == (20 if which == "likeness" else 220)


def test_after_a_cut_whoever_stands_there_need_not_be_the_person() -> None:
    """Shot and reverse shot: another face where theirs was, theirs elsewhere, then nobody like them."""
    clip = [[in_field(2)], [in_field(2), in_field(0)], [in_field(2)]]
    dark = (picture("blue", "green", "red") * 0.3).astype(np.uint8)
    pictures = [picture("red", "green", "blue"), dark, picture("green", "blue", "red")]
    tracker = FaceTracker(Scripted(clip), CONFIG, which=likeness("blue"), on_missing="hold")
    for image in pictures:
        tracker.add(image)
    track = tracker.finish()
    assert track.found.tolist() == [True, True, False]
    assert track.boxes[1, 0] == 20


def test_embeddings_of_the_analyzer_are_not_compared_with_those_of_the_encoder():
    blue = likeness("blue")
    faces = [in_field(0, embedding=blue.embedding), in_field(1, embedding=-blue.embedding)]
    assert choose_face(faces, blue, (300, 200), picture("red", "blue")) is faces[1]


def test_nobody_like_it_is_an_error_with_value_threshold_and_remedy():
    tracker = FaceTracker(Scripted([[in_field(0), in_field(1)]]), CONFIG, which=likeness("blue", 0.4), start=7)
    with pytest.raises(
        FaceError, match=r"Frame 7: No face .* best of 2 has cosine 0\.21, the threshold is 0\.4\. .*name the face by an index"
    ):
        tracker.add(picture("red", "green"))
    alone = FaceTracker(Scripted([[in_field(0)]]), CONFIG, which=likeness("blue"), on_missing="hold")
    alone.add(picture("red"))
    with pytest.raises(FaceError, match=r"Frame 0: No face is like .* cosine 0\.21"):
        alone.finish()


@pytest.mark.parametrize("rule", ["hold", "interpolate"])
def test_frames_before_the_person_comes_follow_the_rule(rule):
    frames = [[in_field(0)], [], [in_field(0), in_field(1)]]
    tracker = FaceTracker(Scripted(frames), CONFIG, which=likeness("blue"), on_missing=rule)
    for second in ("green", "green", "blue"):
        tracker.add(picture("red", second))
    followed = tracker.finish()
    assert followed.found.tolist() == [False, False, True]
    assert followed.boxes[:, 0].tolist() == [120] * 3


def test_waiting_for_the_person_has_a_limit_that_says_so(monkeypatch):
    monkeypatch.setattr("hp_core.face.track.MAX_PENDING", 2)
    tracker = FaceTracker(Scripted([[in_field(0)]] * 3), CONFIG, which=likeness("blue"), on_missing="hold")
    tracker.add(picture("red"))
    tracker.add(picture("red"))
    with pytest.raises(FaceError, match=r"too many to wait.*Frame 2: No face is like the reference"):
        tracker.add(picture("red"))


def test_bad_input():
    with pytest.raises(FaceError, match=r"reference picture \(100x300\)\. Lower detection_threshold \(now 0\.5\)"):
        Likeness.of(picture("red"), Scripted([[]]), ByColour())
    for threshold in (1.5, -1.1, float("nan")):
        with pytest.raises(OptionError, match="likeness threshold is"):
            likeness("red", threshold)
    with pytest.raises(OptionError, match="Pass image"):
        choose_face([in_field(0)], likeness("red"), (300, 100))


# ArcFace


@pytest.fixture(scope="module")
def mediapipe() -> Iterator[FaceAnalyzer]:
    try:
        analyzer = create_analyzer()
    except FaceError as error:
        pytest.skip(str(error))
    yield analyzer
    analyzer.close()


@pytest.fixture(scope="module")
def arcface() -> IdentityEncoder:
    pytest.importorskip("onnxruntime")
    from hp_core.appearance.identity import ArcFaceOnnx

    return ArcFaceOnnx(Path(hp_core.demo.__file__).parent / "weights" / "arcface.onnx")


def person(identity: int, performance: int, frames: int = 1, start: int = 0) -> list[np.ndarray]:
    return list(render(Identity.sample(identity), Performance.sample(performance, start + frames), size=256))[start:]


@pytest.mark.parametrize(("left", "right"), [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)])
def test_arcface_finds_either_of_two_people(left: int, right: int, mediapipe: FaceAnalyzer, arcface: IdentityEncoder) -> None:
    clip = [np.hstack(pair) for pair in zip(person(left, 100 + left, 2, 20), person(right, 100 + right, 2, 20), strict=True)]
    for who, half in ((left, 0), (right, 1)):
        sought = Likeness.of(person(who, 200 + who)[0], mediapipe, arcface)
        followed = result(track_faces(clip, mediapipe, FaceConfig(), total=2, which=sought))
        assert (followed.boxes[:, [0, 2]].mean(1) // 256 == half).all()


def test_arcface_finds_nobody_where_the_person_is_absent(mediapipe: FaceAnalyzer, arcface: IdentityEncoder) -> None:
    sought = Likeness.of(person(0, 200)[0], mediapipe, arcface)
    with pytest.raises(FaceError, match=r"No face is like the reference picture: the best of 1"):
        result(track_faces(person(1, 101), mediapipe, FaceConfig(), total=1, which=sought))
