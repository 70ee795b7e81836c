"""Paste-back; the released numbers are in tests/parity."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hp_core import demo
from hp_core.compose import FACE_SOLID, PASTE_REGIONS, Paster, feather_mask, paste_back, paste_clip, ring_drift, square_mask
from hp_core.errors import FaceError, OptionError
from hp_core.image import to_float
from hp_core.progress import result
from hp_core.values import FaceTrack

SQUARE = (40, 20, 240, 220)


def soft(height: int, width: int, seed: int) -> np.ndarray:
    """Soft colours well inside the range, (height, width, 3) uint8."""
    small = np.random.default_rng(seed).uniform(60, 190, (7, 8, 3)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(40, 210).astype(np.uint8)


def track(picture: np.ndarray, square: tuple[int, int, int, int] = SQUARE) -> FaceTrack:
    x1, y1, x2, y2 = square
    points = np.array([[120, 110], [160, 110], [140, 130], [125, 150], [155, 150]], np.float32)
    crop = cv2.resize(picture[y1:y2, x1:x2], (128, 128), interpolation=cv2.INTER_AREA)
    return FaceTrack(
        head_crops=np.zeros((1, 64, 64, 3), np.uint8),
        motion_crops=np.zeros((1, 32, 32, 3), np.uint8),
        boxes=np.array([[110, 80, 170, 160]], np.float32),
        five_points=points[None],
        landmarks=None,
        found=np.array([True]),
        on_missing="hold",
        square=square,
        portrait=picture,
        portrait_crop=crop,
        crop_points=points,
        crop_points_found=True,
        fps=Fraction(25),
        analyzer="scripted",
    )


PORTRAIT = track(soft(243, 301, 0))
NOISE = np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)


def lab_cast(frame: np.ndarray, gain: tuple[float, float, float], offset: tuple[float, float, float]) -> np.ndarray:
    lab = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) * np.float32(gain) + np.float32(offset)
    return np.rint(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 64, 64, 1), r"images is of shape \(2, 64, 64, 1\); it takes colour pictures"),
        ((64, 64, 3), r"images is of shape \(64, 64, 3\)"),
        ((2, 64, 48, 3), r"images is 48x64 pixels; the animated squares are pasted"),
    ],
)
def test_pictures_that_are_no_squares_are_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        result(paste_clip(torch.zeros(shape), PORTRAIT, even_size=False))


def test_a_face_beside_asks_for_the_ellipse() -> None:
    with pytest.raises(OptionError, match=r"region is crop, which pastes the whole square over them. Set region to face"):
        result(paste_clip(to_float(NOISE[None]), PORTRAIT, even_size=False, beside=[PORTRAIT]))


def test_transparency_is_left_out() -> None:
    opaque = to_float(NOISE[None])
    pasted, _ = result(paste_clip(torch.cat([opaque, torch.rand_like(opaque[..., :1])], dim=-1), PORTRAIT, even_size=False))
    assert torch.equal(pasted, result(paste_clip(opaque, PORTRAIT, even_size=False))[0])


def test_a_small_face_is_shrunk_from_all_its_pixels() -> None:
    """Stripes of one pixel become grey, not stripes of another width."""
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    x1, y1, x2, y2 = SQUARE
    inner = (slice(y1 + 60, y2 - 60), slice(x1 + 60, x2 - 60))
    shrunk = Paster(PORTRAIT, region="face")(stripes)[inner].astype(float)
    assert shrunk.std(axis=1).mean() < 0.4 * Paster(PORTRAIT, region="crop")(stripes)[inner].astype(float).std(axis=1).mean()


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


# One paster a clip


def test_by_default_the_crop_is_pasted_as_released() -> None:
    x1, y1, x2, y2 = SQUARE
    mask, expected = feather_mask(200, 200), PORTRAIT.portrait.copy()
    resized = cv2.resize(NOISE, (200, 200), interpolation=cv2.INTER_LINEAR)
    expected[y1:y2, x1:x2] = (resized * mask + expected[y1:y2, x1:x2] * (1 - mask)).astype(np.uint8)
    paster = Paster(PORTRAIT)
    assert np.array_equal(paster(NOISE), expected)
    assert np.array_equal(paste_back(NOISE, PORTRAIT.portrait, SQUARE), expected)
    assert torch.equal(paster.mask, square_mask(PORTRAIT.portrait, SQUARE))
    pasted, shown = result(paste_clip(to_float(NOISE[None]), PORTRAIT, even_size=False))
    assert torch.equal(pasted, to_float(expected[None]))
    assert torch.equal(shown, paster.mask)


@pytest.mark.parametrize("region", PASTE_REGIONS)
@pytest.mark.parametrize("match_colour", [False, True])
def test_the_mask_says_where_pixels_change(region: str, match_colour: bool) -> None:
    paster = Paster(PORTRAIT, region=region, match_colour=match_colour)
    before = PORTRAIT.portrait.copy()
    changed = np.zeros(before.shape[:2], bool)
    for frame in (NOISE, 255 - NOISE):  # where one happens to be like the portrait, the other is not
        changed |= (paster(frame) != before).any(axis=-1)
    mask = paster.mask
    assert mask.shape == (1, 243, 301)
    assert mask.dtype == torch.float32
    assert not changed[mask[0].numpy() == 0].any()
    assert changed[mask[0].numpy() > 0.05].all()
    assert np.array_equal(PORTRAIT.portrait, before)


def test_the_face_is_an_ellipse_about_its_box() -> None:
    mask = Paster(PORTRAIT, region="face").mask[0].numpy()
    rows, columns = np.mgrid[:243, :301] + 0.5
    x1, y1, x2, y2 = PORTRAIT.boxes[0]
    radius = np.hypot((columns - (x1 + x2) / 2) / (x2 - x1) * 2, (rows - (y1 + y2) / 2) / (y2 - y1) * 2)
    assert (mask[radius <= FACE_SOLID] == 1).all()
    assert (mask[radius >= 1.75] == 0).all()
    assert np.abs(np.diff(mask, axis=0)).max() < 0.08, "no edge"
    assert np.abs(np.diff(mask, axis=1)).max() < 0.1
    pasted, shown = result(paste_clip(to_float(NOISE[None]), PORTRAIT, even_size=True, region="face"))
    assert torch.equal(shown[0], torch.from_numpy(mask)[:242, :300])
    assert torch.equal(pasted[0][shown[0] == 0], to_float(PORTRAIT.portrait[None])[0, :242, :300][shown[0] == 0])


def test_a_face_at_the_edge_stays_inside_the_square() -> None:
    near = replace(PORTRAIT, boxes=np.array([[42, 25, 110, 120]], np.float32))
    mask, square = Paster(near, region="face").mask, square_mask(near.portrait, near.square)
    assert (mask <= square).all()
    assert mask.max() == 1


def test_a_second_clip_goes_onto_the_first() -> None:
    under = np.full_like(PORTRAIT.portrait, 9)
    paster = Paster(PORTRAIT, region="face", match_colour=True)
    out = paster(NOISE, under)
    assert (out[paster.mask[0].numpy() == 0] == 9).all()
    assert (under == 9).all()
    inside = paster.mask[0].numpy() == 1
    assert np.array_equal(out[inside], paster(NOISE)[inside]), "colours are the portrait's, whatever lies under"
    with pytest.raises(OptionError, match="under is 300x243 pixels, the portrait 301x243"):
        paster(NOISE, under[:, :300])


def test_two_faces_share_the_pixels_between_them() -> None:
    """Cheek to cheek, each is what was drawn of it, and what lies between goes over from one to the other."""
    right = replace(PORTRAIT, boxes=PORTRAIT.boxes + np.float32([56, 0, 56, 0]))
    masks = [Paster(one, region="face", beside=[other]).mask[0].numpy() for one, other in ((PORTRAIT, right), (right, PORTRAIT))]
    for one, mask, other in ((PORTRAIT, *masks), (right, *masks[::-1])):
        x1, y1, x2, y2 = (int(side) for side in one.boxes[0])
        assert mask[(y1 + y2) // 2, (x1 + x2) // 2] == 1
        inner = slice(y1 + 10, y2 - 10), slice(x1 + 10, x2 - 10)
        assert mask[inner].min() == 1
        assert other[inner].max() == 0
    assert (masks[0] + masks[1]).max() <= 1 + 1e-6
    alone = Paster(PORTRAIT, region="face").mask[0].numpy()
    assert np.array_equal(Paster(PORTRAIT, region="face", beside=[]).mask[0].numpy(), alone)
    assert alone[120, 180] > 0.5, "else nothing was shared"


@pytest.mark.parametrize(("first", "second"), [(4, 2), (2, 4)])
def test_of_two_clips_the_shorter_one_stands_on(first: int, second: int) -> None:
    """Whatever their lengths, as `hp-portrait animate --also` does it."""
    onto = to_float(np.stack([np.full_like(PORTRAIT.portrait, 10 * number) for number in range(first)]))
    images = to_float(np.stack([np.full_like(NOISE, 100 + 10 * number) for number in range(second)]))
    pasted, mask = result(paste_clip(images, PORTRAIT, onto, even_size=False, region="face"))
    levels = (pasted * 255).round().int()
    outside, inside = mask[0] == 0, mask[0] == 1
    assert [int(frame[outside].unique()) for frame in levels] == [10 * min(number, first - 1) for number in range(4)]
    assert [int(frame[inside].unique()) for frame in levels] == [100 + 10 * min(number, second - 1) for number in range(4)]


def test_an_unknown_region_is_refused() -> None:
    for refused in (lambda: Paster(PORTRAIT, region="head"), lambda: ring_drift([], PORTRAIT, region="head")):
        with pytest.raises(OptionError, match="region is 'head'; choose one of: crop, face"):
            refused()


# Colour


@pytest.mark.parametrize("region", PASTE_REGIONS)
def test_a_cast_is_taken_off_the_frame(region: str) -> None:
    frame = lab_cast(PORTRAIT.portrait_crop, (0.9, 1.1, 0.95), (8, -4, 5))
    off = [
        np.abs(Paster(PORTRAIT, region=region, match_colour=on)(frame).astype(float) - PORTRAIT.portrait).max(axis=-1)
        for on in (False, True)
    ]
    inside = Paster(PORTRAIT, region=region).mask[0].numpy() == 1
    assert off[0][inside].mean() > 8
    assert off[1][inside].mean() < 2
    assert off[1].max() < 6


def test_a_frame_of_another_size_is_matched_too() -> None:
    frame = lab_cast(cv2.resize(PORTRAIT.portrait_crop, (64, 64), interpolation=cv2.INTER_AREA), (1, 1, 1), (9, 0, 0))
    x1, y1, x2, y2 = SQUARE
    out = Paster(PORTRAIT, match_colour=True)(frame)[y1:y2, x1:x2].astype(float)
    assert np.abs(out - PORTRAIT.portrait[y1:y2, x1:x2]).mean() < 2


def test_a_border_of_one_colour_moves_the_mean_alone() -> None:
    plain = track(np.full((243, 301, 3), 120, np.uint8))
    frame = np.full((128, 128, 3), 132, np.uint8)
    frame[50:70, 50:70] = 172
    out = Paster(plain, match_colour=True)(frame)
    x1, y1, _, _ = SQUARE
    assert np.abs(out[y1 : y1 + 40].astype(int) - 120).max() <= 1
    assert out[y1 + 94, x1 + 94].tolist() == pytest.approx([160] * 3, abs=3)  # as much brighter as it was


# Drift


def test_drift_is_measured_where_the_feather_is_faint() -> None:
    white = np.full_like(PORTRAIT.portrait, 200)
    portrait = track(white)
    frame = np.full((128, 128, 3), 160, np.uint8)
    for region in PASTE_REGIONS:
        mask = Paster(portrait, region=region).mask[0].numpy()
        faint = mask[(mask > 0) & (mask < 0.5)]
        assert 0.15 < faint.mean() < 0.35
        drift = ring_drift([Paster(portrait, region=region)(frame), white, white[:242, :300]], portrait, region=region)
        assert drift.shape == (3,)
        assert drift[0] == pytest.approx(40 * faint.mean(), abs=0.6)
        assert drift[1:].tolist() == [0, 0]
    with pytest.raises(OptionError, match="A frame is 301x200 pixels, the portrait 301x243"):
        ring_drift([white[:200]], portrait)
    with pytest.raises(OptionError, match="too small to have a border ring"):
        ring_drift([white], track(white, (40, 20, 60, 40)))


@pytest.mark.slow
def test_the_border_of_a_long_clip_does_not_drift() -> None:
    from hp_core.demo.world import FPS, HeldOutPair
    from hp_core.pipeline import PortraitPipeline
    from hp_core.pose.align import black_pose

    frames, pair = 200, HeldOutPair(1)
    picture = np.pad(pair.portrait(256), ((0, 0), (40, 40), (0, 0)), mode="edge")  # wider than the square
    weights = Path(demo.__file__).parent / "weights"
    try:
        pipeline = result(PortraitPipeline.load(weights, device="cpu"))
    except FaceError as error:
        pytest.skip(str(error))
    portrait = result(pipeline.face_crop([picture], total=1, on_missing="hold"))
    assert 0 < portrait.square[0] < portrait.square[2] < picture.shape[1]
    driving = result(pipeline.face_crop(pair.driving(frames, 256), total=frames, on_missing="hold", fps=FPS))
    motion = result(pipeline.motion(driving, pipeline.intensity(driving)))
    side = pipeline.config.face.image_size
    latents = result(pipeline.sample(pipeline.appearance(portrait), motion, black_pose(frames, (side, side))))
    clip = list(pipeline.decode(latents))
    pipeline.analyzer.close()
    assert len(clip) == frames
    matched = ring_drift(map(Paster(portrait, match_colour=True), clip), portrait)
    assert matched.max() <= 1
    assert matched.mean() < ring_drift(map(Paster(portrait), clip), portrait).mean()
