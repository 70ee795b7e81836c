"""Frechet distances: the arithmetic against SciPy's matrix root and the closed form, then FID, FID-VID and FVD around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import linalg

from hp_core.errors import OptionError, WeightsError
from hp_core.evaluation.metrics.base import Part
from hp_core.evaluation.metrics.fid import Fid
from hp_core.evaluation.metrics.fid_vid import FidVid
from hp_core.evaluation.metrics.frechet import Moments, distance_of, frechet_distance
from hp_core.evaluation.metrics.fvd import Fvd
from hp_core.evaluation.metrics.resize import centre_cut
from hp_core.evaluation.metrics.resnet3d import ResNet3d
from hp_core.evaluation.metrics.toolbox import Toolbox
from hp_core.evaluation.metrics.windows import WindowFeatures
from tests.evaluation.stand_ins import I3d, Inception, random_state, save_script, set_value

CPU = torch.device("cpu")


def moments(rows: np.ndarray, batch: int = 1000) -> Moments:
    taken = Moments()
    for start in range(0, len(rows), batch):
        taken.add(rows[start : start + batch])
    return taken


def given(mean: np.ndarray, covariance: np.ndarray) -> Moments:
    taken = Moments()
    taken.count, taken.mean, taken._scatter = 2, np.asarray(mean, float), np.asarray(covariance, float)
    return taken


# The arithmetic


def test_moments_in_batches_are_numpys() -> None:
    everything = np.random.default_rng(0).normal(5, 2, (103, 7))
    for count in (3, 7, 8, 103):  # fewer rows than features, as many, more
        rows = everything[:count]
        for batch in (1, 2, 10, 103):
            taken = moments(rows, batch)
            assert taken.count == count
            assert taken.mean == pytest.approx(rows.mean(axis=0))
            assert taken.covariance == pytest.approx(np.cov(rows.T))
            assert taken.factor().T @ taken.factor() == pytest.approx(np.cov(rows.T), abs=1e-12)


@pytest.mark.parametrize("count", [5, 200])  # fewer rows than features, and more
def test_distance_is_that_of_scipys_matrix_root(count: int) -> None:
    rng = np.random.default_rng(count)
    one, other = (rng.normal(size=(count, 24)) @ rng.normal(size=(24, 24)) + rng.normal(size=24) for _ in range(2))
    c1, c2 = np.cov(one.T), np.cov(other.T)
    root = linalg.sqrtm((c1 + 1e-10 * np.eye(24)) @ (c2 + 1e-10 * np.eye(24))).real
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root)
    assert frechet_distance(moments(one), moments(other)) == pytest.approx(expected, rel=1e-3)


def test_distance_of_two_gaussians_is_the_closed_form() -> None:
    """Where covariances commute it is |m1 - m2|^2 + sum (s1 - s2)^2."""
    s1, s2 = np.array([1.0, 2, 3]), np.array([4.0, 2, 0])
    assert frechet_distance(given([0, 0, 0], np.diag(s1**2)), given([1, 2, 2], np.diag(s2**2))) == pytest.approx(9 + 9 + 0 + 9)


def test_distance_from_itself_is_zero_and_it_is_symmetric() -> None:
    rng = np.random.default_rng(1)
    one, other = moments(rng.normal(size=(50, 64))), moments(rng.normal(size=(60, 64)) * 2)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one))


def test_without_any_deviation_it_is_the_distance_of_the_means() -> None:
    """The case of the published anchor: 8 equal clips against 8 others."""
    assert frechet_distance(moments(np.full((8, 400), 1.0)), moments(np.full((8, 400), 3.0))) == pytest.approx(1600)


def test_too_few_are_a_blank_with_a_reason() -> None:
    assert distance_of([{"result": np.zeros((1, 3)), "reference": np.zeros((5, 3))}], 2, "clips").why == "1 clips; it needs at least 2"
    assert distance_of([], 2, "clips").value is None


# Windows


def windows(length: int, stride: int, parts: tuple[int, ...], **options: bool) -> list[list[float]]:
    """The frames of each window of a clip whose frames are their numbers, seen in parts."""
    taken = WindowFeatures(lambda w: w[:, 0, 0, 0], lambda frames: frames, "truth", length=length, stride=stride, **options)
    start = 0
    for count in parts:
        numbers = np.arange(start, start + count, dtype=np.uint8)
        frames = np.broadcast_to(numbers[:, None, None, None], (count, 1, 1, 3))
        taken.add(Part(start, {"result": frames, "truth": frames}))
        start += count
    features = taken.features()
    np.testing.assert_array_equal(features["result"], features["reference"])
    return features["result"].tolist()


@pytest.mark.parametrize("parts", [(11,), (4, 4, 3), (1,) * 11])
def test_windows_do_not_depend_on_the_parts_they_come_in(parts: tuple[int, ...]) -> None:
    assert windows(4, 4, parts) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert windows(4, 3, parts) == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert windows(3, 5, parts) == [[0, 1, 2], [5, 6, 7]]
    assert windows(4, 4, parts, pad=True)[2] == [8, 9, 10, 10]
    assert windows(4, 4, parts, pad=True, mean=True) == [pytest.approx([4, 5, 6, 20 / 3])]


def test_a_clip_shorter_than_a_window() -> None:
    assert windows(4, 4, (3,)) == []
    assert windows(4, 4, (3,), pad=True) == [[0, 1, 2, 2]]


# FVD


def clip(level: int, frames: int = 16, size: tuple[int, int] = (30, 64)) -> np.ndarray:
    return np.full((frames, *size, 3), level, np.uint8)


@pytest.mark.parametrize("resize", ["network", "squash", "crop"])
def test_fvd_hands_the_network_pictures_in_its_range(tmp_path: Path, resize: str) -> None:
    """The stand-in's features are mean colours in -1..1: of black against white, six differences of 2."""
    fvd = Fvd(save_script(I3d(), tmp_path / "i3d.pt"), "truth", CPU, resize=resize)
    pairs = [{"result": clip(0), "truth": clip(255)}] * 2
    assert set_value(fvd, pairs).value == pytest.approx(6 * 4, rel=1e-5)
    assert set_value(fvd, [{"result": clip(9), "truth": clip(9)}] * 2).value == pytest.approx(0, abs=1e-9)


def test_fvd_of_clips_that_are_too_short_is_a_blank(tmp_path: Path) -> None:
    fvd = Fvd(save_script(I3d(), tmp_path / "i3d.pt"), "driving", CPU)
    assert fvd.inputs == ("result", "driving")
    short = {"result": clip(0, frames=15), "driving": clip(0, frames=15)}
    assert set_value(fvd, [short] * 3).why == "0 windows of 16 frames; it needs at least 2"


def test_fvd_refuses_settings_and_files(tmp_path: Path) -> None:
    path = save_script(I3d(), tmp_path / "i3d.pt")
    refused = (({"length": 9}, "FVD window is 9"), ({"stride": 0}, "windows is 0"), ({"resize": "no"}, "resize of FVD is 'no'"))
    for options, message in refused:
        with pytest.raises(OptionError, match=message):
            Fvd(path, "truth", CPU, **options)  # type: ignore[arg-type]
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(WeightsError, match=r"text\.pt is not a TorchScript file"):
        Fvd(tmp_path / "text.pt", "truth", CPU)


def test_fvd_anchor_with_the_published_network() -> None:
    """8 clips of zeros against 8 of ones, 30 frames of 64 x 64: 151.26 as common_metrics prints it."""
    path = Toolbox([], against="truth", device=CPU).find("i3d")
    if path is None:
        pytest.skip("i3d_torchscript.pt is not here; `hp-portrait download pretrained_weights --for evaluation` fetches it")
    fvd = Fvd(path, "truth", CPU, length=30, stride=30, resize="crop")
    value = set_value(fvd, [{"result": clip(0, 30, (64, 64)), "truth": clip(255, 30, (64, 64))}] * 8).value
    assert value == pytest.approx(151.26, abs=0.05)


def test_centre_cut_takes_the_middle_in_either_direction() -> None:
    frames = np.zeros((1, 20, 60, 3), np.uint8)
    frames[:, :, 20:40] = 200
    for picture in (frames, frames.transpose(0, 2, 1, 3)):
        cut = centre_cut(picture, 10)
        assert cut.shape == (1, 10, 10, 3)
        assert cut.min() == cut.max() == 200


# FID


def test_fid_of_a_set_with_itself_is_zero_and_grows(tmp_path: Path) -> None:
    fid = Fid(save_script(Inception(), tmp_path / "inception.pt"), "truth", CPU)
    rng = np.random.default_rng(0)
    truth = rng.integers(60, 180, (12, 16, 16, 3), np.uint8)
    values = []
    for sigma in (0, 4, 16, 48):
        noisy = np.clip(truth + rng.normal(0, sigma, truth.shape), 0, 255).astype(np.uint8)
        values.append(set_value(fid, [{"result": noisy, "truth": truth}]).value)
    assert values[0] == pytest.approx(0, abs=1e-9)
    assert values == sorted(values)
    assert values[-1] > values[1] > 0
    assert set_value(fid, [{"result": truth[:1], "truth": truth[:1]}]).why == "1 frames; it needs at least 2"


# FID-VID


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the published checkpoint's form: names behind `module.`, and a classifier."""
    state = {f"module.{name}": value for name, value in random_state(ResNet3d()).items()}
    path = tmp_path_factory.mktemp("kinetics") / "resnet-50-kinetics.pth"
    torch.save({"state_dict": state | {"module.fc.weight": torch.zeros(400, 2048), "module.fc.bias": torch.zeros(400)}}, path)
    return path


@pytest.mark.slow
def test_fid_vid_takes_the_published_names(kinetics: Path, tmp_path: Path) -> None:
    """53 convolutions with their norms, as a ResNet-50 has, and 2048 features; 46.2 M parameters less the classifier."""
    net = ResNet3d()
    convolutions = [name for name, value in net.state_dict().items() if value.ndim == 5]
    assert len(convolutions) == 53
    assert len(net.state_dict()) == 53 * 6
    assert {"conv1.weight", "layer1.0.downsample.0.weight", "layer4.2.bn3.running_var"} <= set(net.state_dict())
    state = torch.load(kinetics, weights_only=True)["state_dict"]
    del state["module.layer3.5.conv2.weight"]
    torch.save({"state_dict": state}, tmp_path / "broken.pth")
    with pytest.raises(WeightsError, match=r"broken\.pth has no tensor layer3\.5\.conv2\.weight"):
        FidVid(tmp_path / "broken.pth", "truth", CPU)


@pytest.mark.slow
def test_fid_vid_is_one_row_a_clip(kinetics: Path) -> None:
    fid_vid = FidVid(kinetics, "truth", CPU)
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (18, 24, 24, 3), np.uint8) for _ in range(2)]
    gathering = fid_vid.gather()
    gathering.add(Part(0, {"result": clips[0], "truth": clips[0]}))
    assert gathering.features()["result"].shape == (1, 2048)
    same = set_value(fid_vid, [{"result": each, "truth": each} for each in clips])
    assert same.value == pytest.approx(0, abs=1e-3)
    smooth = [np.repeat(np.repeat(each[:, ::8, ::8], 8, axis=1), 8, axis=2) for each in clips]
    values = []
    for sigma in (2, 16, 60):
        noisy = [np.clip(each + rng.normal(0, sigma, each.shape), 0, 255).astype(np.uint8) for each in smooth]
        values.append(set_value(fid_vid, [{"result": a, "truth": b} for a, b in zip(noisy, smooth, strict=True)]).value or 0.0)
    assert values == sorted(values)
    assert values[0] > 0
