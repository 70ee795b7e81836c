"""Motion editing: what each function changes, and what it must leave alone to the last bit."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from hp_core.config import MOTION_FILTERS, MotionEdit
from hp_core.errors import OptionError
from hp_core.motion import edit
from hp_core.values import MotionTokens

LENGTHS = st.integers(1, 40)


def motion(frames: int = 20, seed: int = 0, *, translation: str = "predicted") -> MotionTokens:
    """A clip whose tokens hold what its rotation and translation say, as the encoder writes them."""
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.randn(frames, 3, generator=generator).cumsum(0) * 3
    moved = torch.randn(frames, 3, generator=generator) * 0.1
    expression = torch.randn(frames, 4, 10, generator=generator)
    head = torch.cat([rotation, moved if translation == "predicted" else torch.zeros_like(moved)], 1)[:, None].expand(-1, 4, -1)
    return MotionTokens(torch.cat([expression, head], -1), rotation, moved, Fraction(25), "released", "abc")


def consistent(clip: MotionTokens) -> bool:
    """Every token carries the rotation and one translation."""
    return bool((clip.tokens[..., -6:-3] == clip.rotation[:, None]).all() and (clip.tokens[..., -3:] == clip.tokens[:, :1, -3:]).all())


def same(first: MotionTokens, second: MotionTokens) -> bool:
    return (
        all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("tokens", "rotation", "translation"))
        and first.fps == second.fps
    )


def test_a_part_is_kept_as_it_is() -> None:
    clip = motion(20)
    assert same(edit.kept(clip, 0, None), clip)
    assert same(edit.kept(clip, 4, 6), edit.trimmed(clip, 4, 10))
    assert len(edit.kept(clip, 15, 99)) == 5
    for start, frames, message in ((20, None, "start is 20"), (-1, 3, "start is -1"), (0, 0, "frames is 0")):
        with pytest.raises(OptionError, match=message):
            edit.kept(clip, start, frames)


@pytest.mark.parametrize(
    ("typed", "rate"),
    [
        (29.97, Fraction(30000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        (24, Fraction(24)),
        (25, Fraction(25)),
        (30, Fraction(30)),
        (12.5, Fraction(25, 2)),
        (14.985, Fraction(2997, 200)),
    ],
)
def test_a_rate_that_is_typed_is_that_of_the_files(typed: float, rate: Fraction) -> None:
    assert edit.frame_rate(typed) == rate


def test_rates_that_look_alike_are_told_apart() -> None:
    with pytest.raises(OptionError, match=r"30000/1001 \(29.97\) and 2997/100 \(29.97\) frames/s"):
        edit.concatenated([replace(motion(), fps=Fraction(30000, 1001)), replace(motion(), fps=Fraction(2997, 100))])


@given(LENGTHS, st.integers(0, 100))
def test_what_means_no_change_changes_no_bit(frames: int, seed: int) -> None:
    clip = motion(frames, seed)
    for out in (
        edit.with_strength(clip),
        edit.with_head(clip),
        edit.smoothed(clip, 1),
        edit.smoothed(clip, 1, kind="one_euro"),
        edit.stretched(clip, frames),
        edit.at_rate(clip, 25),
        edit.trimmed(clip),
        edit.held(clip),
        edit.concatenated([clip]),
        edit.looped(clip, blend=0),
        edit.mixed(clip, motion(7, 1), head=0.0),
        edit.edited(clip, MotionEdit()),
        edit.fitting(clip, clip, "keep"),
    ):
        assert same(out, clip)


@given(LENGTHS, st.integers(0, 100), st.floats(-2, 4), st.floats(-2, 4))
def test_strength_holds_the_neutral_frame_and_scales_the_rest(frames: int, seed: int, expression: float, rotation: float) -> None:
    clip = motion(frames, seed)
    at = edit.neutral_frame(clip)
    out = edit.with_strength(clip, expression=expression, rotation=rotation)
    assert consistent(out)
    assert torch.allclose(out.tokens[at], clip.tokens[at], atol=1e-5)
    assert torch.allclose(out.rotation - out.rotation[at], rotation * (clip.rotation - clip.rotation[at]), atol=1e-3)
    assert torch.equal(out.tokens[..., -3:], clip.tokens[..., -3:]), "the translation is not touched"


def test_strength_zero_holds_one_face() -> None:
    out = edit.with_strength(motion(), expression=0)
    assert torch.allclose(out.tokens[..., :-6], out.tokens[:1, :, :-6].expand(20, -1, -1), atol=1e-5)


def test_the_neutral_frame_is_the_usual_face() -> None:
    clip = motion()
    tokens = clip.tokens.clone()
    tokens[:, :, :-6] = torch.randn(1, 4, 10) + 0.01 * torch.randn(20, 4, 10)
    tokens[3:6, :, :-6] += 5.0
    assert edit.neutral_frame(replace(clip, tokens=tokens)) not in range(3, 6)


@given(st.integers(2, 30), st.integers(1, 60))
def test_stretching_keeps_both_ends_and_every_value_in_between(frames: int, target: int) -> None:
    clip = motion(frames)
    out = edit.stretched(clip, target)
    assert len(out) == target
    assert consistent(out)
    assert torch.equal(out.rotation[0], clip.rotation[0])
    if target > 1:
        assert torch.allclose(out.rotation[-1], clip.rotation[-1], atol=1e-5)
    assert (out.rotation >= clip.rotation.min(0).values - 1e-4).all()
    assert (out.rotation <= clip.rotation.max(0).values + 1e-4).all()


def test_an_average_rate_is_itself() -> None:
    clip = replace(motion(3), fps=Fraction(29_985_301, 1_000_003))  # of a video of variable rate; no small fraction meets it
    assert edit.at_rate(clip, clip.fps) is clip


def test_another_rate_keeps_the_seconds() -> None:
    out = edit.at_rate(motion(50), 12.5)
    assert (len(out), out.fps) == (25, Fraction(25, 2))


@pytest.mark.parametrize(("old", "new"), [(25, 10), (25, 50), (60, 24), (10, 25)])
def test_at_another_rate_everything_happens_when_it_did(old: int, new: int) -> None:
    """A turn of one degree a frame, to the end of which the last frame stands."""
    clip = replace(motion(41), rotation=torch.arange(41.0)[:, None].expand(-1, 3), fps=Fraction(old))
    out = edit.at_rate(clip, new)
    expected = (torch.arange(len(out)) * old / new).clamp(max=40)
    torch.testing.assert_close(out.rotation[:, 0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("frames", [3, 4, 30])
@pytest.mark.parametrize("window", [3, 5, 9])
@pytest.mark.parametrize("kind", ["savgol", "one_euro"])
def test_every_window_calms(kind: str, window: int, frames: int) -> None:
    generator = torch.Generator().manual_seed(0)
    clip = replace(motion(frames), rotation=torch.randn(frames, 3, generator=generator))
    calmed = edit.smoothed(clip, window, kind=kind).rotation
    assert calmed.diff(dim=0).square().mean() < 0.9 * clip.rotation.diff(dim=0).square().mean()


@pytest.mark.parametrize("kind", ["savgol", "one_euro"])
def test_smoothing_calms_jitter_and_keeps_what_is_constant(kind: str) -> None:
    clip = motion(60)
    steady = replace(clip, tokens=clip.tokens[:1].expand(60, -1, -1), rotation=clip.rotation[:1].expand(60, -1))
    still = edit.smoothed(steady, 7, kind=kind)
    assert torch.allclose(still.tokens[..., :-6], steady.tokens[..., :-6], atol=1e-5)
    calm = edit.smoothed(clip, 9, kind=kind)
    assert consistent(calm)
    assert calm.tokens[..., :-6].diff(dim=0).square().mean() < 0.7 * clip.tokens[..., :-6].diff(dim=0).square().mean()


@given(frames=st.integers(3, 80), window=st.sampled_from([3, 5, 7, 21]), seed=st.integers(0, 9))
def test_savgol_is_scipys(frames: int, window: int, seed: int) -> None:
    clip = motion(frames, seed)
    width = min(window, frames - 1 + frames % 2)
    wanted = savgol_filter(clip.rotation.double().numpy(), width, min(2, width - 2), axis=0, mode="interp")
    np.testing.assert_allclose(edit.smoothed(clip, window).rotation, wanted, atol=2e-5)


def test_savgol_follows_a_parabola_exactly() -> None:
    clip = motion(30)
    t = torch.arange(30.0)
    rotation = torch.stack([t, 0.1 * t**2, 3 - t], 1)
    tokens = clip.tokens.clone()
    tokens[..., -6:-3] = rotation[:, None]
    assert torch.allclose(edit.smoothed(replace(clip, tokens=tokens, rotation=rotation), 7).rotation, rotation, atol=1e-3)


def test_short_clips_are_smoothed_over_what_there_is() -> None:
    assert len(edit.smoothed(motion(2), 9)) == 2
    assert len(edit.smoothed(motion(4), 9)) == 4
    alone = motion(1)
    for kind in MOTION_FILTERS:
        assert same(edit.smoothed(alone, 9, kind=kind), alone)


def test_head_of_another_expression_of_one() -> None:
    clip, other = motion(20, 0), motion(31, 1)
    out = edit.with_head_rotation_of(clip, other, pace="stretch")
    assert torch.equal(out.tokens[..., :-6], clip.tokens[..., :-6])
    assert torch.allclose(out.rotation, edit.stretched(other, 20).rotation)
    assert consistent(out)
    relative = edit.with_head_rotation_of(clip, other, relative=True, pace="stretch")
    turned = edit.stretched(other, 20).rotation - other.rotation[edit.neutral_frame(other)]
    assert torch.allclose(relative.rotation, clip.rotation[edit.neutral_frame(clip)] + turned, atol=1e-4)
    named = edit.mixed(clip, other, relative=True, neutral=3, other_neutral=30, pace="stretch")
    assert torch.allclose(named.rotation, clip.rotation[3] + edit.stretched(other, 20).rotation - other.rotation[30], atol=1e-4)
    assert torch.allclose(named.rotation[-1], clip.rotation[3], atol=1e-4), "where the other rests, the head is held as the first rests"


def test_the_head_of_another_keeps_its_own_speed() -> None:
    clip, slow = motion(20, 0), replace(motion(6, 1), fps=Fraction(25, 2))
    out = clip.with_head_rotation_of(slow)
    twice = edit.at_rate(slow, 25).rotation
    assert torch.allclose(out.rotation[:12], twice)
    assert (out.rotation[12:] == twice[-1]).all(), "held once it is over"
    assert torch.equal(clip.with_head_rotation_of(motion(31, 1)).rotation, motion(31, 1).rotation[:20])


def test_all_edits_at_once_are_those_edits_in_order() -> None:
    clip = motion(20)
    changes = MotionEdit(smooth=5, expression=0.5, turn=0.5, yaw=3.0, fps=50.0, frames=30, hold_before=2, hold_after=4, end="ping-pong")
    by_hand = edit.with_head(edit.with_strength(edit.smoothed(clip, 5), expression=0.5), scale=0.5, offset=(3.0, 0.0, 0.0))
    by_hand = edit.ping_pong(edit.held(edit.stretched(edit.at_rate(by_hand, 50), 30), before=2, after=4))
    assert same(edit.edited(clip, changes), by_hand)
    assert len(by_hand) == 70
    assert not changes.keeps_seconds
    assert MotionEdit(fps=50.0).keeps_seconds
    assert not MotionEdit(fps=50.0).keeps_frames


def test_a_clip_relative_to_itself_is_itself() -> None:
    clip = motion()
    assert torch.allclose(edit.with_head_rotation_of(clip, clip, relative=True).tokens, clip.tokens, atol=1e-4)


def test_zero_translation_stays_zero() -> None:
    released = motion(translation="released")
    for out in (edit.stretched(released, 33), edit.looped(released, blend=4), edit.mixed(released, motion(9, 2, translation="released"))):
        assert not out.tokens[..., -3:].any()
        assert out.translation.any()


def test_one_euro_is_the_filter_of_its_paper() -> None:
    """Casiez et al. 2012, sample by sample: a low pass of the speed, whose size raises the cutoff of the low pass of the value."""
    clip, width = motion(30), 7
    values = clip.rotation[:, 0].double().tolist()
    deviation = float(np.std(values))

    def weight(cutoff: float) -> float:
        return 1 - math.exp(-2 * math.pi * cutoff)

    out, speed = [values[0]], 0.0
    for before, now in pairwise(values):
        speed += weight(0.2) * ((now - before) / deviation - speed)
        out.append(out[-1] + weight(1 / width + 0.05 * abs(speed)) * (now - out[-1]))
    smoothed = edit.smoothed(clip, width, kind="one_euro").rotation[:, 0]
    np.testing.assert_allclose(smoothed.numpy(), out, atol=1e-4)
    half = replace(clip, tokens=clip.tokens.half(), rotation=clip.rotation.half(), translation=0 * clip.translation.half())
    assert edit.smoothed(half, width, kind="one_euro").tokens.isfinite().all()


def test_what_is_put_together_is_known_by_all_its_parts() -> None:
    """A template says from which videos and by which rules it came, and whose encoders made it, though one part does not know."""
    first = replace(motion(), encoder="", source="a1")
    second = replace(motion(seed=1), rule="paper", source="b2")
    joined = edit.concatenated([first, second, first])
    mixed = edit.mixed(first, second, head=0.5)
    turned = first.with_head_rotation_of(second)
    for made in (joined, mixed, turned):
        assert (made.rule, made.encoder, made.source) == ("released+paper", "abc", "a1+b2")
    again = edit.smoothed(joined, 5)
    assert (again.rule, again.encoder, again.source) == (joined.rule, joined.encoder, joined.source)


def test_a_time_lapse_keeps_its_rate() -> None:
    slow = replace(motion(), fps=Fraction(1, 15))
    assert edit.at_rate(slow, slow.fps) is slow
    assert edit.edited(slow, MotionEdit()) is slow
    with pytest.raises(OptionError, match=r"fps is 0.05"):
        edit.at_rate(slow, 0.05)
    with pytest.raises(OptionError, match=r"fps is inf"):
        edit.at_rate(slow, float("inf"))


@given(st.integers(2, 20), st.integers(0, 10))
def test_concatenation(frames: int, blend: int) -> None:
    first, second = motion(frames, 0), motion(frames + 3, 1)
    if blend > frames:
        with pytest.raises(OptionError, match="blend"):
            edit.concatenated([first, second], blend=blend)
        return
    out = edit.concatenated([first, second], blend=blend)
    assert len(out) == 2 * frames + 3 - blend
    assert torch.equal(out.tokens[: frames - blend], first.tokens[: frames - blend])
    assert torch.equal(out.tokens[frames:], second.tokens[blend:])
    assert consistent(out)


def test_a_loop_has_no_jump_at_its_end() -> None:
    t = torch.linspace(0, 1, 40)
    clip = motion(40)
    rotation = torch.stack([30 * t, torch.zeros(40), torch.zeros(40)], 1)
    tokens = clip.tokens.clone()
    tokens[..., -6:-3] = rotation[:, None]
    out = edit.looped(replace(clip, tokens=tokens, rotation=rotation), blend=10)
    assert len(out) == 30
    yaw = out.rotation[:, 0].numpy()
    steps = np.abs(np.diff(np.append(yaw, yaw[0])))
    assert steps.max() < 5, "without the blend the end would jump by 30 degrees"


def test_ping_pong_turns_round_without_a_stop() -> None:
    clip = motion(5)
    assert edit.ping_pong(clip).rotation.tolist() == clip.rotation[[0, 1, 2, 3, 4, 3, 2, 1]].tolist()
    assert len(edit.ping_pong(motion(1))) == 1


def test_hold_and_trim_undo_each_other() -> None:
    clip = motion(6)
    held = edit.held(clip, before=2, after=3)
    assert len(held) == 11
    assert torch.equal(held.tokens[0], clip.tokens[0])
    assert same(edit.trimmed(held, 2, -3), clip)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda clip: edit.with_strength(clip, expression=9), "expression strength is 9"),
        (lambda clip: edit.with_strength(clip, neutral=99), "neutral frame is 99"),
        (lambda clip: edit.with_head(clip, offset=(0, 120, 0)), "pitch offset is 120"),
        (lambda clip: edit.smoothed(clip, 4), "smoothing window is 4"),
        (lambda clip: edit.smoothed(clip, 5, kind="mean"), "smoothing is 'mean'"),
        (lambda clip: edit.stretched(clip, 0), "frames is 0"),
        (lambda clip: edit.trimmed(clip, 30), "none"),
        (lambda clip: edit.looped(clip, blend=11), "between 0 and 10"),
        (lambda clip: edit.concatenated([]), "at least one"),
        (lambda clip: edit.concatenated([clip, replace(clip, fps=Fraction(30))]), "frames/s"),
        (lambda clip: edit.mixed(clip, replace(clip, tokens=clip.tokens[:, :2])), "different weights"),
        (lambda clip: MotionEdit(end="round"), "end is 'round'"),
        (lambda clip: MotionEdit(smooth=4), "smoothing window is 4"),
        (lambda clip: MotionEdit(turn=9), "turn is 9"),
        (lambda clip: edit.mixed(clip, clip, pace="run"), "pace is 'run'"),
    ],
)
def test_mistakes_are_named(call, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(OptionError, match=words):
        call(motion())
