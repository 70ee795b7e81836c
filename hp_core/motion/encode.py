"""Intensity Estimate and Motion Encode: from a face track to motion tokens (paper 3.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hp_core.config import MotionConfig
from hp_core.errors import OptionError, PortraitError
from hp_core.motion.encoders import ExpressionEncoder, HeadPoseEncoder
from hp_core.motion.intensity import estimate
from hp_core.motion.refiner import MotionRefiner
from hp_core.progress import Progress, Stage
from hp_core.values import FaceTrack, Intensity, MotionTokens


def estimate_intensity(track: FaceTrack, config: MotionConfig) -> Intensity:
    """Intensity of ``track`` by the rule ``config.intensity``, over chunks of ``config.chunk`` frames.

    Where the square follows the subject, its way across the picture is no motion of the head.
    """
    return Intensity(
        *estimate(track.in_first_square(track.five_points), config), chunk=config.chunk, rule=config.intensity, levels=config.levels
    )


def motion_tokens(refined: Tensor, rotation: Tensor, translation: Tensor, *, translation_rule: str) -> Tensor:
    """Refined (frames, 64, 1018), rotation and translation (frames, 3) -> tokens (frames, 64, 1024).

    The same six numbers stand on all tokens of a frame; the released rule multiplies the translation by zero.
    """
    moved = torch.zeros_like(translation) if translation_rule == "released" else translation
    head = torch.cat([rotation, moved], dim=-1)[:, None].expand(-1, refined.shape[1], -1)
    return torch.cat([refined, head], dim=-1)


@torch.no_grad()
def encode_motion(
    expression: ExpressionEncoder,
    head_pose: HeadPoseEncoder,
    refiner: MotionRefiner,
    track: FaceTrack,
    intensity: Intensity,
    config: MotionConfig,
    *,
    device: torch.device | str,
    encoder: str = "",
    batch: int = 16,
) -> Iterator[MotionTokens]:
    """Motion tokens of ``track``, ``batch`` frames at a time, on the CPU; `MotionTokens.join` makes one of them.

    Args:
        encoder: what tells these networks from others (`PortraitModels.motion_fingerprint`).

    Raises:
        OptionError: ``intensity`` was estimated on another clip.
        PortraitError: tokens that are not finite.
    """
    frames = len(track)
    if -(-frames // intensity.chunk) != len(intensity.expression):
        raise OptionError(
            f"The intensity has {len(intensity.expression)} chunks of {intensity.chunk} frames, the face track {frames} frames. "
            "Estimate the intensity on this track."
        )
    if intensity.levels not in (0, config.levels):
        raise OptionError(
            f"The intensity is sorted into {intensity.levels} levels, the memory bank of these weights knows {config.levels}. "
            f"Set levels to {config.levels} in Intensity Estimate."
        )
    highest = max(int(intensity.expression_levels.max()), int(intensity.head_levels.max()))
    if highest >= config.levels:
        raise OptionError(
            f"The intensity has a level of {highest}, the memory bank of these weights knows 0 to {config.levels - 1}. "
            f"Set levels to {config.levels} in Intensity Estimate."
        )
    dtype = next(refiner.parameters()).dtype
    chunk_of = torch.arange(frames) // intensity.chunk
    expression_levels = torch.from_numpy(intensity.expression_levels)[chunk_of]
    head_levels = torch.from_numpy(intensity.head_levels)[chunk_of]
    for start in range(0, frames, batch):
        part = slice(start, start + batch)
        feature = expression(to_input(track.motion_crops[part], device, dtype))
        rotation, translation = head_pose(to_input(track.head_crops[part], device, dtype))
        refined = refiner(feature, expression_levels[part].to(device), head_levels[part].to(device))
        tokens = motion_tokens(refined, rotation, translation, translation_rule=config.translation)
        if not torch.isfinite(tokens).all():
            raise PortraitError(f"The motion encoders gave NaN or infinity in frames {start} to {start + len(tokens) - 1}. Use float32.")
        yield MotionTokens(tokens.float().cpu(), rotation.float().cpu(), translation.float().cpu(), track.fps, intensity.rule, encoder)


def encode_clip(
    expression: ExpressionEncoder,
    head_pose: HeadPoseEncoder,
    refiner: MotionRefiner,
    track: FaceTrack,
    intensity: Intensity,
    config: MotionConfig,
    *,
    device: torch.device | str,
    encoder: str = "",
) -> Stage[MotionTokens]:
    """The whole of `encode_motion` as one value."""
    parts: list[MotionTokens] = []
    done = 0
    for part in encode_motion(expression, head_pose, refiner, track, intensity, config, device=device, encoder=encoder):
        parts.append(part)
        done += len(part)
        yield Progress("motion", done, len(track))
    return replace(MotionTokens.join(parts), source=_seen(track))


def _seen(track: FaceTrack) -> str:
    """Twelve hex digits that tell a clip whose file nobody knows from others: the faces' way through it, and its first crops."""
    digest = hashlib.sha256()
    for part in (track.five_points, track.motion_crops[:1], track.head_crops[:1]):  # all crops are hundreds of megabytes
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()[:12]


def to_input(crops: np.ndarray, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """(n, height, width, 3) uint8 array -> (n, 3, height, width) in 0..1."""
    return torch.from_numpy(crops).permute(0, 3, 1, 2).to(device, dtype) / 255


def pad_tokens(tokens: Tensor, pad_frames: int) -> Tensor:
    """Warm-up padding (released-model): tokens fade in before the clip and out after it.

    tokens (frames, 64, 1024) -> (frames + 2 * pad_frames, 64, 1024).
    """
    if pad_frames == 0:
        return tokens
    rise = (torch.arange(pad_frames, dtype=tokens.dtype, device=tokens.device) / pad_frames)[:, None, None]
    return torch.cat([tokens[:1] * rise, tokens, tokens[-1:] * (1 - rise)])
