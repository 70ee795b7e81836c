"""A whole clip from file to file, stage by stage, and the same process's second clip."""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hp_core.config import SamplingConfig
from hp_core.demo.__main__ import write_inputs
from hp_core.progress import Progress, Stage, StageClock
from hp_core.request import AnimateOptions
from hp_core.sampling.denoise import window_evaluations
from hp_core.sampling.schedule import make_schedule

if TYPE_CHECKING:
    from hp_core.pipeline import PortraitPipeline


def clip_speed(pipeline: PortraitPipeline, frames: int, *, sampling: SamplingConfig | None = None) -> Stage[dict[str, Any]]:
    """Seconds of each stage of animating a drawn driving clip of ``frames`` frames, pasted back and encoded.

    Returns:
        ``frames``, ``seconds`` (in all), ``stages`` (seconds by stage), ``frames_per_second``, ``host_bytes`` (highest resident
        memory of the process so far), ``device_bytes`` (highest of this clip; 0 on a CPU), ``memory`` (the mode it ended in) and
        the figures of `Pace`.
    """
    kind = pipeline.device.type
    config = sampling or pipeline.config.sampling
    pace = Pace(config, pipeline.config.scheduler)
    with tempfile.TemporaryDirectory() as folder:
        portrait, driving = write_inputs(Path(folder), frames=frames, size=2 * pipeline.config.face.image_size)
        if kind != "cpu":
            torch.accelerator.reset_peak_memory_stats()
        clock, began = StageClock(), time.perf_counter()
        options = AnimateOptions(on_missing="hold", crop="whole")
        for event in pipeline.animate(portrait, driving, Path(folder) / "out.mp4", sampling=sampling, options=options):
            if isinstance(event, Progress):
                if kind != "cpu":
                    torch.accelerator.synchronize()  # so that a step's time is its own
                clock.note(event)
                pace.note(event)
            yield event
        seconds = time.perf_counter() - began
    return {
        "frames": frames,
        "seconds": seconds,
        "stages": clock.seconds,
        "frames_per_second": frames / seconds,
        "host_bytes": _resident(),
        "device_bytes": 0 if kind == "cpu" else torch.accelerator.max_memory_allocated(),
        "memory": pipeline.placement.mode,
        **pace.figures(frames),
    }


class Pace:
    """When one clip's steps and chunks were done, from its events; made when the clip begins.

    The first step of a clip also bears what has to be made ready for the sampler, the first chunk what has to be made ready for the
    decoder: weights on their way, kernels chosen, memory asked for. In a process that has made a clip before, little of that is left.
    """

    def __init__(self, config: SamplingConfig, scheduler: Mapping[str, Any]) -> None:
        self.config = config
        schedule = make_schedule(scheduler, config.steps, config.sampler)
        self._branches = window_evaluations(config, schedule)[config.start_step : config.end_step]
        self.steps: list[float] = []  # seconds of each
        self.chunks: list[float] = []  # seconds from the last frame before each to its first one
        self.first_frame: float | None = None  # seconds since the clip began
        self._began = self._last = self._step = time.perf_counter()

    def note(self, event: Progress) -> None:
        """``event`` has just come."""
        now = time.perf_counter()
        if event.stage == "sample":
            if event.done == 1:  # also where sampling begins anew, in another mode of memory
                self.steps, self._step = [], self._last
            ends = itertools.accumulate(event.total // sum(self._branches) * count for count in self._branches)
            if event.done in ends:
                self.steps.append(now - self._step)
                self._step = now
        elif event.stage == "decode":
            pad, size = self.config.pad_frames, self.config.decode_chunk - self.config.decode_overlap
            if event.done == 1 or (pad + event.done - 1) % size == 0:
                self.chunks.append(now - self._last)
            if event.done == 1:
                self.first_frame = now - self._began
        self._last = now

    def figures(self, frames: int) -> dict[str, Any]:
        """What was noted of a clip of ``frames`` frames.

        Returns:
            ``first_frame_seconds``: from the call to the first frame, which sampling the whole clip comes before.
            ``steady_frame_seconds``: what a frame costs in sampling and decoding where nothing starts, that is the steps and the
            chunks at the median of all but the first, divided by the frames.
            ``first`` and ``steady``: seconds of a ``step`` and of a ``chunk``, the first one and that median.
            ``start_ratio``: the first step and the first chunk together, divided by the same of ``steady``; 1 is a clip that starts
            at once. None, like every median, where a clip has a single step or chunk.
        """
        parts = {"step": self.steps, "chunk": self.chunks}
        first = {name: times[0] for name, times in parts.items()}
        steady = {name: statistics.median(times[1:]) if len(times) > 1 else None for name, times in parts.items()}
        known = {name: seconds for name, seconds in steady.items() if seconds is not None}
        whole = len(known) == len(parts)
        return {
            "first_frame_seconds": self.first_frame,
            "steady_frame_seconds": sum(len(parts[name]) * known[name] for name in parts) / frames if whole else None,
            "first": first,
            "steady": steady,
            "start_ratio": sum(first.values()) / sum(known.values()) if whole else None,
        }


def _resident() -> int:
    """Highest resident memory of the process, bytes; 0 where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else 1024 * highest
