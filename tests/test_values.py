"""Values survive a file, and a file of another kind is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from hp_core.errors import OptionError, PortraitError
from hp_core.pose.align import black_pose
from hp_core.pose.draw import distinct_maps
from hp_core.values import Appearance, FaceTrack, Intensity, MotionTokens, PoseMaps


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    return a == b and type(a) is type(b)


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)


TRACK = FaceTrack(
    head_crops=picture(2, 8, 8),
    motion_crops=picture(2, 8, 8),
    boxes=np.ones((2, 4), np.float32),
    five_points=np.ones((2, 5, 2), np.float32),
    landmarks=None,
    found=np.array([True, False]),
    on_missing="hold",
    square=(1, 2, 3, 4),
    portrait=picture(9, 7),
    portrait_crop=picture(8, 8),
    crop_points=np.zeros((5, 2), np.float32),
    crop_points_found=False,
    fps=Fraction(30000, 1001),
    analyzer="mediapipe",
)
INTENSITY = Intensity(np.array([0.1]), np.array([0.2]), np.array([3]), np.array([4]), 25, "paper")
MOTION = MotionTokens(torch.rand(3, 4, 9), torch.rand(3, 3), torch.rand(3, 3), Fraction(25), "released")
VALUES = [
    TRACK,
    replace(TRACK, squares=np.array([[1, 2, 3, 4], [2, 2, 4, 4]], np.int32)),
    INTENSITY,
    MOTION,
    Appearance(torch.rand(1, 4, 5), torch.zeros(1, 512), "none", torch.rand(1, 4, 2, 2), picture(8, 8)),
    black_pose(5, (16, 24)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_round_trip(value, tmp_path):
    path = tmp_path / "value.safetensors"
    value.save(path)
    again = type(value).load(path)
    for name in value.__dataclass_fields__:
        assert same(getattr(value, name), getattr(again, name)), name
    assert [p.name for p in tmp_path.iterdir()] == ["value.safetensors"]


def test_another_kind_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "intensity.safetensors"
    INTENSITY.save(path)
    with pytest.raises(PortraitError, match="holds Intensity, not MotionTokens"):
        MotionTokens.load(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(PortraitError, match="cannot be read as Intensity"):
        Intensity.load(path)
    with pytest.raises(PortraitError, match="cannot be read"):
        Intensity.load(tmp_path / "absent.safetensors")


def test_nothing_is_written_where_it_cannot_be(tmp_path):
    with pytest.raises(PortraitError, match="is a folder"):
        INTENSITY.save(tmp_path)
    with pytest.raises(PortraitError, match="does not exist"):
        INTENSITY.save(tmp_path / "no" / "value.safetensors")


def test_the_square_of_a_frame():
    assert [TRACK.square_of(frame) for frame in range(2)] == [(1, 2, 3, 4)] * 2
    following = replace(TRACK, squares=np.array([[1, 2, 3, 4], [2, 2, 4, 4]], np.int32))
    assert following.square_of(1) == (2, 2, 4, 4)
    assert all(type(side) is int for side in following.square_of(1)), "PIL takes no numpy integers"


def test_joining_parts():
    whole = MOTION
    cuts = (slice(0, 1), slice(1, 3))
    parts = [MotionTokens(whole.tokens[c], whole.rotation[c], whole.translation[c], whole.fps, whole.rule) for c in cuts]
    assert torch.equal(MotionTokens.join(parts).tokens, whole.tokens)


def test_pose_maps():
    pose = black_pose(400, (512, 512))
    assert len(pose) == 400
    assert pose.maps.shape == (1, 3, 512, 512)  # stored once, whatever the length
    maps, rows = distinct_maps(PoseMaps(torch.full((2, 3, 1, 1), 255, dtype=torch.uint8), torch.tensor([1, 0, 1]), "t"), [2, 0])
    assert maps.dtype == torch.float32
    assert float(maps.max()) == 1
    assert rows.tolist() == [0, 0]
    with pytest.raises(OptionError, match="frames is 0"):
        black_pose(0, (8, 8))
