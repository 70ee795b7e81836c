"""Colours compared apart from brightness."""

from __future__ import annotations

import pytest
import torch

from hp_core.training.chroma import colour_loss

POINTS = torch.tensor([[[24.0, 28.0], [40.0, 28.0], [32.0, 36.0], [26.0, 44.0], [38.0, 44.0]]])
GREY = torch.zeros(1, 3, 64, 64)


def spot(left: int, top: int, colour: tuple[float, float, float]) -> torch.Tensor:
    """Grey with a spot of 6x6 pixels, (1, 3, 64, 64)."""
    picture = GREY.clone()
    picture[:, :, top : top + 6, left : left + 6] = torch.tensor(colour)[:, None, None]
    return picture


def differs(picture: torch.Tensor, truth: torch.Tensor, features: float = 0.0) -> float:
    return float(colour_loss(picture, truth, POINTS, face=0.0, features=features)[0])


def test_brightness_does_not_count_and_colour_does() -> None:
    brown, green = spot(21, 25, (0.1, -0.1, -0.4)), spot(21, 25, (-0.3, 0.1, -0.4))
    assert differs(GREY + 0.4, GREY) == pytest.approx(0, abs=1e-6)
    assert differs(green, brown) > 10 * differs(spot(21, 25, (0.2, 0.0, -0.3)), brown)
    assert differs(brown, brown) == 0


def test_a_uniform_tint_counts_as_it_is_whatever_the_weights() -> None:
    tinted = GREY + torch.tensor([0.3, 0.0, 0.0])[:, None, None]
    wanted = (0.3 * (1 - 0.299) + 0.3 * 0.299) / 2  # red stands out of the brightness, blue falls behind it
    assert differs(tinted, GREY) == pytest.approx(wanted, rel=1e-4)
    assert differs(tinted, GREY, features=12.0) == pytest.approx(wanted, rel=1e-4)


def test_an_iris_counts_more_than_a_spot_of_the_wall() -> None:
    iris, wall = spot(21, 25, (0.4, 0.0, 0.0)), spot(2, 54, (0.4, 0.0, 0.0))
    assert differs(iris, GREY) == pytest.approx(differs(wall, GREY), rel=0.02)
    assert differs(iris, GREY, features=12.0) > 5 * differs(wall, GREY, features=12.0)


def test_each_picture_has_its_own_number_and_a_gradient() -> None:
    pictures = torch.cat([GREY, spot(21, 25, (0.4, 0.0, 0.0))]).requires_grad_()
    apart = colour_loss(pictures, GREY.expand(2, -1, -1, -1), POINTS.expand(2, -1, -1), face=1.0, features=1.0)
    assert apart.shape == (2,)
    assert float(apart[0].detach()) == 0 < float(apart[1].detach())
    apart.sum().backward()
    assert pictures.grad is not None
    assert pictures.grad.isfinite().all()
