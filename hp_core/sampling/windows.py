"""Which frames the UNet sees together: overlapping windows that slide from step to step."""

from __future__ import annotations

from hp_core.errors import OptionError


def plan_windows(frames: int, *, size: int, overlap: int, shift: int = 0, rule: str = "ring") -> list[list[int]]:
    """Frame indices of each window.

    ``ring``, the released rule (released-model, Sampling): windows start every ``size - overlap`` frames, all move back by ``shift``
    frames, and indices count modulo the clip. The last one wraps to the start; a clip shorter than a window appears in it more
    than once.

    ``line``: as few windows as cover the clip with at least ``overlap`` shared frames, from its first to its last one. Those between
    move back by ``shift`` as far as the overlap allows. A clip shorter than a window is one window of its own length.

    Raises:
        OptionError: no frames, or an overlap that is not below the window's size.
    """
    if frames < 1:
        raise OptionError(f"The clip has {frames} frames; sampling needs at least one.")
    if not 0 <= overlap < size:
        raise OptionError(f"overlap is {overlap} with a window of {size} frames; it must be at least 0 and below the window.")
    stride = size - overlap
    if rule == "ring":
        return [[(start + i - shift) % frames for i in range(size)] for start in range(0, frames, stride)]
    last = max(frames - size, 0)
    count = -(-last // stride) + 1
    room = (count - 1) * stride - last  # how far the windows between can move and still share `overlap` frames with the last
    starts = [0, *(index * stride - shift % (room + 1) for index in range(1, count - 1)), *([last] if count > 1 else [])]
    return [list(range(start, min(start + size, frames))) for start in starts]


def step_shift(step: int, *, shift: int, size: int) -> int:
    """How far all windows have moved back at ``step``."""
    return (shift * step) % size
