"""Results that are made for a manifest: one clip is written while the next one is sampled."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hp_core.animate import Take
from hp_core.errors import VideoError
from hp_core.evaluation.drawn import drawn_rows
from hp_core.evaluation.make import CRF, Maker
from hp_core.evaluation.manifest import Row
from hp_core.pipeline import PortraitPipeline, sampling_for
from hp_core.progress import Stage, result
from hp_core.request import AnimateOptions
from hp_core.video import read_frames
from hp_core.weights.catalog import DEMO_WEIGHTS
from tests.stages import with_notices

FRAMES = 4


@pytest.fixture(scope="module")
def pipeline() -> PortraitPipeline:
    return result(PortraitPipeline.load(DEMO_WEIGHTS, device="cpu"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return result(drawn_rows(tmp_path_factory.mktemp("pairs"), 3, FRAMES, 128))


def made(pipeline: PortraitPipeline, rows: list[Row], folder: Path) -> tuple[list[Row], list[str]]:
    return with_notices(Maker(pipeline, steps=1, crop="whole").make(rows, folder, "demo"))


@pytest.mark.slow
def test_each_is_what_it_would_be_alone(pipeline: PortraitPipeline, asked: list[Row], tmp_path: Path) -> None:
    rows, notices = made(pipeline, asked, tmp_path / "made")
    assert [row.pair for row in rows] == [row.pair for row in asked]
    assert notices == []
    for row in rows:
        assert row.portrait is not None
        assert row.driving is not None
        options = AnimateOptions(view="crop", crop="whole", on_missing="hold", sound=False, crf=CRF)
        alone = tmp_path / f"{row.pair}.mp4"
        result(pipeline.animate(row.portrait, row.driving, alone, sampling=sampling_for(pipeline.config, steps=1), options=options))
        assert row.result is not None
        assert np.array_equal(np.stack(list(read_frames(row.result))), np.stack(list(read_frames(alone))))


@pytest.mark.slow
def test_writing_goes_on_beside_the_next_clip(
    pipeline: PortraitPipeline, asked: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, waits, threads = Take.write, threading.Event(), set()
    prepare = PortraitPipeline.prepare

    def patient(take: Take) -> Stage[Path]:
        threads.add(threading.current_thread())
        if len(threads) == 1 and not waits.is_set():
            assert waits.wait(60), "the next clip is begun before this one is written"
        return (yield from write(take))

    def begin(*arguments: object, **options: object) -> Stage[Take]:
        if threads:
            waits.set()
        return (yield from prepare(*arguments, **options))  # type: ignore[arg-type]

    monkeypatch.setattr(Take, "write", patient)
    monkeypatch.setattr(PortraitPipeline, "prepare", begin)
    rows, _ = made(pipeline, asked[:2], tmp_path)
    assert len(rows) == 2
    assert threads.isdisjoint({threading.current_thread()})


@pytest.mark.slow
def test_a_clip_that_cannot_be_written_is_left_out_by_its_own_name(
    pipeline: PortraitPipeline, asked: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Take.write

    def full(take: Take) -> Stage[Path]:
        if take.output.name.startswith(asked[1].pair):
            raise VideoError("No space left.")
        return (yield from write(take))

    monkeypatch.setattr(Take, "write", full)
    rows, notices = made(pipeline, asked, tmp_path)
    assert [row.pair for row in rows] == [asked[0].pair, asked[2].pair]
    assert notices == [f"The pair '{asked[1].pair}' is left out: No space left."]


@pytest.mark.slow
def test_a_portrait_without_a_face_is_left_out(pipeline: PortraitPipeline, asked: list[Row], tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    Image.fromarray(np.zeros((128, 128, 3), np.uint8)).save(empty)
    nobody = Row("nobody", "demo", empty, asked[0].driving)
    rows, notices = made(pipeline, [nobody, asked[0]], tmp_path)
    assert [row.pair for row in rows] == [asked[0].pair]
    assert "'nobody' is left out" in notices[0]
