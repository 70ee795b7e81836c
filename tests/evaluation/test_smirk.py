"""SMIRK's encoder and the distances in its parameters; the checkpoint cannot be fetched here, so its weights are random."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hp_core.errors import WeightsError
from hp_core.evaluation.metrics.expression import TITLES, frame_distance, smirk_distance
from hp_core.evaluation.metrics.smirk import SmirkEncoder, face_crop
from hp_core.evaluation.readings import MotionReader
from tests.evaluation.stand_ins import Marked, marked, outcome, random_state, reading

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published form: the encoder behind a prefix, beside a generator."""
    state = {f"smirk_encoder.{name}": value for name, value in random_state(SmirkEncoder()).items()}
    path = tmp_path_factory.mktemp("smirk") / "SMIRK_em1.pt"
    torch.save(state | {"smirk_generator.conv.weight": torch.zeros(3)}, path)
    return path


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> SmirkEncoder:
    return SmirkEncoder.load(checkpoint, CPU)


def test_names_and_numbers_are_those_of_the_published_checkpoint() -> None:
    """762 tensors, 206 + 278 + 278; 3.60 M parameters (spec/evaluation.md, read from SMIRK's own class with timm)."""
    net = SmirkEncoder()
    branches = [net.get_submodule(name).state_dict() for name in ("pose_encoder", "shape_encoder", "expression_encoder")]
    assert (len(net.state_dict()), [len(branch) for branch in branches]) == (762, [206, 278, 278])
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 3.60
    expected = {
        "pose_encoder.pose_cam_layers.0.weight": (6, 576),
        "shape_encoder.shape_layers.0.weight": (300, 960),
        "expression_encoder.expression_layers.0.bias": (55,),
        "expression_encoder.encoder.conv_stem.weight": (16, 3, 3, 3),
        "pose_encoder.encoder.blocks.1.0.conv_pwl.weight": (24, 72, 1, 1),
        "shape_encoder.encoder.bn1.running_mean": (16,),
    }
    assert {name: tuple(net.state_dict()[name].shape) for name in expected} == expected


_BESIDE_TIMM = """
import importlib.machinery, sys, types
import torch
class Anything(type):
    def __getattr__(cls, name):
        if name.startswith("__"): raise AttributeError(name)
        return name
class Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"): raise AttributeError(name)
        return type(name, (torch.nn.Module,), {}) if name == "FrozenBatchNorm2d" else Anything(name, (), {})
class Finder:  # timm imports torchvision, of which these networks use nothing
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.split(".")[0] == "torchvision" else None
    def create_module(self, spec):
        module = Module(spec.name); module.__path__ = []; return module
    def exec_module(self, module): pass
if not importlib.util.find_spec("torchvision"): sys.meta_path.insert(0, Finder())
import timm
from hp_core.evaluation.metrics.mobilenet import MobileNet
from tests.evaluation.stand_ins import random_state
torch.set_num_threads(1)
for kind in ("small", "large"):
    theirs = timm.create_model(f"tf_mobilenetv3_{kind}_minimal_100", pretrained=False, features_only=True).eval()
    ours = MobileNet(kind).eval()
    assert list(theirs.state_dict()) == list(ours.state_dict())
    state = random_state(theirs)
    theirs.load_state_dict(state); ours.load_state_dict(state)
    for size in ((224, 224), (97, 130)):
        x = torch.rand(2, 3, *size)
        with torch.no_grad():
            a, b = theirs(x)[-1], ours(x)
        assert a.shape == b.shape and a.abs().mean() > 1e-3
        torch.testing.assert_close(b, a)
print("equal")
"""


def test_the_backbones_are_timms() -> None:
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", _BESIDE_TIMM], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "equal", done.stderr[-2000:]


def test_outputs_are_in_their_ranges(encoder: SmirkEncoder) -> None:
    with torch.no_grad():
        pose, expression = encoder(torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    assert (pose.shape, expression.shape) == ((4, 3), (4, 55))
    eyelids, jaw = expression[:, 50:52], expression[:, 52:]
    assert ((eyelids >= 0) & (eyelids <= 1)).all()
    assert (jaw[:, 0] >= 0).all()
    assert (jaw[:, 1:].abs() <= 0.2 + 1e-6).all()


def test_the_crop_is_the_square_around_the_landmarks() -> None:
    """Landmarks 40 wide and 60 high: mean 50, times 1.4 is 70, which becomes 0..223; outside the picture it is black."""
    frame = np.zeros((200, 200, 3), np.uint8)
    frame[65:136, 65:136] = 255  # exactly the square, centre (100, 100)
    crop = face_crop(frame, np.array([[80.0, 70], [120, 130]]))
    assert (crop.shape, crop.dtype) == ((224, 224, 3), np.float32)
    assert crop.min() == pytest.approx(1)
    frame[...] = 255
    assert face_crop(frame, np.array([[-20.0, 70], [20, 130]]))[:, :100].max() == 0


def test_variants_of_the_distance_by_hand() -> None:
    driving, result = np.zeros((1, 55)), np.zeros((1, 55))
    result[0, :50], result[0, 50:52], result[0, 52:] = 0.1, -0.4, 0.7
    values = {name: frame_distance(name, result, driving)[0] for name in ("aed_exp50", "aed_55", "aed_h2c")}
    assert values == pytest.approx({"aed_exp50": 0.1, "aed_55": (5 + 0.8 + 2.1) / 55, "aed_h2c": (0.1 + 0.4 + 0.7) / 3})
    assert frame_distance("apd", np.array([[0.1, -0.2, 0.3]]), np.zeros((1, 3)))[0] == pytest.approx(0.2)


@pytest.mark.slow
@pytest.mark.parametrize("name", TITLES)
def test_a_clip_is_at_distance_zero_from_itself(name: str, encoder: SmirkEncoder) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(5, 30, (478, 2))
    frames = rng.integers(0, 255, (4, 40, 40, 3), np.uint8)
    frames[:, 0, 0, 0] = [0, 0, 255, 0]
    reader, metric = Marked([reading(points)]), smirk_distance(name, encoder, "random")
    same = outcome(metric, {"result": frames, "driving": frames}, reader)
    assert (same.value, same.frames) == (0, (0, 0, None, 0))
    other = rng.integers(0, 255, frames.shape, np.uint8)
    other[:, 0, 0, 0] = 0
    assert (outcome(metric, {"result": other, "driving": frames}, reader).value or 0) > 0
    nobody = outcome(metric, {"result": marked([255] * 3), "driving": marked([0] * 3)}, reader)
    assert nobody.value is None
    assert "no frame shows a face" in nobody.why


def test_a_checkpoint_of_another_model_is_named(tmp_path: Path) -> None:
    state = random_state(SmirkEncoder())
    torch.save({name: value for name, value in state.items() if "expression_layers" not in name}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"a\.pt has no tensor expression_encoder\.expression_layers\.0\.weight \(762 are needed\)"):
        SmirkEncoder.load(tmp_path / "a.pt", CPU)
    torch.save(state | {"more": torch.zeros(1)}, tmp_path / "b.pt")
    with pytest.raises(WeightsError, match=r"b\.pt has 763 tensors instead of 762, more among them"):
        SmirkEncoder.load(tmp_path / "b.pt", CPU)


@pytest.mark.slow
def test_distances_grow_with_the_delay_of_a_drawn_face(encoder: SmirkEncoder, reader: MotionReader) -> None:
    from hp_core.demo.world import HeldOutPair

    clip = HeldOutPair(1).truth(12, 128)
    for name in TITLES:
        metric = smirk_distance(name, encoder, "random")
        values = [
            outcome(metric, {"result": np.concatenate([clip[:1]] * by + [clip])[:12], "driving": clip}, reader).value for by in (0, 1, 3)
        ]
        assert values == sorted(values)
        assert values[0] == 0 < values[1]
