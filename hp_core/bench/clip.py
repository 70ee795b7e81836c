"""A whole clip from file to file, stage by stage, and the same process's second clip."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hp_core.config import SamplingConfig
from hp_core.demo.__main__ import write_inputs
from hp_core.progress import Progress, Stage, StageClock
from hp_core.request import AnimateOptions

if TYPE_CHECKING:
    from hp_core.pipeline import PortraitPipeline


def clip_speed(pipeline: PortraitPipeline, frames: int, *, sampling: SamplingConfig | None = None) -> Stage[dict[str, Any]]:
    """Seconds of each stage of animating a drawn driving clip of ``frames`` frames, pasted back and encoded.

    Returns:
        ``frames``, ``seconds`` (in all), ``stages`` (seconds by stage), ``frames_per_second``, ``host_bytes`` (highest resident
        memory of the process so far) and ``device_bytes`` (highest of this clip; 0 on a CPU).
    """
    kind = pipeline.device.type
    with tempfile.TemporaryDirectory() as folder:
        portrait, driving = write_inputs(Path(folder), frames=frames, size=2 * pipeline.config.face.image_size)
        if kind != "cpu":
            torch.accelerator.reset_peak_memory_stats()
        clock, began = StageClock(), time.perf_counter()
        options = AnimateOptions(on_missing="hold", crop="whole")
        for event in pipeline.animate(portrait, driving, Path(folder) / "out.mp4", sampling=sampling, options=options):
            if isinstance(event, Progress):
                clock.note(event)
            yield event
        seconds = time.perf_counter() - began
    return {
        "frames": frames,
        "seconds": seconds,
        "stages": clock.seconds,
        "frames_per_second": frames / seconds,
        "host_bytes": _resident(),
        "device_bytes": 0 if kind == "cpu" else torch.accelerator.max_memory_allocated(),
    }


def _resident() -> int:
    """Highest resident memory of the process, bytes; 0 where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else 1024 * highest
