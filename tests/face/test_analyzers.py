"""The three face analyzers: MediaPipe on real media, InsightFace and YOLO on constant models of the real ones' signature."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hp_core.errors import FaceError, ImageError
from hp_core.face.analyzer import Face, FaceAnalyzer, create_analyzer
from hp_core.face.model_files import default_places, find_model

BACKGROUND = (90, 110, 130)


def blank(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), BACKGROUND, np.uint8)


@pytest.fixture
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a model folder, both without any model; returns the model folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("HP_PORTRAIT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


# Model files


def test_default_places_start_with_the_named_folder(no_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = [Path.home() / ".cache" / "hp_portrait" / "x.task", Path("pretrained_weights/x.task")]
    assert default_places("x.task") == [no_models / "x.task", *usual]
    monkeypatch.delenv("HP_PORTRAIT_MODELS")
    assert default_places("x.task") == usual


def test_first_existing_place_is_taken_and_a_missing_given_file_is_not_replaced(tmp_path: Path) -> None:
    second, third = tmp_path / "b", tmp_path / "c"
    second.touch()
    third.touch()
    assert find_model("test", None, [tmp_path / "a", second, third], "") == second
    with pytest.raises(FaceError, match="does not exist"):
        find_model("test", tmp_path / "a", [second], "")


@pytest.mark.parametrize(("name", "filename"), [("mediapipe", "face_landmarker.task"), ("yolo", "yoloface_v5m.pt")])
def test_missing_model_names_every_place(name: str, filename: str, no_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(FaceError) as caught:
        create_analyzer(name)
    assert str(no_models / filename) in str(caught.value)
    assert str(Path.home() / ".cache" / "hp_portrait" / filename) in str(caught.value)


@pytest.mark.parametrize("name", ["mediapipe", "yolo"])
def test_unusable_model_file(name: str, tmp_path: Path) -> None:
    if name == "mediapipe":
        pytest.importorskip("mediapipe")
    junk = tmp_path / "junk.bin"
    junk.write_bytes(b"not a model" * 100)
    with pytest.raises(FaceError, match=r"junk\.bin is not a"):
        create_analyzer(name, model=junk)
    with pytest.raises(FaceError, match="is a folder"):
        create_analyzer(name, model=tmp_path)
    with pytest.raises(FaceError, match="does not exist"):
        create_analyzer(name, model=tmp_path / "absent")


# MediaPipe


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


def test_mediapipe_left_open_ends_quietly(mediapipe: FaceAnalyzer) -> None:
    script = "from hp_core.face.analyzer import create_analyzer; analyzer = create_analyzer('mediapipe')"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


# InsightFace


Hits = dict[tuple[int, int], tuple[float, list[float], list[float]]]


def save_detector(path: Path, hits: Hits, *, fixed: bool, points: bool = True) -> None:
    """An ONNX model with SCRFD's outputs: constants cut to the anchors the input has, the same for every picture.

    ``hits`` maps (stride, anchor) to a score, box distances (4,) and point offsets (10,), both in strides.
    """
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    side = 640 if fixed else None
    nodes = [helper.make_node("Shape", ["input"], ["shape"])]
    values = [numpy_helper.from_array(np.array([number], np.int64), name) for name, number in (("zero", 0), ("two", 2), ("four", 4))]
    nodes += [helper.make_node("Slice", ["shape", "two", "four"], ["sides"])]
    nodes += [helper.make_node("ReduceProd", ["sides"], ["pixels"], keepdims=1)]
    nodes += [helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0)]
    values += [numpy_helper.from_array(np.float32(0), "nothing")]
    nodes += [helper.make_node("Mul", ["mean", "nothing"], ["used"])]
    outputs = []
    for index, width in enumerate((1, 4, 10) if points else (1, 4)):
        for stride in (8, 16, 32):
            count = (640 // stride) ** 2 * 2
            table = np.zeros((count, width), np.float32)
            for (at_stride, anchor), hit in hits.items():
                if at_stride == stride:
                    table[anchor] = hit[index]
            key = f"{width}_{stride}"
            values += [numpy_helper.from_array(table, f"table_{key}"), numpy_helper.from_array(np.array([stride**2 // 2]), f"per_{key}")]
            nodes += [helper.make_node("Div", ["pixels", f"per_{key}"], [f"count_{key}"])]
            nodes += [helper.make_node("Slice", [f"table_{key}", "zero", f"count_{key}"], [f"cut_{key}"])]
            nodes += [helper.make_node("Add", [f"cut_{key}", "used"], [f"out_{key}"])]
            outputs += [helper.make_tensor_value_info(f"out_{key}", 1, [count if fixed else "n" + key, width])]
    shape = [1, 3, side or "height", side or "width"]
    graph = helper.make_graph(nodes, "detector", [helper.make_tensor_value_info("input", 1, shape)], outputs, values)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def save_recognizer(path: Path) -> None:
    """An ONNX model with ArcFace's signature: the crop's mean red, green and blue, then zeros."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes = [helper.make_node("ReduceMean", ["input"], ["mean"], axes=[2, 3], keepdims=0)]
    nodes += [helper.make_node("MatMul", ["mean", "m"], ["out"])]
    graph = helper.make_graph(
        nodes,
        "recognizer",
        [helper.make_tensor_value_info("input", 1, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("out", 1, ["n", 512])],
        [numpy_helper.from_array(np.eye(3, 512, dtype=np.float32), "m")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


POINTS = [-1.0, -1.0, 1.0, -1.0, 0.0, 0.0, -0.5, 1.0, 0.5, 1.0]
# Stride 32 has 20 by 20 places of two anchors: place (5, 3) is the point (160, 96). Stride 8: place (40, 20) is (320, 160).
BIG: Hits = {(32, (3 * 20 + 5) * 2): (0.9, [2.0, 2.0, 2.0, 2.5], POINTS)}
SMALL: Hits = {(8, (20 * 80 + 40) * 2): (0.95, [3.0, 3.0, 3.0, 3.0], POINTS)}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    pytest.importorskip("insightface")
    pytest.importorskip("onnxruntime")
    return tmp_path


def test_insightface_undoes_the_scale_orders_and_embeds(models: Path) -> None:
    save_detector(models / "det_tiny.onnx", BIG | SMALL, fixed=True)
    save_recognizer(models / "w600k_tiny.onnx")
    picture = np.zeros((480, 1280, 3), np.uint8)  # scaled by one half
    picture[...] = (255, 128, 0)
    analyzer = create_analyzer("insightface", model=models)
    faces = analyzer.detect(picture)
    assert [face.score for face in faces] == pytest.approx([0.9, 0.95]), "the larger first, not the surer"
    big, small = faces
    np.testing.assert_allclose(big.box, [192, 64, 448, 352], atol=0.01)
    np.testing.assert_allclose(big.five_points, [(256, 128), (384, 128), (320, 192), (288, 256), (352, 256)], atol=0.01)
    np.testing.assert_allclose(small.box, [592, 272, 688, 368], atol=0.01)
    assert big.embedding is not None
    assert (big.embedding.shape, big.embedding.dtype) == ((512,), np.float32)
    # 255, 128 and 0 are 1, 0 and -1 to ArcFace; the crop reaches a little over the border, into black.
    np.testing.assert_allclose(big.embedding[:3], np.array([1, 0, -1]) / math.sqrt(2), atol=0.15)
    assert np.linalg.norm(big.embedding) == pytest.approx(1, abs=1e-5)
    assert len(create_analyzer("insightface", model=models, max_faces=1).detect(picture)) == 1
    assert len(create_analyzer("insightface", model=models, threshold=0.92).detect(picture)) == 1
    assert analyzer.detect(np.zeros((2000, 2, 3), np.uint8)) == []
    analyzer.close()
    with pytest.raises(FaceError, match="closed"):
        analyzer.detect(picture)


def test_insightface_second_look_at_a_small_input(models: Path) -> None:
    # With 128 pixels, stride 8 has 16 places a row: anchor 2 * (16 * 5 + 4) is the point (32, 40), with 640 the point (32, 8).
    anchor = 2 * (16 * 5 + 4)
    save_detector(models / "det_tiny.onnx", {(8, anchor): (0.9, [2.0, 2.0, 2.0, 2.0], POINTS)}, fixed=False)
    analyzer = create_analyzer("insightface", model=models)
    picture = np.zeros((1280, 640, 3), np.uint8)
    (face,) = analyzer.detect(picture)
    np.testing.assert_allclose(face.box, np.array([84 * 8 - 640 - 16, -16 + 8, 84 * 8 - 640 + 16, 24]) * 2, atol=0.01)
    assert face.embedding is None
    real, sizes = analyzer._detector.detect, []  # type: ignore[attr-defined]

    def blind_at_first(image: np.ndarray, input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(input_size)
        boxes, points = real(image, input_size=input_size)
        return (boxes[:0], points[:0]) if input_size == (640, 640) else (boxes, points)

    analyzer._detector.detect = blind_at_first  # type: ignore[attr-defined]
    (face,) = analyzer.detect(picture)
    assert sizes == [(640, 640), (128, 128)]
    np.testing.assert_allclose(face.box, np.array([16, 24, 48, 56]) * 10, atol=0.01)


def test_insightface_errors(models: Path, no_models: Path) -> None:
    with pytest.raises(FaceError, match=r"buffalo_l.*non-commercial"):
        create_analyzer("insightface")
    with pytest.raises(FaceError, match="not a folder"):
        create_analyzer("insightface", model=models / "absent")
    with pytest.raises(FaceError, match="no face detector"):
        create_analyzer("insightface", model=models)
    save_detector(models / "det_boxes.onnx", BIG, fixed=True, points=False)
    with pytest.raises(FaceError, match="without the five points"):
        create_analyzer("insightface", model=models)
    (models / "det_boxes.onnx").write_bytes(b"junk")
    with pytest.raises(FaceError, match=r"det_boxes\.onnx cannot be loaded"):
        create_analyzer("insightface", model=models)


# YOLO


class Constant(torch.nn.Module):
    """Gives the same output for every picture, plus the channel means and a corner pixel of its input in a last row."""

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.rows = torch.nn.Parameter(rows, requires_grad=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        row = torch.zeros(1, 1, self.rows.shape[2])
        row[0, 0, 4] = 0.99
        row[0, 0, 15] = 1.0
        row[0, 0, 5:8] = x.mean((2, 3))[0] * 255
        row[0, 0, 8] = x[0, 0, 0, 0] * 255
        row[0, 0, 9] = float(x.shape[2])
        row[0, 0, 10] = float(x.shape[3])
        return torch.cat([self.rows, row], 1), self.rows


class Bare(torch.nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.rows = torch.nn.Parameter(torch.zeros(shape), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rows


def yolo_row(x: float, y: float, width: float, height: float, objectness: float, class_score: float = 1.0) -> list[float]:
    points = [x - 10, y - 10, x + 10, y - 10, x, y, x - 8, y + 10, x + 8, y + 10]
    return [x, y, width, height, objectness, *points, class_score]


def save_script(module: torch.nn.Module, path: Path) -> Path:
    torch.jit.script(module).save(str(path))
    return path


def test_yolo_undoes_the_letterbox_suppresses_and_orders(tmp_path: Path) -> None:
    rows = [
        yolo_row(200, 300, 60, 80, 0.95),
        yolo_row(400, 300, 100, 120, 0.9),
        yolo_row(405, 303, 100, 120, 0.7),  # the same face again
        yolo_row(100, 300, 100, 120, 0.8, 0.5),  # 0.4 in all
        yolo_row(520, 300, 60, 60, 0.3),
    ]
    path = save_script(Constant(torch.tensor([rows])), tmp_path / "face.pt")
    analyzer = create_analyzer("yolo", model=path)
    faces = [face for face in analyzer.detect(blank(1280, 800)) if face.area > 0]  # scaled by one half, 120 rows of grey above
    assert [face.score for face in faces] == pytest.approx([0.9, 0.95]), "the larger first, not the surer"
    np.testing.assert_allclose(faces[0].box, [700, 240, 900, 480], atol=0.01)
    np.testing.assert_allclose(faces[0].five_points, [(780, 340), (820, 340), (800, 360), (784, 380), (816, 380)], atol=0.01)
    np.testing.assert_allclose(faces[1].box, [340, 280, 460, 440], atol=0.01)
    assert faces[0].box.dtype == faces[0].five_points.dtype == np.float32
    (tall,) = create_analyzer("yolo", model=path, max_faces=1).detect(blank(320, 640))  # not scaled, 160 columns of grey at the left
    np.testing.assert_allclose(tall.box, [190, 240, 290, 360], atol=0.01)
    low = create_analyzer("yolo", model=path, threshold=0.25).detect(blank(1280, 800))
    assert sorted(face.score or 0 for face in low if face.area > 0) == pytest.approx([0.3, 0.4, 0.9, 0.95])
    analyzer.close()
    with pytest.raises(FaceError, match="closed"):
        analyzer.detect(blank(64, 64))


def test_yolo_input_is_rgb_in_grey_of_640_pixels(tmp_path: Path) -> None:
    path = save_script(Constant(torch.zeros(1, 1, 16)), tmp_path / "face.pt")
    (probe,) = create_analyzer("yolo", model=path).detect(blank(640, 320))  # half of the square is grey, 160 rows above
    offset = np.array([0, 160] * 5)
    seen = probe.five_points.reshape(10) + offset
    np.testing.assert_allclose(seen[:6], [(90 + 114) / 2, (110 + 114) / 2, (130 + 114) / 2, 114, 640, 640], atol=0.1)


@pytest.mark.parametrize("shape", [(1, 5, 6), (2, 5, 16), (5, 16)])
def test_yolo_wrong_output(shape: tuple[int, ...], tmp_path: Path) -> None:
    analyzer = create_analyzer("yolo", model=save_script(Bare(shape), tmp_path / "face.pt"))
    with pytest.raises(FaceError) as caught:
        analyzer.detect(blank(64, 64))
    assert str(shape) in str(caught.value)
    assert "(1, N, 16)" in str(caught.value)


def test_yolo_without_faces_and_default_place(no_models: Path) -> None:
    no_models.mkdir()
    save_script(Bare((1, 0, 16)), no_models / "yoloface_v5m.pt")
    assert create_analyzer("yolo").detect(blank(64, 640)) == []


def test_yolo_plain_checkpoint_is_not_torchscript(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "plain.pt")
    with pytest.raises(FaceError, match=r"plain\.pt is not a TorchScript model"):
        create_analyzer("yolo", model=tmp_path / "plain.pt")
