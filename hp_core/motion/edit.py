"""Motion editing: pure functions from motion tokens to motion tokens.

A token holds the refined expression channels and, in its last six, head rotation (degrees) and translation. Every function
edits these parts and writes them back together, so that `MotionTokens.rotation` always says what the tokens hold. The
arguments that mean "no change" return the very tokens, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hp_core.checks import check_choice, check_range
from hp_core.config import FPS_RANGE, MOTION_FILTERS, MOTION_PACES, MOTION_TRANSLATIONS, MotionEdit
from hp_core.errors import OptionError
from hp_core.motion.filters import one_euro, savgol
from hp_core.values import MotionTokens

if TYPE_CHECKING:
    from torch import Tensor

_NTSC = (24, 30, 48, 60, 120)  # frames/s of which broadcasting takes 1000/1001


@dataclass(frozen=True)
class _Parts:
    """A clip's tokens taken apart; ``moved`` is what the tokens carry as translation, ``translation`` what was predicted."""

    expression: Tensor  # (frames, tokens, channels - 6)
    rotation: Tensor  # (frames, 3)
    moved: Tensor  # (frames, 3)
    translation: Tensor  # (frames, 3)

    @staticmethod
    def of(motion: MotionTokens) -> _Parts:
        return _Parts(motion.tokens[..., :-6], motion.rotation, motion.tokens[:, 0, -3:], motion.translation)

    def map(self, change: Callable[..., Tensor], *others: _Parts) -> _Parts:
        """``change`` of each part, and of the same part of each of ``others``."""
        return _Parts(*(change(*(getattr(parts, item.name) for parts in (self, *others))) for item in fields(self)))

    def joined(self, like: MotionTokens, *others: MotionTokens) -> MotionTokens:
        """Put together again; made of ``like``, and of ``others``, by all of whose rules and sources it is known."""
        import torch

        origins: dict[str, Any] = {name: "+".join(_distinct(name, (like, *others))) for name in ("rule", "encoder", "source")}
        head = torch.cat([self.rotation, self.moved], dim=-1)[:, None].expand(-1, self.expression.shape[1], -1)
        tokens = torch.cat([self.expression, head], dim=-1)
        return replace(like, tokens=tokens, rotation=self.rotation, translation=self.translation, **origins)


def _distinct(name: str, motions: Sequence[MotionTokens]) -> list[str]:
    said = [part for motion in motions for part in getattr(motion, name).split("+") if part]
    return list(dict.fromkeys(said))


def neutral_frame(motion: MotionTokens) -> int:
    """The frame nearest to the clip's median expression, tokens averaged: a person's resting face, where the clip shows it at all."""
    expression = motion.tokens[..., :-6].mean(dim=1)  # (frames, channels)
    return int((expression - expression.median(dim=0).values).norm(dim=1).argmin())


def with_strength(motion: MotionTokens, *, expression: float = 1.0, rotation: float = 1.0, neutral: int = -1) -> MotionTokens:
    """Expression and head rotation exaggerated or weakened about a neutral frame.

    Args:
        expression, rotation: 0 holds the neutral frame's, 1 changes nothing, 2 doubles the deviation; -2..4.
        neutral: number of the neutral frame; -1 takes `neutral_frame`.

    Raises:
        OptionError: a number out of range.
    """
    check_range("expression strength", expression, -2, 4)
    check_range("rotation strength", rotation, -2, 4)
    if expression == rotation == 1 and neutral < 0:
        return motion
    at = _neutral(motion, neutral)
    parts = _Parts.of(motion)

    def scaled(part: Tensor, by: float) -> Tensor:
        return part if by == 1 else part[at].lerp(part, by)

    return replace(parts, expression=scaled(parts.expression, expression), rotation=scaled(parts.rotation, rotation)).joined(motion)


def with_head(motion: MotionTokens, *, scale: float = 1.0, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> MotionTokens:
    """Head rotation times ``scale`` (-2..4) plus ``offset`` (yaw, pitch, roll in degrees, -90..90): a turn of one's own."""
    check_range("rotation scale", scale, -2, 4)
    for name, value in zip(("yaw", "pitch", "roll"), offset, strict=True):
        check_range(f"{name} offset", value, -90, 90)
    parts = _Parts.of(motion)
    if scale == 1 and not any(offset):
        return motion
    return replace(parts, rotation=parts.rotation * scale + parts.rotation.new_tensor(offset)).joined(motion)


def with_translation(motion: MotionTokens, rule: str) -> MotionTokens:
    """What the tokens say of the head's place: `as it is`, `released` (zero, as published) or `predicted` (the encoder's own).

    Weights that were trained on one of the two understand that one.
    """
    check_choice("translation", rule, MOTION_TRANSLATIONS)
    if rule == "as it is":
        return motion
    parts = _Parts.of(motion)
    return replace(parts, moved=parts.translation * (rule == "predicted")).joined(motion)


def with_head_rotation_of(
    motion: MotionTokens,
    other: MotionTokens,
    *,
    relative: bool = False,
    neutral: int = -1,
    other_neutral: int = -1,
    pace: str = "keep",
) -> MotionTokens:
    """Expression of ``motion``, head rotation and translation of ``other``.

    Args:
        relative: add what ``other`` turns away from its own neutral frame to where ``motion``'s neutral frame looks, instead of
            taking its rotation as it is.
        neutral, other_neutral: numbers of the two clips' neutral frames; -1 takes a clip's `neutral_frame`.
        pace: how ``other`` is brought to the same length, see `fitting`.

    Raises:
        OptionError: the two were made by encoders of other sizes.
    """
    _same_encoder(motion, other)
    parts, head = _Parts.of(motion), _Parts.of(fitting(other, motion, pace))
    if relative:
        mine = _neutral(motion, neutral)
        # Of the clip before it is fitted: an index names a frame that somebody has seen.
        theirs = _neutral(other, other_neutral)
        base = _Parts.of(other)

        def follow(name: str) -> Tensor:
            return getattr(parts, name)[mine] + getattr(head, name) - getattr(base, name)[theirs]

    else:

        def follow(name: str) -> Tensor:
            return getattr(head, name)

    return replace(parts, **{name: follow(name) for name in ("rotation", "moved", "translation")}).joined(motion, other)


def mixed(
    motion: MotionTokens,
    other: MotionTokens,
    *,
    head: float = 1.0,
    expression: float = 0.0,
    relative: bool = False,
    neutral: int = -1,
    other_neutral: int = -1,
    pace: str = "keep",
) -> MotionTokens:
    """``motion`` with a share of the head and of the expression of ``other``.

    Args:
        head, expression: shares of ``other``, 0..1.
        relative, pace: see `with_head_rotation_of`.
        neutral, other_neutral: numbers of the two clips' neutral frames; -1 takes a clip's `neutral_frame`.
    """
    check_range("head", head, 0, 1)
    check_range("expression", expression, 0, 1)
    _same_encoder(motion, other)
    if head == expression == 0:
        return motion
    mine = _Parts.of(motion)
    turned = _Parts.of(with_head_rotation_of(motion, other, relative=relative, neutral=neutral, other_neutral=other_neutral, pace=pace))
    changes = {name: getattr(mine, name).lerp(getattr(turned, name), head) for name in ("rotation", "moved", "translation")}
    if expression:
        changes["expression"] = mine.expression.lerp(_Parts.of(fitting(other, motion, pace)).expression, expression)
    return replace(mine, **changes).joined(motion, other)


def fitting(motion: MotionTokens, like: MotionTokens, pace: str) -> MotionTokens:
    """``motion`` over as many frames as ``like``: `stretch` at another speed, `keep` at its own, cut off or held at the end."""
    check_choice("pace", pace, MOTION_PACES)
    if pace == "stretch":
        return stretched(motion, len(like))
    same = trimmed(at_rate(motion, like.fps), 0, len(like))
    return held(same, after=len(like) - len(same))


def edited(motion: MotionTokens, edit: MotionEdit) -> MotionTokens:
    """All of ``edit``, in the order of its fields; a loop blends a quarter of a second, or less of a short clip.

    Raises:
        OptionError: the neutral frame is beyond the last.
    """
    out = smoothed(motion, edit.smooth, kind=edit.filter)
    out = with_strength(out, expression=edit.expression, rotation=edit.rotation, neutral=edit.neutral)
    out = with_translation(with_head(out, scale=edit.turn, offset=(edit.yaw, edit.pitch, edit.roll)), edit.translation)
    out = at_rate(out, edit.fps or out.fps)
    out = held(stretched(out, edit.frames or len(out)), before=edit.hold_before, after=edit.hold_after)
    if edit.end == "ping-pong":
        return ping_pong(out)
    return looped(out, blend=min(max(round(float(out.fps) / 4), 1), len(out) // 2)) if edit.end == "loop" else out


def smoothed(motion: MotionTokens, window: int, *, kind: str = "savgol") -> MotionTokens:
    """Less jitter: `savgol` fits a parabola in a sliding window (no delay; through three frames a line), `one_euro` follows fast moves
    and calms slow ones.

    Args:
        window: frames, an odd number from 1 (no change); clips shorter than it are smoothed over their whole length.

    Raises:
        OptionError: an even window, or an unknown ``kind``.
    """
    check_choice("smoothing", kind, MOTION_FILTERS)
    check_range("smoothing window", window, 1)
    if window % 2 == 0:
        raise OptionError(f"smoothing window is {window}; it needs a middle frame. Use {window + 1} or {window - 1}.")
    width = min(window, len(motion) - 1 + len(motion) % 2)  # the largest odd number of frames there are
    if width == 1:
        return motion
    smooth = {"savgol": savgol, "one_euro": one_euro}[kind]

    def change(part: Tensor) -> Tensor:
        return smooth(part.flatten(1), width).reshape(part.shape)  # over (frames, channels)

    return _Parts.of(motion).map(change).joined(motion)


def stretched(motion: MotionTokens, frames: int) -> MotionTokens:
    """The clip over ``frames`` frames, first and last kept, linear in between; the frame rate stays, so its pace changes."""
    check_range("frames", frames, 1)
    if frames == len(motion):
        return motion
    import torch

    return _sampled(motion, torch.linspace(0, len(motion) - 1, frames, dtype=torch.float64))


def _sampled(motion: MotionTokens, at: Tensor) -> MotionTokens:
    """The clip at the places ``at`` (n,) between its frames, 0 to the last, linear in between."""
    low = at.floor().long()
    high = (low + 1).clamp(max=len(motion) - 1)
    share = (at - low).float()

    def change(part: Tensor) -> Tensor:
        return part[low].lerp(part[high], share.reshape(-1, *[1] * (part.ndim - 1)))

    return _Parts.of(motion).map(change).joined(motion)


def frame_rate(fps: Fraction | float) -> Fraction:
    """Frames/s as video files tell it: NTSC's are multiples of 1000/1001, also where two digits of them are typed (29.97, 23.98)."""
    near = Fraction(round(fps * Fraction(1001, 1000)) * 1000, 1001)
    typed = near.numerator // 1000 in _NTSC and abs(float(fps) - float(near)) < 0.005
    return near if typed else Fraction(fps).limit_denominator(1001)


def at_rate(motion: MotionTokens, fps: Fraction | float) -> MotionTokens:
    """The same seconds at another frame rate (frames/s): each frame is what the motion is at its time.

    Raises:
        OptionError: a rate that is not the motion's own and outside `FPS_RANGE`.
    """
    if fps == motion.fps:  # also an average rate, which no small fraction meets, and that of a time lapse
        return motion
    check_range("fps", float(fps), *FPS_RANGE)
    rate = frame_rate(fps)
    if rate == motion.fps:
        return motion
    import torch

    times = torch.arange(max(1, round(len(motion) * rate / motion.fps)), dtype=torch.float64) / float(rate)
    return replace(_sampled(motion, (times * float(motion.fps)).clamp(max=len(motion) - 1)), fps=rate)


def trimmed(motion: MotionTokens, start: int = 0, stop: int | None = None) -> MotionTokens:
    """Frames ``start`` to ``stop`` (not included; None: to the end); negative numbers count from the end.

    Raises:
        OptionError: nothing is left.
    """
    rows = range(len(motion))[start:stop]
    if not rows:
        raise OptionError(f"Frames {start} to {stop} of a motion of {len(motion)} frames are none. Trim less.")
    return _rows(motion, list(rows))


def kept(motion: MotionTokens, start: int, frames: int | None) -> MotionTokens:
    """``frames`` frames from frame ``start`` on, fewer where it ends before; None: all to the end.

    Raises:
        OptionError: a start at or beyond the end, or no frames.
    """
    check_range("start", start, 0, len(motion) - 1)
    if frames is None:
        return trimmed(motion, start)
    check_range("frames", frames, 1)
    return trimmed(motion, start, start + frames)


def held(motion: MotionTokens, *, before: int = 0, after: int = 0) -> MotionTokens:
    """The first frame ``before`` and the last one ``after`` frames longer."""
    check_range("hold before", before, 0)
    check_range("hold after", after, 0)
    if before == after == 0:
        return motion
    last = len(motion) - 1
    return _rows(motion, [0] * before + list(range(len(motion))) + [last] * after)


def concatenated(motions: Sequence[MotionTokens], *, blend: int = 0) -> MotionTokens:
    """Clips one after another, each going over into the next within ``blend`` frames that both share.

    Raises:
        OptionError: no clip, clips of other encoders or frame rates, or a blend longer than a clip.
    """
    check_range("blend", blend, 0)
    if not motions:
        raise OptionError("There is no motion to concatenate; give at least one.")
    whole = motions[0]
    for motion in motions[1:]:
        _same_encoder(whole, motion)
        if motion.fps != whole.fps:
            raise OptionError(f"The clips have {_rate(whole)} and {_rate(motion)} frames/s. Bring them to one rate first.")
        if blend > min(len(whole), len(motion)):
            raise OptionError(f"blend is {blend} frames, a clip has {min(len(whole), len(motion))}; it must not be longer.")
        whole = _Parts.of(whole).map(lambda a, b: _crossfade(a, b, blend), _Parts.of(motion)).joined(whole, motion)
    return whole


def _rate(motion: MotionTokens) -> str:
    """Frames/s such that two that differ look different."""
    return f"{float(motion.fps):g}" if motion.fps.denominator == 1 else f"{motion.fps} ({float(motion.fps):g})"


def ping_pong(motion: MotionTokens) -> MotionTokens:
    """Forward, then backward; the two turning frames stand once each, so it can be repeated without a stop."""
    forward = list(range(len(motion)))
    return _rows(motion, forward + forward[-2:0:-1])


def looped(motion: MotionTokens, *, blend: int) -> MotionTokens:
    """A clip that can be repeated without a jump: its last ``blend`` frames go over into its first ones, and are cut off there.

    Raises:
        OptionError: ``blend`` is more than half of the clip.
    """
    check_range("blend", blend, 0, len(motion) // 2)
    if blend == 0:
        return motion
    body, tail = _Parts.of(trimmed(motion, 0, -blend)), _Parts.of(trimmed(motion, -blend))
    return tail.map(lambda end, start: _crossfade(end, start, blend), body).joined(motion)


def _crossfade(first: Tensor, second: Tensor, blend: int) -> Tensor:
    """One after the other, the last ``blend`` frames of the first mixed with as many of the second."""
    import torch

    if blend == 0:
        return torch.cat([first, second])
    share = ((torch.arange(blend) + 1) / (blend + 1)).reshape(-1, *[1] * (first.ndim - 1))  # of the second
    return torch.cat([first[:-blend], first[-blend:].lerp(second[:blend], share), second[blend:]])


def _rows(motion: MotionTokens, rows: list[int]) -> MotionTokens:
    return replace(motion, tokens=motion.tokens[rows], rotation=motion.rotation[rows], translation=motion.translation[rows])


def _neutral(motion: MotionTokens, number: int) -> int:
    if number >= len(motion):
        raise OptionError(f"The neutral frame is {number}; the motion has {len(motion)} frames, so 0 to {len(motion) - 1}.")
    return neutral_frame(motion) if number < 0 else number


def _same_encoder(first: MotionTokens, second: MotionTokens) -> None:
    if first.encoder and second.encoder and first.encoder != second.encoder:
        raise OptionError(
            f"The motions were made by the encoders {first.encoder} and {second.encoder}, which mean different things by their numbers. "
            "Encode both with the same weights."
        )
    if first.tokens.shape[1:] != second.tokens.shape[1:]:
        raise OptionError(
            f"The motions have {tuple(first.tokens.shape[1:])} and {tuple(second.tokens.shape[1:])} tokens and channels: they come "
            "from different weights. Encode both with the same set."
        )
