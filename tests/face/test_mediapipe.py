"""MediaPipe's analyzer on real media."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hp_core.errors import FaceError, ImageError
from hp_core.face.analyzer import Face, FaceAnalyzer, create_analyzer
from tests.face.pictures import blank


@pytest.fixture(scope="module")
def mediapipe() -> Iterator[FaceAnalyzer]:
    pytest.importorskip("mediapipe")
    try:
        analyzer = create_analyzer("mediapipe")
    except FaceError as error:
        pytest.skip(str(error))
    yield analyzer
    analyzer.close()


@pytest.fixture
def portrait(portrait_image: Path) -> Image.Image:
    return Image.open(portrait_image).convert("RGB")


@pytest.fixture
def portrait_face(mediapipe: FaceAnalyzer, portrait: Image.Image) -> Face:
    return mediapipe.detect(np.array(portrait))[0]


def points(face: Face) -> np.ndarray:
    assert face.landmarks is not None
    return face.landmarks


def paste(picture: np.ndarray, portrait: Image.Image, x: int, y: int, size: int) -> np.ndarray:
    out = Image.fromarray(picture)
    out.paste(portrait.resize((size, size), Image.Resampling.LANCZOS), (x, y))
    return np.array(out)


def test_mediapipe_portrait(portrait_face: Face, media_landmarks: Path) -> None:
    load_file = pytest.importorskip("safetensors.numpy").load_file
    stored = load_file(media_landmarks)["portrait_landmarks"]
    landmarks = points(portrait_face)
    assert landmarks.shape == (478, 3)
    assert landmarks.dtype == np.float32
    deviation = np.abs(landmarks - stored)
    assert deviation[:, :2].mean() < 2.5
    assert deviation[:, 2].mean() < 6
    np.testing.assert_array_equal(portrait_face.box, [*landmarks[:, :2].min(0), *landmarks[:, :2].max(0)])
    # Read off the picture by eye: pupils, nose tip, mouth corners.
    np.testing.assert_allclose(portrait_face.five_points, [(161, 233), (330, 227), (241, 340), (203, 401), (314, 398)], atol=14)
    assert (portrait_face.score, portrait_face.embedding) == (None, None)
    shapes, transform = portrait_face.blendshapes, portrait_face.head_transform
    assert shapes is not None
    assert transform is not None
    assert (shapes.shape, shapes.dtype, transform.shape, transform.dtype) == ((52,), np.float32, (4, 4), np.float32)
    assert 0 <= shapes.min() < shapes.max() <= 1
    rotation = transform[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
    assert -60 < transform[2, 3] < -10, "centimetres in front of the camera"


@pytest.mark.slow
def test_mediapipe_video_frames_do_not_depend_on_earlier_ones(mediapipe: FaceAnalyzer, driving_video: Path, media_landmarks: Path) -> None:
    av = pytest.importorskip("av")
    load_file = pytest.importorskip("safetensors.numpy").load_file
    stored = load_file(media_landmarks)["driving_landmarks"]
    with av.open(str(driving_video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == len(stored)
    found = [mediapipe.detect(frame) for frame in frames]
    assert all(len(faces) == 1 for faces in found)
    landmarks = np.stack([points(faces[0]) for faces in found])
    assert np.abs(landmarks - stored).mean() < 2.5
    for index in (100, 3):
        np.testing.assert_array_equal(mediapipe.detect(frames[index])[0].landmarks, landmarks[index])


def test_mediapipe_largest_face_first_and_cut_by_size(mediapipe: FaceAnalyzer, portrait: Image.Image) -> None:
    # MediaPipe is surer of the smaller face here, and alone would give that one.
    picture = paste(paste(blank(1000, 700), portrait, 10, 60, 350), portrait, 488, 8, 500)
    faces = mediapipe.detect(picture)
    assert [face.center[0] > 488 for face in faces] == [True, False]
    single = create_analyzer("mediapipe", max_faces=1)
    (only,) = single.detect(picture)
    single.close()
    assert only.center[0] > 488


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1920, 1080)])
def test_mediapipe_no_face(mediapipe: FaceAnalyzer, width: int, height: int) -> None:
    assert mediapipe.detect(blank(width, height)) == []


@pytest.mark.parametrize(("x", "y"), [(60, 500), (1100, 40), (1790, 950)])
def test_mediapipe_small_face_in_a_large_picture(
    mediapipe: FaceAnalyzer, portrait: Image.Image, portrait_face: Face, x: int, y: int
) -> None:
    size = 124  # the face is 80 pixels wide
    faces = mediapipe.detect(paste(blank(1920, 1080), portrait, x, y, size))
    assert len(faces) == 1
    face, scale = faces[0], size / 512
    wanted = points(portrait_face) * scale + np.array([x, y, 0])
    assert np.linalg.norm(points(face) - wanted, axis=1).mean() < 3
    assert portrait_face.box[2] - portrait_face.box[0] == pytest.approx(80 / scale, rel=0.05)
    # The head, 16 cm wide, projects where the face is when seen by the whole picture's camera.
    assert face.head_transform is not None
    focal = 1080 / 2 / math.tan(math.radians(63 / 2))
    right, up, back = face.head_transform[:3, 3]
    assert (960 - focal * right / back, 540 + focal * up / back) == pytest.approx(face.center, abs=15)
    assert focal * 16 / -back == pytest.approx(80, rel=0.3)


def test_mediapipe_tile_hits_need_confirming(mediapipe: FaceAnalyzer, portrait: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = paste(blank(1920, 1080), portrait, 700, 500, 124)
    real = mediapipe._detect_in  # type: ignore[attr-defined]
    monkeypatch.setattr(mediapipe, "_detect_in", lambda image, part: real(image, part) if part[2] - part[0] >= 240 else [])
    assert mediapipe.detect(picture) == [], "seen in tiles only"
    monkeypatch.undo()
    assert len(mediapipe.detect(picture)) == 1


@pytest.mark.parametrize(
    ("crop", "found"), [((100, 0, 512, 512), 1), ((0, 0, 340, 512), 1), ((0, 200, 512, 512), 1), ((300, 0, 512, 512), 0)]
)
def test_mediapipe_face_cut_by_the_border(
    mediapipe: FaceAnalyzer, portrait: Image.Image, portrait_face: Face, crop: tuple[int, int, int, int], found: int
) -> None:
    faces = mediapipe.detect(np.array(portrait.crop(crop)))
    assert len(faces) == found
    for face in faces:
        np.testing.assert_allclose(face.five_points + crop[:2], portrait_face.five_points, atol=25)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (32, 32), (32, 1), (1, 700), (33, 17)])
def test_mediapipe_tiny_pictures(mediapipe: FaceAnalyzer, portrait: Image.Image, width: int, height: int) -> None:
    for face in mediapipe.detect(np.array(portrait.resize((width, height)))):
        x, y = face.center
        assert -width <= x <= 2 * width
        assert -height <= y <= 2 * height


def test_mediapipe_wrong_picture_and_closed(mediapipe: FaceAnalyzer) -> None:
    with pytest.raises(ImageError, match="float32"):
        mediapipe.detect(np.zeros((64, 64, 3), np.float32))
    with pytest.raises(ImageError, match=r"\(64, 64, 4\)"):
        mediapipe.detect(np.zeros((64, 64, 4), np.uint8))
    other = create_analyzer("mediapipe")
    other.close()
    other.close()
    with pytest.raises(FaceError, match="closed"):
        other.detect(blank(64, 64))


@pytest.mark.slow
def test_mediapipe_left_open_ends_quietly(mediapipe: FaceAnalyzer) -> None:
    script = "from hp_core.face.analyzer import create_analyzer; analyzer = create_analyzer('mediapipe')"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
