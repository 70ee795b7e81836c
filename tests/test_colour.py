"""Colours brought to a reference: a cast is undone, and what is no cast leaves no trace."""

from __future__ import annotations

import cv2
import numpy as np

from hp_core.colour import GAIN_LIMITS, ColourMatcher, _lab, _rgb

SIZE = 96
RING = np.ones((SIZE, SIZE), bool)
RING[10:-10, 10:-10] = False


def picture(seed: int = 0) -> np.ndarray:
    """Soft colours well inside the range, (SIZE, SIZE, 3) uint8."""
    small = np.random.default_rng(seed).uniform(90, 170, (6, 6, 3)).astype(np.float32)
    return cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC).clip(40, 210).astype(np.uint8)


def cast(pixels: np.ndarray, gain: tuple[float, float, float], offset: tuple[float, float, float]) -> np.ndarray:
    """A known gain and offset of each Lab channel, uint8 again."""
    rgb = _rgb(_lab(pixels) * np.float32(gain) + np.float32(offset))
    assert rgb.min() > 0
    assert rgb.max() < 255, "nothing is lost at the ends"
    return np.rint(rgb).astype(np.uint8)


def worst(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second).max())


def test_a_gain_and_an_offset_are_undone_in_the_whole_picture() -> None:
    still = picture()
    frame = cast(still, (0.9, 1.1, 0.95), (12, -4, 5))
    assert np.abs(frame.astype(float) - still).mean() > 6
    back = ColourMatcher(still, RING)(frame)
    assert back.dtype == np.float32
    assert np.abs(back - still).mean() < 1
    assert worst(back, still) < 4


def test_lab_is_the_standard_one_and_there_and_back_loses_nothing() -> None:
    colours = np.array([[[255, 255, 255], [255, 0, 0], [0, 0, 255], [119, 119, 119]]], np.uint8)
    expected = [[100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86], [50.03, 0, 0]]  # D65, as tables of sRGB give them
    np.testing.assert_allclose(_lab(colours)[0], expected, atol=0.06)
    every = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert worst(_rgb(_lab(every)), every) < 0.05


def test_an_equal_picture_stays_as_it_is() -> None:
    assert worst(ColourMatcher(picture(), RING)(picture()), picture()) < 0.05


def test_what_moved_across_the_ring_is_no_cast() -> None:
    still = picture()
    frame = cast(still, (1, 1, 1), (6, 3, -3))
    frame[:30, :50] = (20, 30, 200)  # a fifth of the ring
    back = ColourMatcher(still, RING)(frame)
    assert np.abs(back[40:] - still[40:]).mean() < 1


def test_a_ring_of_one_colour_tells_the_mean_alone() -> None:
    still, frame = np.full((SIZE, SIZE, 3), 120, np.uint8), np.full((SIZE, SIZE, 3), 128, np.uint8)
    frame[30:60, 30:60] = picture()[30:60, 30:60]
    matcher = ColourMatcher(still, RING)
    back = matcher(frame)
    assert worst(back[RING], still[RING]) < 0.1
    shifted = cast(frame, (1, 1, 1), tuple(_lab(still)[0, 0] - _lab(frame)[0, 0]))
    assert worst(back, shifted) < 1  # contrast in the middle as it was
    noisy = np.clip(frame + np.random.default_rng(0).normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8)
    assert worst(matcher(noisy)[30:60, 30:60], shifted[30:60, 30:60]) < 9  # noise of the plain surface is no contrast either


def test_the_gain_is_limited() -> None:
    still = picture()
    frame = cast(still, (0.4, 0.4, 0.4), (33, 0, 0))
    back = ColourMatcher(still, RING)(frame)
    spread = _lab(np.rint(back).astype(np.uint8))[RING].std(axis=0) / _lab(frame)[RING].std(axis=0)
    np.testing.assert_allclose(spread, GAIN_LIMITS[1], rtol=0.03)
