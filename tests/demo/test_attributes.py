"""What tells people apart: each attribute changes the picture where it should, and people have them about as often as promised."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hp_core.demo.identity import BACKDROPS, BEARDS, CLOTHING, GLASSES, HAIR_STYLES, Identity
from hp_core.demo.render import five_points
from tests.demo.faces import SIZE, changed_near, picture, still

PLAIN: dict[str, Any] = {"beard": "none", "glasses": "none", "hair_style": "short", "clothing": "crew", "backdrop": "glow"}
CORNER = np.array([20.0, 20.0])


def places(who: Identity) -> dict[str, np.ndarray]:
    """Points in the pixels of a face at rest."""
    left_eye, right_eye, nose, left_corner, right_corner = five_points(who, still(), SIZE)[0]
    mouth, apart = (left_corner + right_corner) / 2, right_eye[0] - left_eye[0]
    return {
        "nose": nose,
        "eye": left_eye,
        "frame": left_eye + (0, 0.29 * apart),
        "ear": np.array([left_eye[0] - 0.72 * apart, nose[1] - 0.1 * apart]),
        "lip": mouth - (0, 0.16 * apart),
        "chin": mouth + (0, 0.45 * apart),
        "chest": mouth + (0, 1.35 * apart),
        "corner": CORNER,
    }


@pytest.mark.parametrize(
    ("changed", "here", "not_there"),
    [
        ({"nose_width": 1.25}, "nose", "eye"),
        ({"nose_tip": 1.0}, "nose", "eye"),
        ({"ear_size": 1.2}, "ear", "nose"),
        ({"ear_stand": 1.0}, "ear", "nose"),
        ({"beard": "stubble"}, "chin", "eye"),
        ({"beard": "full"}, "chin", "eye"),
        ({"beard": "moustache"}, "lip", "eye"),
        ({"glasses": "round"}, "frame", "chin"),
        ({"glasses": "square"}, "frame", "chin"),
        ({"clothing": "scoop"}, "chest", "eye"),
        ({"clothing": "vee"}, "chest", "eye"),
        ({"clothing": "shirt"}, "chest", "eye"),
        ({"clothing": "turtleneck"}, "chest", "eye"),
        ({"backdrop": "gradient"}, "corner", "nose"),
        ({"backdrop": "shapes"}, "corner", "nose"),
    ],
)
def test_each_attribute_changes_its_own_part(changed: dict[str, Any], here: str, not_there: str) -> None:
    for seed in (1, 4):
        measures = {"nose_width": 0.85, "nose_tip": -1.0, "ear_size": 0.85, "ear_stand": 0.2, "backdrop_turn": 0.6}
        who = replace(Identity.sample(seed), **PLAIN, **measures, background=(200, 190, 170), accent=(120, 150, 190))
        other, at = replace(who, **changed), places(who)
        first, second = picture(who, still()), picture(other, still())
        assert changed_near(first, second, at[here], reach=9) > 1.5
        assert changed_near(first, second, at[not_there], reach=6) < 0.3


def test_glasses_do_not_hide_the_eyes() -> None:
    for kind in GLASSES[1:]:
        who = replace(Identity.sample(3), **{**PLAIN, "glasses": kind})
        bare = replace(who, glasses="none")
        for eye in five_points(who, still(), SIZE)[0, :2]:
            assert changed_near(picture(who, still()), picture(bare, still()), eye, reach=6) == 0


def test_people_differ_as_often_as_promised() -> None:
    people = [Identity.sample(seed) for seed in range(1200)]
    assert 1 / 8 < np.mean([who.beard != "none" for who in people]) < 1 / 5
    assert 1 / 11 < np.mean([who.glasses != "none" for who in people]) < 1 / 6
    for name, kinds in {"hair_style": HAIR_STYLES, "clothing": CLOTHING, "backdrop": BACKDROPS}.items():
        counts = Counter(getattr(who, name) for who in people)
        assert set(counts) == set(kinds)
        assert min(counts.values()) > 0.7 * len(people) / len(kinds)
    assert {who.beard for who in people} == set(BEARDS)
    assert {who.glasses for who in people} == set(GLASSES)


def test_a_backdrop_is_calm() -> None:
    for kind in BACKDROPS:
        who = replace(Identity.sample(6), **{**PLAIN, "backdrop": kind})
        top = picture(who, still())[: SIZE // 10].astype(int)
        assert max(np.abs(np.diff(top, axis=axis)).max() for axis in (0, 1)) <= 12
