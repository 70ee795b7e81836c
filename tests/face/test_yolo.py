"""The YOLO analyzer on constant models of the real one's signature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hp_core.errors import FaceError
from hp_core.face.analyzer import create_analyzer
from tests.face.pictures import blank


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
