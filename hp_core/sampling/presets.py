"""Sampling at four speeds. `exact` is the released way; what the others cost in likeness to it, `hp-portrait bench quality` measures."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # The weights' own numbers.
    "exact": {},
    # Half the steps of a second-order solver.
    "balanced": {"sampler": "unipc", "steps": 12},
    # A third of the steps, windows that cover the clip once, four warm-up frames of fifteen.
    "fast": {"sampler": "unipc", "steps": 8, "windows": "line", "pad_frames": 4},
    # No guidance, which leaves one branch of two, and no warm-up.
    "draft": {
        "sampler": "unipc",
        "steps": 6,
        "windows": "line",
        "pad_frames": 0,
        "appearance_guidance": (1.0, 1.0),
        "motion_guidance": (1.0, 1.0),
    },
}
"""Changes to a `SamplingConfig`, for weights of the released kind: 25 Euler steps with guidance of 2."""
