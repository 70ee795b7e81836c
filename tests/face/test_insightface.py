"""InsightFace's analyzer on constant models of the real ones' signature."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hp_core.errors import FaceError
from hp_core.face.analyzer import create_analyzer

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
