"""Every metric against a value known by hand or from a library, and at its limits."""

from __future__ import annotations

import numpy as np
import pytest

from hp_core.evaluation.flicker import still_flicker
from hp_core.evaluation.metrics.correlation import pearson
from hp_core.evaluation.metrics.identity import embed_faces, mean_cosine
from hp_core.evaluation.metrics.landmarks import frame_landmark_distance, frame_nose_distance
from hp_core.evaluation.metrics.psnr import CEILING, frame_psnr
from hp_core.evaluation.metrics.ssim import frame_ssim
from hp_core.face.crop import ARCFACE_TEMPLATE

RNG = np.random.default_rng(0)
CLIP = RNG.integers(0, 256, (3, 24, 32, 3), np.uint8)


# PSNR


def test_psnr_of_equal_frames_is_the_ceiling() -> None:
    assert frame_psnr(CLIP, CLIP).tolist() == [CEILING] * 3


def test_psnr_of_black_and_white_is_zero() -> None:
    assert frame_psnr(np.zeros_like(CLIP), np.full_like(CLIP, 255)) == pytest.approx([0, 0, 0])


def test_psnr_by_hand_and_by_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    grey, shifted = np.full_like(CLIP, 100), np.full_like(CLIP, 110)
    assert frame_psnr(shifted, grey) == pytest.approx([20 * np.log10(255 / 10)] * 3)
    other = RNG.integers(0, 256, CLIP.shape, np.uint8)
    expected = [metrics.peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(CLIP, other, strict=True)]
    assert frame_psnr(other, CLIP) == pytest.approx(expected)


def test_psnr_in_a_box_sees_nothing_else() -> None:
    result = CLIP.copy()
    result[:, 10:, :] ^= 255
    boxes = np.array([[0, 0, 32, 10], [0, 10, 32, 24], [5, 5, 5, 9]])
    inside, outside, empty = frame_psnr(result, CLIP, boxes)
    assert inside == CEILING
    assert outside < 10
    assert np.isnan(empty)


# SSIM


def test_ssim_of_equal_frames_is_one_and_falls_with_noise() -> None:
    pytest.importorskip("skimage")
    assert frame_ssim(CLIP, CLIP) == pytest.approx([1, 1, 1])
    smooth = np.broadcast_to(np.arange(32, dtype=np.uint8)[None, None, :, None] * 8, CLIP.shape)
    noisy = [np.clip(smooth + RNG.normal(0, sigma, CLIP.shape), 0, 255).astype(np.uint8) for sigma in (2, 20)]
    assert frame_ssim(noisy[1], smooth).max() < frame_ssim(noisy[0], smooth).min() < 1


def test_ssim_of_black_and_white_is_c1() -> None:
    """Without variance SSIM is (2ab + C1) / (a^2 + b^2 + C1), C1 = (0.01 * 255)^2."""
    pytest.importorskip("skimage")
    expected = 1e-4 / (1 + 1e-4)
    assert frame_ssim(np.zeros_like(CLIP), np.full_like(CLIP, 255)) == pytest.approx([expected] * 3)


def test_ssim_is_wang_by_the_formula() -> None:
    """At the one place of an 11 x 11 picture where the window is whole: weighted moments by hand."""
    pytest.importorskip("skimage")
    a, b = RNG.integers(0, 256, (2, 1, 11, 11, 3), np.uint8)
    at = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = (np.outer(at, at) / at.sum() ** 2)[..., None]
    x, y = a[0].astype(float), b[0].astype(float)
    mx, my = (weights * x).sum((0, 1)), (weights * y).sum((0, 1))
    vx, vy = (weights * x * x).sum((0, 1)) - mx**2, (weights * y * y).sum((0, 1)) - my**2
    cov, c1, c2 = (weights * x * y).sum((0, 1)) - mx * my, 2.55**2, 7.65**2
    expected = ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()
    assert frame_ssim(a, b) == pytest.approx([expected], rel=1e-6)


# Landmarks


def test_landmark_distance_is_in_percent_of_the_width() -> None:
    truth = np.array([[[0, 0], [50, 0], [20, 30]]] * 2, float)
    assert frame_landmark_distance(truth, truth).tolist() == [0, 0]
    assert frame_landmark_distance(truth + (3, 4), truth) == pytest.approx([10, 10])  # 5 of 50 pixels
    assert frame_landmark_distance(2 * truth + (6, 8), 2 * truth) == pytest.approx([10, 10]), "the size of the picture plays no part"


def test_nose_distance_by_hand_from_each_origin() -> None:
    truth = np.zeros((4, 3, 2))
    truth[:, 0, 0], truth[:, 2, 0] = -25, 25  # 50 pixels wide
    result = truth.copy()
    result[:, 1] = [(10, 0), (5, 0), (5, 0), (np.nan, np.nan)]
    assert frame_nose_distance(result, truth, origin="picture")[:3] == pytest.approx([20, 10, 10])
    assert frame_nose_distance(result, truth, origin="first")[:3] == pytest.approx([0, 10, 10])
    assert frame_nose_distance(result, truth, origin="mean")[:3] == pytest.approx([20 / 3, 10 / 3, 10 / 3])
    for origin in ("picture", "first", "mean"):
        assert np.isnan(frame_nose_distance(result, truth, origin=origin)).tolist() == [False] * 3 + [True]
        assert np.isnan(frame_nose_distance(np.full_like(truth, np.nan), truth, origin=origin)).all()


def test_landmark_distance_is_undefined_without_a_face() -> None:
    truth = np.array([[[0.0, 0], [50, 0]]] * 3)
    result, blind = truth + 5, truth.copy()
    result[1], blind[2] = np.nan, np.nan
    assert np.isnan(frame_landmark_distance(result, blind)).tolist() == [False, True, True]
    assert np.isnan(frame_landmark_distance(result, np.full_like(truth, np.nan))).all()


# Flicker


def test_flicker_counts_still_pixels_alone() -> None:
    truth = np.full((3, 4, 4, 3), 90, np.uint8)
    truth[1, :2] = 30  # the upper half moves
    result = truth.copy()
    assert still_flicker(result, truth).tolist() == [0, 0]
    result[1] = 120  # 90 -> 120 -> 90 in the lower half; the upper half may do as it likes
    assert still_flicker(result, truth).tolist() == [30, 30]
    assert still_flicker(np.full_like(truth, 7), truth).tolist() == [0, 0]
    assert np.isnan(still_flicker(result[:2], np.stack([np.zeros_like(truth[0]), truth[0]]))).all(), "nothing is still"


# Correlation


def test_correlation_of_lines_is_one_whatever_their_scale() -> None:
    time = np.arange(8.0)
    assert pearson(time, 3 * time - 5) == pytest.approx(1)
    assert pearson(time, -time) == pytest.approx(-1)
    assert pearson(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])) == pytest.approx(0.5)


def test_correlation_with_a_result_that_does_not_move_is_zero() -> None:
    assert pearson(np.arange(5.0), np.full(5, 0.1)) == 0


def test_correlation_is_undefined_where_there_is_nothing_to_follow() -> None:
    assert pearson(np.full(5, 0.1), np.arange(5.0)) is None
    assert pearson(np.array([1.0, np.nan, 2, 3]), np.array([1.0, 2, 3, np.nan])) is None, "two frames are left"


def test_correlation_leaves_out_frames_without_a_face() -> None:
    assert pearson(np.array([1.0, 2, np.nan, 4]), np.array([2.0, 4, 100, 8])) == pytest.approx(1)


# Identity


class MeanColour:
    """An encoder whose embedding is the mean colour of the aligned face, of unit length."""

    def embed(self, face: np.ndarray) -> np.ndarray:
        assert (face.shape, face.dtype) == ((112, 112, 3), np.float32)
        mean = face.mean(axis=(0, 1))
        return np.asarray(mean / np.linalg.norm(mean), np.float32)


def test_identity_tells_a_red_face_from_a_green_one() -> None:
    red, green = np.zeros((2, 112, 112, 3), np.uint8), np.zeros((2, 112, 112, 3), np.uint8)
    red[..., 0], green[..., 1] = 200, 200
    points = np.repeat(ARCFACE_TEMPLATE[None], 2, axis=0)
    reds, greens = (embed_faces(MeanColour(), frames, points) for frames in (red, green))
    assert mean_cosine(reds, reds[:1]) == pytest.approx(1)
    assert mean_cosine(reds, greens) == pytest.approx(0, abs=1e-6)


def test_identity_leaves_out_frames_without_a_face() -> None:
    frames = np.full((2, 112, 112, 3), 90, np.uint8)
    points = np.stack([ARCFACE_TEMPLATE, np.full((5, 2), np.nan)])
    embeddings = embed_faces(MeanColour(), frames, points)
    assert np.isfinite(embeddings).all(axis=1).tolist() == [True, False]
    assert mean_cosine(embeddings, embeddings) == pytest.approx(1)
    assert mean_cosine(embeddings[1:], embeddings) is None
    nobody = embed_faces(MeanColour(), frames, np.full((2, 5, 2), np.nan))
    assert mean_cosine(nobody, embeddings) is None
