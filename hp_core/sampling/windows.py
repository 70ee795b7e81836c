"""Which frames the UNet sees together: overlapping windows that wrap around the clip and slide from step to step."""

from __future__ import annotations

from hp_core.errors import OptionError


def plan_windows(frames: int, *, size: int, overlap: int, shift: int = 0) -> list[list[int]]:
    """Frame indices of each window, taken modulo the clip (released-model, Sampling).

    Windows start every ``size - overlap`` frames and all move back by ``shift`` frames. The last one wraps to the start; a
    clip shorter than a window appears in it more than once.

    Raises:
        OptionError: no frames, or an overlap that is not below the window's size.
    """
    if frames < 1:
        raise OptionError(f"The clip has {frames} frames; sampling needs at least one.")
    if not 0 <= overlap < size:
        raise OptionError(f"overlap is {overlap} with a window of {size} frames; it must be at least 0 and below the window.")
    return [[(start + i - shift) % frames for i in range(size)] for start in range(0, frames, size - overlap)]


def step_shift(step: int, *, shift: int, size: int) -> int:
    """How far all windows have moved back at ``step``."""
    return (shift * step) % size
