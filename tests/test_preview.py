"""Pictures of what the stages found."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from hp_core.compose import paste_clip, square_mask
from hp_core.errors import OptionError
from hp_core.image import each_from_float, from_float, to_float
from hp_core.motion.plot import plot_intensity
from hp_core.pose.align import align_pose, black_pose
from hp_core.preview import pose_pictures, preview_frames, rgb_factors, spread
from hp_core.progress import result
from hp_core.vae import WARM_UP, decode_latent
from hp_core.values import FaceTrack, Intensity, PoseMaps


def track(frames: int = 5, size: tuple[int, int] = (90, 121)) -> FaceTrack:
    rng = np.random.default_rng(0)
    height, width = size
    points = np.array([[40, 30], [60, 30], [50, 45], [42, 55], [58, 55]], np.float32)
    return FaceTrack(
        head_crops=rng.integers(0, 255, (frames, 64, 64, 3), np.uint8),
        motion_crops=rng.integers(0, 255, (frames, 32, 32, 3), np.uint8),
        boxes=np.tile(np.array([30, 20, 70, 65], np.float32), (frames, 1)),
        five_points=np.tile(points, (frames, 1, 1)),
        landmarks=None,
        found=np.array([True] * (frames - 1) + [False]),
        on_missing="hold",
        square=(10, 5, 85, 80),
        portrait=rng.integers(0, 255, (height, width, 3), np.uint8),
        portrait_crop=rng.integers(0, 255, (128, 128, 3), np.uint8),
        crop_points=points,
        crop_points_found=True,
        fps=Fraction(25),
        analyzer="mediapipe",
    )


INTENSITY = Intensity(np.array([0.01, 0.2]), np.array([0.1, 0.4]), np.array([10, 127]), np.array([25, 102]), chunk=3, rule="released")


def test_a_preview_has_every_part_and_marks_what_was_filled_in() -> None:
    clip = track()
    pose = result(align_pose(clip, clip))
    plain = list(preview_frames(clip, side=64))
    whole = list(preview_frames(clip, INTENSITY, pose, side=64))
    assert [frame.shape for frame in plain] == [(104, 128, 3)] * 5
    assert [frame.shape for frame in whole] == [(104, 192, 3)] * 5
    colour = [tuple(int(part) for part in frame[13, 30]) for frame in plain]  # on the box's upper side
    assert colour[0] == colour[3] != colour[4]
    assert whole[0][64:].any(), "words"


def test_box_and_points_are_drawn_in_the_frames_own_square() -> None:
    clip = track(3)
    shift = np.array([20, 10], np.float32)
    moved = replace(
        clip,
        boxes=clip.boxes + np.array([0, 1, 2])[:, None] * np.tile(shift, 2),
        five_points=clip.five_points + np.array([0, 1, 2])[:, None, None] * shift,
        head_crops=clip.head_crops[[0, 0, 0]],
        motion_crops=clip.motion_crops[[0, 0, 0]],
        found=np.array([True] * 3),
        squares=np.array(clip.square, np.int32) + np.array([0, 1, 2])[:, None] * np.tile(shift, 2).astype(np.int32),
    )
    first, *others = (frame[:64] for frame in preview_frames(moved, side=64))
    assert all(np.array_equal(first, frame) for frame in others)


def test_a_pose_of_another_clip_is_refused() -> None:
    with pytest.raises(OptionError, match="5 frames, the face track 4"):
        next(preview_frames(track(4), pose=black_pose(5, (128, 128))))


def test_intensity_curves_rise_with_what_they_show() -> None:
    def lit(values: list[float]) -> int:
        changed = replace(INTENSITY, expression=np.array(values))
        return int((plot_intensity(changed, 6)[:160] > 40).any(-1).sum())

    assert lit([0.01, 0.01]) < lit([0.05, 0.05]) < lit([0.12, 0.12]) == pytest.approx(lit([0.5, 0.5]), rel=0.1)
    assert "frames from 3: expression 127, head 102" in str(INTENSITY)


def test_floats_and_bytes() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), np.uint8)
    assert np.array_equal(from_float(to_float(frames)), frames)
    assert all(np.array_equal(a, b) for a, b in zip(each_from_float(to_float(frames)), frames, strict=True))
    wide = torch.cat([to_float(frames) * 3 - 1, torch.ones(3, 8, 9, 1)], -1).half()  # out of range, with alpha
    assert from_float(wide).shape == (3, 8, 9, 3)


def test_a_pose_map_has_the_size_of_the_portrait_crop() -> None:
    pose = result(align_pose(track(7), track(1)))
    assert len(pose) == 7
    assert pose_pictures(pose, 0).shape == (1, 128, 128, 3)
    assert not pose_pictures(pose, 0).any()


def test_pasting_changes_the_square_alone() -> None:
    clip = track(1)
    images = torch.rand(3, 128, 128, 3)
    pasted, mask = result(paste_clip(images, clip, even_size=False))
    assert pasted.shape == (3, 90, 121, 3)
    outside = square_mask(clip.portrait, clip.square)[0] == 0
    assert torch.equal(pasted[1][outside], to_float(clip.portrait[None])[0][outside])
    assert torch.equal(mask, square_mask(clip.portrait, clip.square))
    even, even_mask = result(paste_clip(images, clip, even_size=True))
    assert even.shape == (3, 90, 120, 3)
    assert even_mask.shape == (1, 90, 120)
    assert torch.equal(even, pasted[:, :, :120])


def test_a_second_face_is_pasted_onto_the_first() -> None:
    left, right = track(1), replace(track(1), square=(60, 5, 120, 65))
    first, _ = result(paste_clip(torch.zeros(2, 64, 64, 3), left, even_size=True))
    both, _ = result(paste_clip(torch.ones(3, 64, 64, 3), right, first, even_size=True))
    assert both[2, 40, 30].max() < 0.01, "the first face stays, also where its clip has ended"
    assert both[0, 35, 90].min() > 0.99
    with pytest.raises(OptionError, match="onto is 60x60"):
        result(paste_clip(torch.ones(1, 64, 64, 3), right, torch.zeros(1, 60, 60, 3), even_size=True))


def decode(latents: torch.Tensor) -> torch.Tensor:
    """Stands for a temporal decoder: every frame tells how long its chunk was and its place in it."""
    frames = torch.zeros(len(latents), 2, 2, 3)
    frames[..., 0], frames[..., 1] = float(len(latents)), torch.arange(len(latents)).reshape(-1, 1, 1).float()
    frames[..., 2] = latents[:, :1, 0, 0].reshape(-1, 1, 1)
    return frames


def test_chunks_are_counted_from_the_warm_up() -> None:
    whole = torch.arange(11.0).reshape(-1, 1, 1, 1).expand(-1, 4, 2, 2)
    clip = whole[3:8]
    latent = {"samples": clip, WARM_UP: (whole[:3], whole[8:], clip)}
    frames = result(decode_latent(latent, decode, chunk=4))
    assert frames[:, 0, 0].tolist() == [[4, 3, 3], [4, 0, 4], [4, 1, 5], [4, 2, 6], [4, 3, 7]]
    assert len(result(decode_latent({"samples": whole}, decode, chunk=4))) == 11


def test_warm_up_of_another_clip_is_left_out() -> None:
    """A latent that other blocks have enlarged, cut or turned over still carries what was drawn beside the old one."""
    samples = torch.ones(5, 4, 4, 4)
    small, fitting = (torch.zeros(3, 4, 2, 2),) * 2, (torch.zeros(3, 4, 4, 4),) * 2
    for warm_up in ((*small, torch.ones(5, 4, 2, 2)), (*fitting, torch.ones(9, 4, 4, 4)), (*fitting, samples.flip(-1))):
        frames = result(decode_latent({"samples": samples, WARM_UP: warm_up}, decode, chunk=4))
        assert frames[:, 0, 0, 1].tolist() == [0, 1, 2, 3, 0]


def test_a_preview_learns_its_colours_from_the_portrait() -> None:
    rng = np.random.default_rng(0)
    colours = rng.uniform(0, 255, (8, 8, 3)).round().astype(np.uint8)
    image = np.kron(colours, np.ones((8, 8, 1), np.uint8))
    mixing = rng.normal(size=(3, 16))  # sixteen channels that hold the colours, and noise
    latent = (colours / 127.5 - 1) @ mixing + 0.01 * rng.normal(size=(8, 8, 16)) + 2
    factors, offset = rgb_factors(torch.from_numpy(latent).permute(2, 0, 1)[None].float(), image)
    shown = latent.reshape(-1, 16) @ np.array(factors) + offset
    assert np.abs(shown - (colours.reshape(-1, 3) / 127.5 - 1)).mean() < 0.05


def test_pictures_to_look_at_are_spread_over_the_clip() -> None:
    assert spread(5, 0) == spread(5, 64) == [0, 1, 2, 3, 4]
    assert spread(1600, 5) == [0, 400, 800, 1199, 1599]
    assert spread(7, 1) == [0]


def test_a_long_clip_s_pose_pictures_are_as_few_as_asked_for() -> None:
    drawn = torch.rand(9, 3, 8, 8)
    pose = PoseMaps(drawn, torch.arange(9), "paper")
    assert torch.equal(pose_pictures(pose, 3), drawn[[0, 4, 8]].permute(0, 2, 3, 1))
    assert len(pose_pictures(pose, 0)) == 9
