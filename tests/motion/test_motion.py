"""Intensity rules, encoders, refiner and its named options; numbers of the released form are in tests/parity."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hp_core.config import MotionConfig, PortraitConfig
from hp_core.errors import FaceError, OptionError
from hp_core.motion.encode import encode_clip, encode_motion, estimate_intensity, motion_tokens, pad_tokens
from hp_core.motion.encoders import ExpressionEncoder, HeadPoseEncoder
from hp_core.motion.intensity import chunk_intensity, estimate, quantise
from hp_core.motion.refiner import MotionRefiner
from hp_core.progress import result
from hp_core.values import FaceTrack, Intensity, MotionTokens

CONFIG = PortraitConfig.demo().motion
FIVE = np.array([[0, 0], [3, 0], [1.5, 2], [0.5, 4], [2.5, 4]], float)  # extent 3 by 4: s = 5


def clip(seed: int, frames: int = 10) -> np.ndarray:
    return FIVE * 20 + np.random.default_rng(seed).normal(0, 2, (frames, 5, 2))


@given(st.integers(0, 100), st.floats(0.1, 20), st.floats(-300, 300), st.sampled_from(["released", "paper"]))
def test_intensity_ignores_size_and_place(seed, scale, shift, rule):
    points = clip(seed)
    np.testing.assert_allclose(chunk_intensity(points * scale + shift, rule), chunk_intensity(points, rule), rtol=1e-9)


def test_intensity_by_hand():
    head = np.stack([FIVE + (x, 0) for x in (-1.0, 1.0)])  # the face slides as a whole
    assert chunk_intensity(head, "released") == pytest.approx((0, 1 / 5))
    assert chunk_intensity(head, "paper") == pytest.approx((0, 1 / 5))
    smile = np.stack([FIVE, FIVE])
    smile[0, 3:, 1] -= 0.5
    smile[1, 3:, 1] += 0.5  # both mouth corners, half a pixel each way; extent of the first frame 3 by 3.5
    s = float(np.hypot(3, 3.5))
    assert chunk_intensity(smile, "released") == pytest.approx((2 * 0.5 / 5 / s, 0))
    assert chunk_intensity(smile, "paper") == pytest.approx((np.sqrt(2 * 0.25 / 5) / s, 0))


@given(st.integers(0, 50))
def test_the_papers_root_mean_square_is_never_below_the_mean(seed):
    released, paper = chunk_intensity(clip(seed), "released"), chunk_intensity(clip(seed), "paper")
    assert all(p >= r - 1e-12 for p, r in zip(paper, released, strict=True))


def test_levels_truncate_and_clamp():
    assert quantise(np.array([0, 0.0009, 0.001, 0.0625, 0.2]), 0.125, 128).tolist() == [0, 0, 1, 64, 127]
    assert quantise(np.array([0.0625, 9]), 0.125, 64).tolist() == [32, 63]


def test_chunks_and_a_single_frame():
    points = clip(1, 60)
    expression, head, expression_levels, _ = estimate(points, CONFIG)
    assert len(expression) == len(head) == 3
    assert (expression[2], head[2]) == chunk_intensity(points[50:], "released")
    assert expression_levels.dtype == np.int64
    assert [v.tolist() for v in estimate(points[:1], CONFIG)] == [[0], [0], [0], [0]]


def test_points_without_a_size_are_an_error():
    with pytest.raises(FaceError, match="no scale"):
        chunk_intensity(np.zeros((3, 5, 2)), "released")
    with pytest.raises(FaceError, match="no scale"):
        chunk_intensity(np.full((3, 5, 2), np.nan), "released")


@torch.no_grad()
def test_head_pose_ranges_and_input_option():
    torch.manual_seed(0)
    released = HeadPoseEncoder(replace(CONFIG, head_input="released")).eval()
    symmetric = HeadPoseEncoder(replace(CONFIG, head_input="symmetric")).eval()
    symmetric.load_state_dict(released.state_dict())
    pixels = torch.rand(4, 3, 64, 64)
    rotation, translation = released(pixels)
    assert rotation.abs().max() <= 180
    assert translation.abs().max() <= 2
    torch.testing.assert_close(symmetric(pixels + 1)[0], rotation, rtol=1e-4, atol=1e-3)  # (x + 1) * 2 - 1 is x * 2 + 1
    assert not torch.allclose(symmetric(pixels)[0], rotation)


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"intensity_embedding": "concat"},
        {"memory_attention": "motion"},
        {"activation": "silu"},
        {"intensity_embedding": "concat", "memory_attention": "motion", "activation": "silu", "levels": 64},
    ],
)
def test_refiner_options(changes):
    torch.manual_seed(0)
    refiner = MotionRefiner(replace(CONFIG, **changes)).eval()
    feature = torch.randn(2, CONFIG.expression_dim)
    low, high = torch.zeros(2, dtype=torch.long), torch.full((2,), 40)
    out = refiner(feature, low, low)
    assert out.shape == (2, CONFIG.memories, CONFIG.token_dim - 6)
    assert not torch.allclose(out, refiner(feature, high, low), atol=1e-4)
    assert not torch.allclose(out, refiner(feature, low, high), atol=1e-4)
    assert not torch.allclose(out, refiner(feature * 2, low, low), atol=1e-4)
    if changes:
        torch.manual_seed(0)
        plain = MotionRefiner(CONFIG).eval()
        if plain.position_exp.weight.shape == refiner.position_exp.weight.shape:
            refiner.load_state_dict(plain.state_dict())
            assert not torch.allclose(refiner(feature, high, high), plain(feature, high, high), atol=1e-4)


def test_translation_rule():
    refined, rotation, translation = torch.randn(2, 8, 122), torch.randn(2, 3), torch.randn(2, 3)
    released = motion_tokens(refined, rotation, translation, translation_rule="released")
    predicted = motion_tokens(refined, rotation, translation, translation_rule="predicted")
    assert released.shape == (2, 8, 128)
    assert (released[..., -3:] == 0).all()
    torch.testing.assert_close(predicted[:, 3, -6:], torch.cat([rotation, translation], -1))


def test_padding_fades_in_and_out():
    tokens = torch.ones(4, 2, 3) * torch.tensor([1.0, 2, 3, 4])[:, None, None]
    padded = pad_tokens(tokens, 4)
    assert padded[:, 0, 0].tolist() == [0, 0.25, 0.5, 0.75, 1, 2, 3, 4, 4, 3, 2, 1]
    assert pad_tokens(tokens, 0) is tokens


def make_track(frames: int) -> FaceTrack:
    rng = np.random.default_rng(0)

    def crops() -> np.ndarray:
        return rng.integers(0, 255, (frames, 64, 64, 3), np.uint8)

    points = clip(0, frames).astype(np.float32)
    box = np.tile(np.array([[0, 0, 60, 80]], np.float32), (frames, 1))
    found, picture, square = np.ones(frames, bool), np.zeros((128, 128, 3), np.uint8), (0, 0, 60, 60)
    return FaceTrack(crops(), crops(), box, points, None, found, "error", square, picture, picture, points[0], True, Fraction(30), "t")


def test_a_followed_head_has_the_intensity_of_one_that_stays():
    """The way of the square across the picture, and its growth, are not the head's."""
    still = make_track(30)
    way, size = np.arange(30) * 7, np.linspace(60, 90, 30).round().astype(np.int32)
    squares = np.stack([way, 2 * way, way + size, 2 * way + size], axis=1).astype(np.int32)
    points = (still.five_points * (size / 60)[:, None, None] + squares[:, None, :2]).astype(np.float32)
    followed = replace(still, five_points=points, squares=squares)
    one, other = estimate_intensity(still, CONFIG), estimate_intensity(followed, CONFIG)
    np.testing.assert_allclose(one.expression, other.expression, rtol=1e-5)
    np.testing.assert_allclose(one.head, other.head, rtol=1e-5)
    moved = estimate_intensity(replace(followed, squares=None), CONFIG)
    assert (moved.head > one.head).any(), "else nothing was taken off"


def test_encoding_in_batches_changes_nothing():
    torch.manual_seed(0)
    nets = [m(CONFIG).eval() for m in (ExpressionEncoder, HeadPoseEncoder, MotionRefiner)]
    track = make_track(30)
    intensity = Intensity(*estimate(track.five_points, CONFIG), chunk=CONFIG.chunk, rule="released")
    runs = [MotionTokens.join(list(encode_motion(*nets, track, intensity, CONFIG, device="cpu", batch=n))) for n in (7, 30)]
    torch.testing.assert_close(runs[0].tokens, runs[1].tokens, rtol=1e-4, atol=1e-4)
    assert runs[0].tokens.shape == (30, 8, 128)
    assert runs[0].fps == 30
    # frames 25..29 have the second chunk's intensity
    other = replace(intensity, expression_levels=np.array([intensity.expression_levels[0], 99]))
    changed = MotionTokens.join(list(encode_motion(*nets, track, other, CONFIG, device="cpu")))
    same = torch.isclose(changed.tokens, runs[0].tokens, atol=1e-4).flatten(1).all(1)
    assert same[:25].all()
    assert not same[25:].any()


def test_a_clip_whose_file_nobody_knows_is_told_from_others() -> None:
    nets = [m(CONFIG).eval() for m in (ExpressionEncoder, HeadPoseEncoder, MotionRefiner)]
    track = make_track(4)
    other = replace(track, motion_crops=255 - track.motion_crops)
    first, again, second = (
        result(encode_clip(*nets, clip, estimate_intensity(clip, CONFIG), CONFIG, device="cpu")).source for clip in (track, track, other)
    )
    assert first == again != second
    assert len(first) == 12


def test_intensity_of_another_clip_is_an_error():
    track = make_track(30)
    nets = [m(CONFIG) for m in (ExpressionEncoder, HeadPoseEncoder, MotionRefiner)]
    intensity = Intensity(*estimate(track.five_points[:20], CONFIG), chunk=25, rule="released")
    with pytest.raises(OptionError, match=r"1 chunks of 25 frames, the face track 30"):
        next(encode_motion(*nets, track, intensity, CONFIG, device="cpu"))


def test_levels_that_the_memory_bank_does_not_know_are_refused() -> None:
    intensity = Intensity(np.zeros(1), np.zeros(1), np.array([100]), np.array([3]), chunk=25, rule="released")
    small = replace(CONFIG, levels=64)
    with pytest.raises(OptionError, match="level of 100, the memory bank of these weights knows 0 to 63"):
        next(encode_motion(None, None, MotionRefiner(small), [0], intensity, small, device="cpu"))  # type: ignore[arg-type]
    low = replace(estimate_intensity(make_track(1), CONFIG), expression_levels=np.array([5]))
    with pytest.raises(OptionError, match="sorted into 128 levels, the memory bank of these weights knows 64"):
        next(encode_motion(None, None, MotionRefiner(small), [0], low, small, device="cpu"))  # type: ignore[arg-type]


def test_memories_begin_at_their_share_of_unit_length() -> None:
    """N(0, 1 / sqrt(width)): 64 memories of 768 numbers, each about 1 long (paper 4.1)."""
    torch.manual_seed(0)
    memories = MotionRefiner(MotionConfig(depth=1)).connector.latents
    assert memories is not None
    assert memories.shape == (64, 768)
    assert memories.std().item() == pytest.approx(768**-0.5, rel=0.03)
    assert memories.mean().item() == pytest.approx(0, abs=0.002)
