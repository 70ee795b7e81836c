"""What editing a motion costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from hp_core.config import PortraitConfig


def edit_speed(config: PortraitConfig, frames: int) -> dict[str, Any]:
    """Milliseconds that edits of a motion of ``frames`` frames of the size of ``config`` take for each frame of their result; medians
    of five."""
    from fractions import Fraction

    from hp_core.motion import edit
    from hp_core.values import MotionTokens

    def motion() -> MotionTokens:
        shape = (frames, config.motion.memories, config.motion.token_dim)
        return MotionTokens(torch.randn(shape), torch.randn(frames, 3), torch.randn(frames, 3), Fraction(25), "released")

    one, other = motion(), motion()
    edits: dict[str, Callable[[], MotionTokens]] = {
        "head of another": lambda: edit.with_head_rotation_of(one, other),
        "head of another, relative": lambda: edit.with_head_rotation_of(one, other, relative=True),
        "half of both of another": lambda: edit.mixed(one, other, head=0.5, expression=0.5),
        "strength": lambda: edit.with_strength(one, expression=1.5, rotation=0.5),
        "smoothing": lambda: edit.smoothed(one, 7),
        "smoothing, widest": lambda: edit.smoothed(one, 99),
        "smoothing, One-Euro": lambda: edit.smoothed(one, 7, kind="one_euro"),
        "another rate": lambda: edit.at_rate(one, 30),
        "stretch": lambda: edit.stretched(one, frames + frames // 2),
        "loop": lambda: edit.looped(one, blend=min(6, frames // 2)),
        "one after another": lambda: edit.concatenated([one, other], blend=min(6, frames)),
    }

    def milliseconds(change: Callable[[], MotionTokens]) -> float:
        start = time.perf_counter()
        made = len(change())
        return 1000 * (time.perf_counter() - start) / made

    medians = {name: statistics.median(milliseconds(change) for _ in range(5)) for name, change in edits.items()}
    return {"frames": frames, "tokens": list(one.tokens.shape[1:]), "milliseconds_a_frame": medians}
