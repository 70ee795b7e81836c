"""The scripted performances: what is seen in them is what they are called."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import numpy as np
import pytest

from hp_core.commands.options import FaceScript, FaceStyle
from hp_core.demo.performance import Performance
from hp_core.demo.scripts import SCRIPTS
from hp_core.demo.styles import STYLES
from hp_core.errors import OptionError


def turns(values: np.ndarray) -> int:
    """How often ``values`` change direction by a sizeable swing."""
    big = values[np.abs(values) > 0.5 * np.abs(values).max()]
    return int((np.diff(np.sign(big)) != 0).sum())


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(("frames", "fps"), [(1, 25.0), (180, 30.0), (200, 25.0)])
def test_scripts_stay_in_range_and_begin_and_end_at_rest(name: str, frames: int, fps: float) -> None:
    performance = SCRIPTS[name](frames, fps)
    assert len(performance) == frames
    limits = {"yaw": 36, "pitch": 25, "roll": 15, "shift_x": 0.05, "shift_y": 0.05, "scale": 1.1}
    for field in fields(Performance):
        values = getattr(performance, field.name)
        assert values.dtype == np.float32
        assert np.abs(values).max() <= limits.get(field.name, 1), field.name
    assert min(performance.jaw.min(), performance.pucker.min(), performance.blink_left.min(), performance.blink_right.min()) >= 0
    for end in (0, -1):
        assert np.abs([performance.yaw[end], performance.pitch[end], performance.roll[end]]).max() < 8
        assert abs(performance.smile[end]) < 0.3


def test_each_script_shows_its_name() -> None:
    seen = {name: script(120, 25.0) for name, script in SCRIPTS.items()}
    assert np.ptp(seen["nod"].pitch) > 15 > 5 > np.ptp(seen["nod"].yaw)
    assert turns(seen["shake"].yaw) >= 3
    assert np.ptp(seen["shake"].pitch) < 5
    assert (seen["talk"].jaw > 0.2).mean() > 0.25
    assert seen["talk"].pucker.max() > 0.3
    assert ((seen["wink"].blink_right > 0.9) & (seen["wink"].blink_left < 0.1)).mean() > 0.1
    assert seen["smile"].smile.max() > 0.95
    assert np.ptp(seen["look-around"].gaze_x) > 1.5
    assert np.ptp(seen["look-around"].gaze_y) > 1.2
    assert np.ptp(seen["look-around"].yaw) > 40


def test_the_showreel_visits_all_of_them() -> None:
    reel = SCRIPTS["showreel"](450, 25.0)
    assert np.ptp(reel.pitch) > 20
    assert np.ptp(reel.yaw) > 40
    assert reel.jaw.max() > 0.8
    assert reel.smile.max() > 0.95
    assert (reel.blink_right - reel.blink_left).max() > 0.8
    assert np.ptp(reel.gaze_x) > 1.5
    for field in fields(reel):
        if field.name not in ("yaw", "pitch", "roll"):
            continue
        assert np.abs(np.diff(getattr(reel, field.name))).max() < 7, "the head jumps"


def test_scripts_are_repeatable_and_refuse_nothing_to_play() -> None:
    assert np.array_equal(SCRIPTS["talk"](40, 25.0).jaw, SCRIPTS["talk"](40, 25.0).jaw)
    with pytest.raises(OptionError, match="0 frames"):
        SCRIPTS["nod"](0, 25.0)


def test_the_command_line_offers_every_script_and_style() -> None:
    assert get_args(FaceScript) == tuple(SCRIPTS)
    assert get_args(FaceStyle) == STYLES
