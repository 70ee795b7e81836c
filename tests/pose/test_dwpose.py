"""DWPose through rtmlib, on a tiny pair of ONNX models with the real ones' signatures: the estimator points at what is red."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hp_core.errors import ImageError, PortraitError, WeightsError
from hp_core.pose.dwpose import DwposeEstimator, estimate_keypoints
from hp_core.pose.keypoints import NOSE
from hp_core.progress import result

pytest.importorskip("rtmlib")

LEFT, RIGHT = (200.0, 320.0), (440.0, 320.0)  # centres of the detector's two boxes, in its 640x640


def save(
    path: Path, nodes: list[onnx.NodeProto], shape: list[int], outputs: dict[str, list[int]], constants: dict[str, np.ndarray]
) -> Path:
    def info(name: str, size: list[int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, size)

    graph = helper.make_graph(
        nodes,
        "tiny",
        [info("input", shape)],
        [info(name, size) for name, size in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def detector(path: Path, boxes: list[tuple[float, float]], *, kinds: dict[int, int] | None = None) -> Path:
    """YOLOX's output (1, 8400, 85) with a box of 200x200 round each of ``boxes``, whatever it is shown; all show people but those whose
    number has another of COCO's ``kinds``."""
    rows = np.zeros((1, 8400, 85), np.float32)
    for number, (x, y) in enumerate(boxes):
        # Row n of the finest grid lies at column n of its first line, in cells of 8 pixels.
        rows[0, number, :4] = [x / 8 - number, y / 8, np.log(200 / 8), np.log(200 / 8)]
        rows[0, number, 4] = rows[0, number, 5 + (kinds or {}).get(number, 0)] = 1.0
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], ["output"]),
    ]
    return save(path, nodes, [1, 3, 640, 640], {"output": [1, 8400, 85]}, {"rows": rows, "zero": np.zeros((), np.float32)})


def estimator(path: Path, points: int = 133) -> Path:
    """RTMPose's output (1, 133, 576) and (1, 133, 768): all points at the column and the row with the most red."""
    nodes, outputs = [helper.make_node("Gather", ["input", "red"], ["channel"], axis=1)], {}  # (1, 384, 288)
    for name, axis, length in (("x", 1, 288), ("y", 2, 384)):
        nodes += [
            helper.make_node("ReduceMax", ["channel"], [f"line_{name}"], axes=[axis], keepdims=0),  # (1, length)
            helper.make_node("Reshape", [f"line_{name}", f"one_{name}"], [f"thin_{name}"]),  # (1, length, 1)
            helper.make_node("Expand", [f"thin_{name}", f"two_{name}"], [f"wide_{name}"]),  # (1, length, 2)
            helper.make_node("Reshape", [f"wide_{name}", f"flat_{name}"], [f"long_{name}"]),  # (1, 1, 2 length)
            helper.make_node("Expand", [f"long_{name}", f"all_{name}"], [f"simcc_{name}"]),
        ]
        outputs[f"simcc_{name}"] = [1, points, 2 * length]
    shapes = {"red": np.array(0, np.int64)}
    for name, length in (("x", 288), ("y", 384)):
        sizes = {"one": [1, length, 1], "two": [1, length, 2], "flat": [1, 1, 2 * length], "all": [1, points, 2 * length]}
        shapes |= {f"{key}_{name}": np.array(value, np.int64) for key, value in sizes.items()}
    return save(path, nodes, [1, 3, 384, 288], outputs, shapes)


def picture(*dots: tuple[int, int], size: tuple[int, int] = (320, 320)) -> np.ndarray:
    """Black with red dots, and a blue one that must not count."""
    image = np.zeros((*size, 3), np.uint8)
    image[40:60, 40:60, 2] = 255
    for x, y in dots:
        image[y - 2 : y + 3, x - 2 : x + 3, 0] = 255
    return image


def test_points_lie_where_the_model_sees_them(tmp_path):
    pose = DwposeEstimator(detector(tmp_path / "d.onnx", [LEFT, RIGHT]), estimator(tmp_path / "e.onnx"), device="cpu")
    people = pose.people(picture((100, 150), (215, 170)))
    left, right = sorted(people, key=lambda person: person[NOSE, 0])  # half of the detector's size: boxes about 100 and 220
    assert left.shape == (128, 3)
    np.testing.assert_allclose(left[:, :2], np.broadcast_to([100, 150], (128, 2)), atol=3)
    np.testing.assert_allclose(right[:, :2], np.broadcast_to([215, 170], (128, 2)), atol=3)
    assert left[:, 2].min() > 0.3


def test_one_person_is_followed_by_the_nose_of_the_track(tmp_path):
    pose = DwposeEstimator(detector(tmp_path / "d.onnx", [LEFT, RIGHT]), estimator(tmp_path / "e.onnx"), device="cpu")
    frames = [picture((90 + 4 * i, 150), (230 - 4 * i, 170)) for i in range(3)]
    followed = result(estimate_keypoints(frames, pose, total=3, near=np.array([[230, 170], [226, 170], [222, 170]], np.float32)))
    assert followed.found.all()
    assert followed.size == (320, 320)
    np.testing.assert_allclose(followed.points[:, NOSE, 0], [230, 226, 222], atol=3)


def test_other_things_than_people_are_nobody(tmp_path):
    image = picture((100, 150), (215, 170))
    tie = DwposeEstimator(detector(tmp_path / "d.onnx", [LEFT, RIGHT], kinds={1: 27}), estimator(tmp_path / "e.onnx"), device="cpu")
    (person,) = tie.people(image)
    np.testing.assert_allclose(person[NOSE, :2], [100, 150], atol=3)
    plant = DwposeEstimator(detector(tmp_path / "p.onnx", [RIGHT], kinds={0: 58}), estimator(tmp_path / "e.onnx"), device="cpu")
    (whole,) = plant.people(picture((100, 150)))
    np.testing.assert_allclose(whole[NOSE, :2], [100, 150], atol=4)


def test_without_a_box_the_whole_picture_is_one_person(tmp_path):
    pose = DwposeEstimator(detector(tmp_path / "d.onnx", []), estimator(tmp_path / "e.onnx"), device="cpu")
    (person,) = pose.people(picture((200, 250)))
    np.testing.assert_allclose(person[NOSE, :2], [200, 250], atol=4)
    (nobody,) = pose.people(np.zeros((320, 320, 3), np.uint8))
    assert nobody[:, 2].max() < 0.3
    empty = result(estimate_keypoints([np.zeros((320, 320, 3), np.uint8)], pose, total=1))
    assert not empty.found.any()


def test_a_provider_that_rtmlib_does_not_know_is_passed_over(tmp_path, monkeypatch):
    """The GPU build of onnxruntime names TensorRT first."""
    import onnxruntime
    import rtmlib

    asked: list[str] = []

    class Spy:
        def __init__(self, *_: object, device: str, **__: object) -> None:
            asked.append(device)

    monkeypatch.setattr(rtmlib, "YOLOX", Spy)
    monkeypatch.setattr(rtmlib, "RTMPose", Spy)
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    DwposeEstimator(detector(tmp_path / "d.onnx", []), estimator(tmp_path / "e.onnx"))
    assert asked == ["cuda", "cuda"]


def test_absent_and_wrong_models_are_refused(tmp_path):
    good = detector(tmp_path / "d.onnx", [])
    with pytest.raises(WeightsError, match=r"not there.*hp-portrait download --for dwpose"):
        DwposeEstimator(good, tmp_path / "absent.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        DwposeEstimator(good, tmp_path / "broken.onnx")
    with pytest.raises(PortraitError, match="DWPose"):
        DwposeEstimator(good, estimator(tmp_path / "few.onnx", points=17)).people(picture((100, 100)))
    with pytest.raises(ImageError):
        DwposeEstimator(good, estimator(tmp_path / "e.onnx")).people(np.zeros((8, 8), np.uint8))
