"""The memory gauge that the claim about clip length rests on, and the clock of the claim about a clip's start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from hp_core.bench.clip import Pace
from hp_core.bench.memory import PeakMemory
from hp_core.config import PortraitConfig
from hp_core.progress import Progress

MIB = 1 << 20


def megabyte() -> torch.Tensor:
    return torch.zeros(MIB // 4)


def keep_fifty() -> None:
    kept = [megabyte().view(2, -1)[0] for _ in range(50)]  # a view keeps its whole storage
    megabyte()
    del kept


def drop_fifty() -> None:
    for _ in range(50):
        megabyte()


def change_one() -> None:
    tensor = megabyte()
    for _ in range(20):
        tensor = tensor.add_(1).view(-1)


@pytest.mark.parametrize(("run", "peak"), [(keep_fifty, 51), (drop_fifty, 1), (change_one, 1)])
def test_it_counts_what_is_held_at_once(run: Callable[[], None], peak: int) -> None:
    before = megabyte()
    with PeakMemory() as memory:
        before.add_(1)  # made outside: not counted
        run()
    assert memory.peak == peak * MIB
    assert memory.live == 0


def test_a_clip_is_told_by_its_steps_and_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guidance in the first of three steps alone, two windows; a warm-up of three frames, so chunks of four end after 1 and 5."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("hp_core.bench.clip.time", SimpleNamespace(perf_counter=lambda: clock.now))
    config = replace(PortraitConfig.released().sampling, steps=3, guidance_interval=(600.0, 1000.0), pad_frames=3, decode_chunk=4)
    pace = Pace(config, PortraitConfig.released().scheduler)

    def after(seconds: float, stage: str, done: int, total: int) -> None:
        clock.now += seconds
        pace.note(Progress(stage, done, total))

    after(50, "motion", 1, 1)
    evaluations = [3, 1, 1, 1, 2, 2, 2, 2]  # equal scales: two branches, then one
    for done, seconds in enumerate(evaluations, 1):
        after(seconds, "sample", done, 8)
    for done, seconds in enumerate([9, 4, 1, 1, 1, 6], 1):
        after(seconds, "decode", done, 6)
    assert pace.steps == [6, 4, 4]
    assert pace.chunks == [9, 4, 6]
    figures = pace.figures(6)
    assert figures["first"] == {"step": 6, "chunk": 9}
    assert figures["steady"] == {"step": 4, "chunk": 5}
    assert figures["start_ratio"] == 15 / 9
    assert figures["first_frame_seconds"] == 50 + 14 + 9
    assert figures["steady_frame_seconds"] == (3 * 4 + 3 * 5) / 6


def test_a_clip_of_one_chunk_has_no_pace() -> None:
    pace = Pace(replace(PortraitConfig.demo().sampling, steps=1), PortraitConfig.demo().scheduler)
    for stage in ("sample", "decode"):
        pace.note(Progress(stage, 1, 1))
    figures = pace.figures(1)
    assert figures["steady"] == {"step": None, "chunk": None}
    assert figures["start_ratio"] is figures["steady_frame_seconds"] is None
