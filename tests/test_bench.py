"""The memory gauge that the claim about clip length rests on, and the clock of the claim about a clip's start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from hp_core.bench.clip import Pace
from hp_core.bench.memory import PeakMemory, counted_peaks, memory_config, peak_memory
from hp_core.bench.quality import BASE, sampling_quality
from hp_core.config import PortraitConfig
from hp_core.errors import OptionError
from hp_core.pipeline import sampling_for
from hp_core.progress import Progress, result
from hp_core.sampling.presets import PRESETS
from hp_core.weights.catalog import DEMO_WEIGHTS

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


@pytest.mark.slow
def test_quality_compares_with_the_released_way() -> None:
    names = ["no guidance", "windows on a line", "preset draft"]
    rows = result(sampling_quality(DEMO_WEIGHTS, pairs=1, frames=3, names=names, base=replace(BASE, steps=2), device="cpu"))
    by_name = {row["name"]: row for row in rows}
    assert list(by_name) == ["exact", *names]
    assert by_name["exact"]["psnr_to_exact"] is None
    assert by_name["exact"]["evaluated"] == 2 * 2 * 2 * 25 / 3  # steps, branches, windows of 33 frames with their warm-up
    assert by_name["no guidance"]["evaluated"] == by_name["exact"]["evaluated"] / 2
    assert by_name["preset draft"]["evaluated"] == 6  # one window of three frames, one branch
    assert by_name["windows on a line"]["psnr_to_exact"] is None  # the demo's frames do not see each other: the same to the last bit
    assert all(10 < by_name[name]["psnr_to_exact"] < 60 for name in ("no guidance", "preset draft"))
    assert all(row["seconds_a_frame"] > 0 for row in rows)


def test_quality_refuses_what_it_does_not_know() -> None:
    with pytest.raises(OptionError, match="variant is 'faster'"):
        result(sampling_quality(DEMO_WEIGHTS, names=["faster"]))


def test_presets_change_what_they_say_and_options_count_more() -> None:
    released = PortraitConfig.released()
    assert sampling_for(released) == released.sampling
    for name, changes in PRESETS.items():
        sampling = sampling_for(released, preset=name)
        assert {key: getattr(sampling, key) for key in changes} == changes
    assert sampling_for(released, preset="draft", steps=9).steps == 9
    with pytest.raises(OptionError, match="preset is 'quick'; choose one of: exact, balanced, fast, draft"):
        sampling_for(released, preset="quick")


@pytest.mark.slow
def test_what_a_card_holds_is_counted_without_one() -> None:
    config = memory_config()
    counted = counted_peaks(config, dtype=torch.float32)
    measured = peak_memory(config, 24)
    # The loop also holds the tokens, the pose features and the window's latents, and frees the step before it decodes.
    assert max(counted["step"], counted["decode"]) == pytest.approx(measured["peak_bytes"], rel=0.15)
    assert counted_peaks(config, window=16)["step"] == pytest.approx(2 * counted_peaks(config, window=8)["step"], rel=0.2)
    half = counted_peaks(config)
    assert half["weights"]["vae"] == counted["weights"]["vae"] / 2
    assert half["weights"]["expression"] == counted["weights"]["expression"]  # always in float32
    assert half["frugal"] < half["resident"]
    assert counted_peaks(config, unet_storage="fp8")["weights"]["unet"] < half["weights"]["unet"]
