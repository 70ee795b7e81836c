"""Paste-back; the released numbers are in tests/parity."""

from __future__ import annotations

import numpy as np

from hp_core.compose import feather_mask, paste_back


def test_the_portrait_stays_untouched_outside_and_at_the_border():
    rng = np.random.default_rng(0)
    portrait, frame = rng.integers(0, 255, (200, 300, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    before = portrait.copy()
    out = paste_back(frame, portrait, (50, 40, 150, 140))
    assert np.array_equal(portrait, before)
    outside = np.ones((200, 300), bool)
    outside[40:140, 50:150] = False
    assert np.array_equal(out[outside], portrait[outside])
    assert np.array_equal(out[40, 50:150], portrait[40, 50:150])  # the mask is zero on the square's edge
    assert (out[60:120, 70:130] == 255).all()  # and one inside


def test_mask_is_the_product_of_two_ramps():
    mask = feather_mask(40, 100)[..., 0]
    np.testing.assert_allclose(mask[20, :10], np.linspace(0, 1, 10))
    np.testing.assert_allclose(mask[:4, 50], np.linspace(0, 1, 4))
    np.testing.assert_allclose(mask, mask[::-1, ::-1])
    assert mask[1, 5] == mask[1, 50] * mask[20, 5]


def test_a_face_that_matches_the_portrait_changes_nothing():
    flat = np.full((100, 100, 3), 77, np.uint8)
    assert np.abs(paste_back(flat[:50, :50], flat, (10, 10, 60, 60)).astype(int) - 77).max() <= 1
