"""The styles: other looks of the same faces in the same places, without flicker."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import SMALLEST, five_points, render
from hp_core.demo.styles import STYLES
from tests.demo.faces import SIZE, changed_near, picture, still


def resting(frames: int) -> Performance:
    return Performance(**{field.name: np.full(frames, field.name == "scale", np.float32) for field in fields(Performance)})


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_repeatable_and_still_where_nothing_moves(style: str) -> None:
    who = Identity.sample(2)
    first, second, third = render(who, resting(3), size=128, style=style)
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)
    assert picture(who, still(), SMALLEST, style).shape == (SMALLEST, SMALLEST, 3)


@pytest.mark.parametrize("style", STYLES)
def test_what_hardly_moves_hardly_changes(style: str) -> None:
    who = Identity.sample(4)
    one, other = (picture(who, still(yaw=yaw), style=style).astype(int) for yaw in (5.0, 5.1))
    shaded = np.abs(picture(who, still(yaw=5.0)).astype(int) - picture(who, still(yaw=5.1))).mean()
    assert np.abs(one - other).mean() < 2 * shaded + 0.1


def test_styles_differ_in_look_and_agree_on_the_face() -> None:
    who = Identity.sample(5)
    pictures = [picture(who, still(), style=style) for style in STYLES]
    for index, one in enumerate(pictures):
        for other in pictures[index + 1 :]:
            assert np.abs(one.astype(int) - other).mean() > 3
    points = five_points(who, still(), SIZE)[0]
    for style, rest in zip(STYLES, pictures, strict=True):
        moved = picture(who, still(jaw=1, blink_left=1), style=style)
        assert changed_near(rest, moved, points[0]) > 5
        assert changed_near(rest, moved, (points[3] + points[4]) / 2 + (0, 10)) > 5
        assert changed_near(rest, moved, points[1], reach=8) < 1


def test_line_art_is_dark_on_light() -> None:
    drawn = picture(Identity.sample(0), still(), 512, "line-art").astype(int).mean(axis=2)
    assert np.median(drawn) > 180
    assert 0.01 < (drawn < 90).mean() < 0.15


def test_flat_colours_are_few() -> None:
    who = Identity.sample(8)
    flat, shaded = (len(np.unique(picture(who, still(), style=style).reshape(-1, 3), axis=0)) for style in ("flat", "shaded"))
    assert flat < shaded / 3
