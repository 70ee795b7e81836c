"""Sharpness compared apart from where it lies."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from hp_core.training.sharpness import local_contrast, sharpness_loss

POINTS = torch.tensor([[[24.0, 28.0], [40.0, 28.0], [32.0, 36.0], [26.0, 44.0], [38.0, 44.0]]])


def lines() -> torch.Tensor:
    """Thin dark lines on white, (1, 3, 64, 64)."""
    picture = torch.ones(1, 3, 64, 64)
    picture[..., ::9] = -1.0
    return picture


def test_a_sharp_edge_a_little_beside_its_place_costs_less_than_a_blurred_one() -> None:
    truth = lines()
    beside = truth.roll(1, dims=-1)
    blurred = F.avg_pool2d(F.pad(truth, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    assert (beside - truth).abs().mean() > (blurred - truth).abs().mean(), "a difference of pixels asks for the blurred one"
    assert sharpness_loss(beside, truth, POINTS, face=2.0) < sharpness_loss(blurred, truth, POINTS, face=2.0) / 2
    assert float(sharpness_loss(truth, truth, POINTS, face=2.0)) == 0


def test_too_sharp_costs_as_well() -> None:
    truth = lines() * 0.5
    assert float(sharpness_loss(lines(), truth, POINTS, face=0.0)) > 0.05


def test_where_nothing_is_to_be_seen_there_is_a_gradient_without_nan() -> None:
    flat = torch.zeros(1, 3, 64, 64, requires_grad=True)
    sharpness_loss(flat, lines(), POINTS, face=1.0).backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
    assert float(local_contrast(torch.full((1, 3, 8, 8), 0.3)).max()) < 0.011


def test_the_eyes_count_more() -> None:
    truth = lines()
    at_an_eye, outside = truth.clone(), truth.clone()
    at_an_eye[..., 24:32, 20:28], outside[..., 52:60, 2:10] = 0, 0
    plain = [float(sharpness_loss(picture, truth, POINTS, face=0.0)) for picture in (at_an_eye, outside)]
    told = [float(sharpness_loss(picture, truth, POINTS, face=2.0)) for picture in (at_an_eye, outside)]
    assert told[0] / told[1] > 2 * plain[0] / plain[1]
