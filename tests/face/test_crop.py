"""Geometry of the crops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hp_core.config import FaceConfig
from hp_core.errors import FaceError
from hp_core.face.crop import ARCFACE_TEMPLATE, arcface_align, crop_square, motion_box, motion_crop, similarity, square_box
from hp_core.values import in_square

sizes = st.tuples(st.integers(64, 2000), st.integers(64, 2000))


@st.composite
def boxed_images(draw):
    """An image size and a face box of at least 8 pixels inside it."""
    height, width = draw(sizes)
    x1, y1 = draw(st.floats(0, width - 8)), draw(st.floats(0, height - 8))
    x2, y2 = draw(st.floats(x1 + 8, width)), draw(st.floats(y1 + 8, height))
    return (height, width), np.array([x1, y1, x2, y2])


@given(boxed_images())
def test_square_is_square_inside_and_keeps_the_centre_of_the_face(case):
    (height, width), box = case
    x1, y1, x2, y2 = square_box(box, (height, width))
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    assert abs((x2 - x1) - (y2 - y1)) <= 1
    assert x1 - 1 <= (box[0] + box[2]) / 2 <= x2 + 1
    assert y1 - 1 <= (box[1] + box[3]) / 2 <= y2 + 1


@given(boxed_images())
def test_square_follows_a_mirrored_picture(case):
    (height, width), (x1, y1, x2, y2) = case
    left, top, right, bottom = square_box(np.array([x1, y1, x2, y2]), (height, width))
    mirrored = square_box(np.array([width - x2, y1, width - x1, y2]), (height, width))
    assert np.abs(np.subtract(mirrored, (width - right, top, width - left, bottom))).max() <= 1


def test_square_of_a_face_in_the_middle_is_the_grown_box():
    assert square_box(np.array([400, 400, 500, 500]), (1000, 1000)) == (300, 300, 600, 600)
    assert square_box(np.array([400, 400, 500, 500]), (1000, 1000), growth=0.5) == (350, 350, 550, 550)


@given(st.floats(-180, 180), st.floats(0.1, 10), st.floats(-500, 500), st.floats(-500, 500))
def test_similarity_recovers_any_rotation_scale_and_shift(angle, scale, dx, dy):
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = scale * np.array([[cosine, -sine], [sine, cosine]])
    moved = ARCFACE_TEMPLATE @ turn.T + (dx, dy)
    matrix = similarity(moved, ARCFACE_TEMPLATE)
    np.testing.assert_allclose(moved @ matrix[:, :2].T + matrix[:, 2], ARCFACE_TEMPLATE, atol=1e-6 * max(1, 1 / scale))


def test_similarity_agrees_with_scikit_image():
    transform = pytest.importorskip("skimage.transform")
    points = ARCFACE_TEMPLATE * 2.3 + np.random.default_rng(0).normal(0, 8, (5, 2))
    if hasattr(transform.SimilarityTransform, "from_estimate"):
        other = transform.SimilarityTransform.from_estimate(points, ARCFACE_TEMPLATE)
    else:
        other = transform.SimilarityTransform()
        other.estimate(points, ARCFACE_TEMPLATE)
    np.testing.assert_allclose(similarity(points, ARCFACE_TEMPLATE), other.params[:2], atol=1e-9)


def test_similarity_of_coinciding_points_is_an_error():
    with pytest.raises(FaceError, match="coincide"):
        similarity(np.ones((5, 2)), ARCFACE_TEMPLATE)


def test_arcface_alignment_puts_points_on_the_template_and_black_outside():
    image = np.zeros((300, 300, 3), np.uint8)
    points = ARCFACE_TEMPLATE * 1.5 + (60, 40)
    for x, y in points.round().astype(int):
        image[y - 3 : y + 4, x - 3 : x + 4] = 255
    aligned = arcface_align(image, points)
    assert aligned.shape == (112, 112, 3)
    assert aligned.dtype == np.float32
    assert aligned.max() <= 1
    for x, y in ARCFACE_TEMPLATE.round().astype(int):
        assert aligned[y, x].min() > 0.9
    outside = arcface_align(np.full((40, 40, 3), 255, np.uint8), points)
    assert outside[0, 0].max() == 0


def test_motion_box_moves_from_the_points_to_the_first_box():
    points = np.array([[100, 100], [140, 100], [120, 120], [105, 140], [135, 140]], float)
    box = np.array([60, 40, 180, 200], float)
    at_points = motion_box(points, np.concatenate([points.min(0), points.max(0)]))
    assert at_points == (100, 100, 140, 140)
    # every side 45 % of the way: 82..158 by 73..167, half the longer side is 47
    assert motion_box(points, box) == (73, 73, 167, 167)


def test_motion_crop_is_black_outside_the_frame():
    image = np.full((100, 100, 3), 200, np.uint8)
    points = np.array([[0, 0], [40, 0], [20, 20], [5, 40], [35, 40]], float)
    crop = motion_crop(image, points, np.array([-40, -40, 60, 60], float), FaceConfig())
    assert crop.shape == (256, 256, 3)
    assert crop[0, 0].max() == 0
    assert crop[-20, -20].min() == 200


def test_a_face_without_a_pixel_is_an_error():
    points = np.full((5, 2), 50.0)
    with pytest.raises(FaceError, match="too small"):
        motion_box(points, np.array([50, 50, 51, 51]))
    with pytest.raises(FaceError, match="empty"):
        crop_square(np.zeros((100, 100, 3), np.uint8), (10, 10, 10, 10), 512)


@given(boxed_images())
def test_points_keep_their_place_in_the_square(case):
    size, box = case
    square = square_box(box, size)
    corners = np.array([[square[0], square[1]], [square[2], square[3]]], float)
    np.testing.assert_allclose(in_square(corners, square, 512), [[0, 0], [512, 512]], atol=1e-3)
