"""LPIPS against torchmetrics' code on the same random backbone and the published heads; no weights can be fetched here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hp_core.errors import WeightsError
from hp_core.evaluation.metrics.lpips import Lpips, TemporalLpips, heads_file, lpips, trunk
from hp_core.evaluation.metrics.toolbox import Toolbox
from tests.evaluation.stand_ins import outcome, random_state

pytest.importorskip("torchmetrics", reason="the extra evaluation is not installed")
CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


def backbone(net: str, folder: Path) -> Path:
    """Random weights under torchvision's names, classifier included."""
    state = {f"features.{name}": value for name, value in random_state(trunk(net)).items()}
    path = folder / f"{net}.pth"
    torch.save(state | {"classifier.1.weight": torch.zeros(2, 2)}, path)
    return path


@pytest.fixture(scope="module")
def alex(tmp_path_factory: pytest.TempPathFactory) -> Lpips:
    return Lpips(backbone("alex", tmp_path_factory.mktemp("alex")), "alex", CPU)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_torchmetrics(net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchmetrics.functional.image.lpips as theirs

    ours = Lpips(backbone(net, tmp_path), net, CPU)

    def features(*_: Any) -> nn.Sequential:  # in place of torchvision's, which is not here
        layers = trunk(net)
        layers.load_state_dict(random_state(layers))
        return layers

    monkeypatch.setattr(theirs, "_get_tv_model_features", features)
    judge = theirs._LPIPS(net=net).eval()  # type: ignore[arg-type]
    one, other = RNG.integers(0, 256, (2, 2, 72, 88, 3), np.uint8)
    images = [torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1 for frames in (one, other)]
    with torch.no_grad():
        expected = judge(*images).flatten().numpy()
    assert ours.distances(one, other) == pytest.approx(expected, rel=1e-4)
    assert (expected > 1e-3).all(), "the comparison would be empty"


@pytest.mark.parametrize(("net", "sizes"), [("alex", (64, 192, 384, 256, 256)), ("vgg", (64, 128, 256, 512, 512))])
def test_the_heads_are_the_published_ones(net: str, sizes: tuple[int, ...]) -> None:
    heads = torch.load(heads_file(net), map_location="cpu", weights_only=True)
    assert [tuple(heads[f"lin{index}.model.1.weight"].shape) for index in range(5)] == [(1, size, 1, 1) for size in sizes]
    assert all((head >= 0).all() for head in heads.values()), "trained to be no less than 0"


def test_equal_pictures_are_at_distance_zero_and_the_order_plays_no_part(alex: Lpips) -> None:
    one, other = RNG.integers(0, 256, (2, 1, 64, 64, 3), np.uint8)
    assert alex.distances(one, one).tolist() == [0]
    assert alex.distances(one, other) == pytest.approx(alex.distances(other, one))


def test_published_anchor_of_black_and_white() -> None:
    """0.814, as common_metrics prints for AlexNet."""
    path = Toolbox([], against="truth", device=CPU).find("alexnet")
    if path is None:
        pytest.skip("alexnet-owt-7be5be79.pth is not here; `hp-portrait download pretrained_weights --for evaluation` fetches it")
    black = np.zeros((1, 64, 64, 3), np.uint8)
    assert Lpips(path, "alex", CPU).distances(black, black + 255) == pytest.approx([0.814], abs=0.002)


def test_lpips_grows_with_noise_and_with_blur(alex: Lpips) -> None:
    import cv2

    truth = np.stack([cv2.resize(RNG.integers(0, 256, (9, 9, 3), np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)] * 3)
    noisy = [np.clip(truth + RNG.normal(0, sigma, truth.shape), 0, 255).astype(np.uint8) for sigma in (0, 4, 16, 48)]
    blurred = [np.stack([cv2.blur(frame, (side, side)) for frame in truth]) for side in (1, 9, 25, 61)]
    for worse in (noisy, blurred):
        values = [outcome(lpips(alex, "alex"), {"result": frames, "truth": truth}).value for frames in worse]
        assert values == sorted(values)
        assert values[0] == 0
        assert len(set(values)) == 4


def test_temporal_lpips_compares_the_steps(alex: Lpips) -> None:
    """By hand from the distances; the step across two parts counts like any other."""
    driving = RNG.integers(0, 256, (7, 64, 64, 3), np.uint8)
    metric = TemporalLpips(alex, "driving")
    steps = alex.distances(driving[:-1], driving[1:])
    still = np.repeat(driving[:1], 7, axis=0)
    seen = outcome(metric, {"result": still, "driving": driving}, step=3)
    assert seen.value == pytest.approx(1000 * steps.mean())
    assert (len(seen.frames), seen.frames[0]) == (7, None)
    assert outcome(metric, {"result": driving, "driving": driving}).value == 0
    flicker = [np.clip(still + RNG.normal(0, sigma, still.shape), 0, 255).astype(np.uint8) for sigma in (0, 4, 16, 48)]
    values = [outcome(metric, {"result": frames, "driving": still}).value for frames in flicker]
    assert values == sorted(values)
    assert len(set(values)) == 4
    assert outcome(metric, {"result": driving[:1], "driving": driving[:1]}).why == "a single frame has no neighbour"


def test_a_file_of_another_model_is_named(tmp_path: Path) -> None:
    path = backbone("alex", tmp_path)
    with pytest.raises(WeightsError, match=r"alex\.pth: 0\.weight is \(64, 3, 11, 11\), not \(64, 3, 3, 3\)"):
        Lpips(path, "vgg", CPU)
    (tmp_path / "text.pth").write_text("nothing")
    with pytest.raises(WeightsError, match=r"text\.pth is not a checkpoint of plain tensors"):
        Lpips(tmp_path / "text.pth", "alex", CPU)
