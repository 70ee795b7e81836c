"""Numbers and choices refused by name, value and limit."""

from __future__ import annotations

from hp_core.errors import OptionError


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `OptionError` unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise OptionError(f"{name} is '{value}'; choose one of: {', '.join(choices)}.")


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise `OptionError` unless ``low <= value <= high``; NaN and infinity are refused."""
    if not low <= value <= high or value == float("inf"):
        limit = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise OptionError(f"{name} is {value:g}; it must be {limit}.")


def check_part(start: int, frames: int | None) -> None:
    """Raise `OptionError` unless a part of a clip may begin at number ``start`` and be ``frames`` long; None: to its end."""
    check_range("start", start, 0)
    if frames is not None:
        check_range("frames", frames, 1)


def frames_from(start: int, limit: int | None, frames: int, what: object) -> int:
    """How many frames of ``what``, which has ``frames``, are used from number ``start`` on; at most ``limit``, if any.

    Raises:
        OptionError: ``start`` is beyond the last.
    """
    if start >= frames:
        raise OptionError(f"start is {start}, {what} has {frames} frames; start must be below that.")
    return min(frames - start, limit or frames)
