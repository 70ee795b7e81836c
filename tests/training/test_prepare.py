"""Real videos become shards: what is kept is what `FaceTracker` sees, what is dropped is counted, a kill loses and doubles nothing."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from hp_core.cli import main
from hp_core.config import FaceConfig
from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import five_points, render
from hp_core.errors import OptionError, PortraitError
from hp_core.face.analyzer import Face, FaceAnalyzer, create_analyzer
from hp_core.face.crop import head_crop
from hp_core.face.track import FaceTracker
from hp_core.pose.keypoints import NECK, NOSE, POINTS
from hp_core.progress import Notice, Stage, result
from hp_core.training.clip_maker import ClipMaker
from hp_core.training.clips import Clip
from hp_core.training.journal import JOURNAL
from hp_core.training.prepare import REPORT, PrepareOptions, PrepareReport, prepare
from hp_core.training.shards import ShardSource, ShardWriter
from hp_core.values import in_square
from hp_core.video import VideoWriter, read_frames

SIZE, FPS = 256, Fraction(30000, 1001)
CONFIG = FaceConfig(image_size=128, head_size=64, motion_size=64)
OPTIONS = PrepareOptions(frames=10, min_frames=4, min_face=60, clips_per_shard=2)
TURN = np.linspace(-25, 25, 24)


def performance(frames: int, **values: np.ndarray) -> Performance:
    rest = {field.name: np.full(frames, field.name == "scale", np.float32) for field in fields(Performance)}
    return Performance(**rest | {name: np.asarray(value, np.float32) for name, value in values.items()})


def person(seed: int, frames: int, **values: np.ndarray) -> list[np.ndarray]:
    return list(render(Identity.sample(seed), performance(frames, **values), size=SIZE))


def hidden(frame: np.ndarray) -> np.ndarray:
    """The same colours without a face: out of focus."""
    return np.array(Image.fromarray(frame).filter(ImageFilter.BoxBlur(SIZE // 8)))


def write(path: Path, frames: list[np.ndarray]) -> Path:
    with VideoWriter(path, fps=FPS, crf=10) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def analyzer() -> Iterator[FaceAnalyzer]:
    detector = create_analyzer()
    yield detector
    detector.close()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good videos, one of them in a folder below: clips of 10, 10, 4 and of 10 frames, and a rest of 2."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "süd").mkdir()
    write(folder / "one.mp4", person(3, 24, yaw=TURN))
    write(folder / "süd" / "one.mp4", person(5, 12, jaw=np.linspace(0, 1, 12)))
    return folder


Run = Callable[..., PrepareReport]


@pytest.fixture
def run(analyzer: FaceAnalyzer) -> Run:
    def call(source: Path, out: Path, options: PrepareOptions = OPTIONS) -> PrepareReport:
        return result(stage(source, out, analyzer, options))

    return call


def stage(source: Path, out: Path, analyzer: FaceAnalyzer, options: PrepareOptions = OPTIONS) -> Stage[PrepareReport]:
    return prepare(source, out, analyzer=analyzer, config=CONFIG, options=options)


@pytest.fixture(scope="module")
def shards(videos: Path, analyzer: FaceAnalyzer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    result(stage(videos, out, analyzer))
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.suffix == ".tar"}


def test_what_comes_out(videos: Path, shards: Path):
    report = json.loads((shards / REPORT).read_text())
    assert {name: report[name] for name in ("videos", "clips", "frames", "shards")} == {"videos": 2, "clips": 4, "frames": 34, "shards": 2}
    assert report["dropped"] == {"too short": {"count": 1, "examples": ["süd/one.mp4 from frame 10: 2 frames, min_frames 4"]}}
    assert sorted(os.listdir(shards)) == ["clips-000000.tar", "clips-000001.tar", JOURNAL, REPORT]
    source = ShardSource(shards, head_size=64)
    clips = list(source)
    assert [clip.key for clip in clips] == source.keys
    assert source.skipped == {}
    assert [clip.person for clip in clips] == list(source.people.values()) == ["one"] * 3 + ["süd/one"]
    assert [len(clip) for clip in clips] == [10, 10, 4, 10]
    assert len({clip.key for clip in clips}) == 4
    assert [clip.key for clip in source] == [clip.key for clip in clips], "the order changed"
    with tarfile.open(shards / "clips-000000.tar") as tar:
        facts = json.load(tar.extractfile(f"{clips[1].key}.json"))
    assert facts["source"]["name"] == "one.mp4"
    assert facts["source"]["start"] == 10
    assert len(facts["source"]["sha256"]) == 64


def test_a_clip_is_what_the_tracker_sees(videos: Path, shards: Path, analyzer: FaceAnalyzer):
    clip = list(ShardSource(shards, head_size=64))[1]
    tracker = FaceTracker(analyzer, CONFIG, on_missing="interpolate")
    for frame in read_frames(videos / "one.mp4", start=10, limit=10):
        tracker.add(frame)
    track = tracker.finish(FPS)
    assert clip.fps == FPS
    assert clip.frames.shape == (10, 128, 128, 3)
    assert clip.frames.dtype == clip.motion_crops.dtype == clip.head_crops.dtype == np.uint8
    assert np.abs(clip.motion_crops.astype(int) - track.motion_crops).mean() < 2
    assert np.abs(clip.frames[0].astype(int) - track.portrait_crop).mean() < 2
    assert np.abs(clip.head_crops.astype(int) - track.head_crops).mean() < 2
    np.testing.assert_array_equal(clip.head_crops[3], head_crop(Image.fromarray(clip.frames[3]), CONFIG))
    np.testing.assert_array_equal(clip.five_points, track.five_points)
    np.testing.assert_array_equal(clip.crop_points[9], in_square(track.five_points[9], track.square, 128))
    np.testing.assert_array_equal(clip.landmarks[9], in_square(track.landmarks[9, :, :2], track.square, 128))
    assert clip.keypoints is None
    np.testing.assert_allclose(clip.rotation[:, 0], TURN[10:20], atol=6)


@pytest.mark.parametrize(("column", "name"), list(enumerate(("yaw", "pitch", "roll"))))
def test_directions_of_the_rotation(column: int, name: str, analyzer: FaceAnalyzer, tmp_path: Path):
    """Positive as the demo's performances count: to the image right, down, clockwise."""
    write(tmp_path / "turn.mp4", person(3, 4, **{name: np.linspace(-20, 20, 4)}))
    result(stage(tmp_path / "turn.mp4", tmp_path / "out", analyzer))
    (clip,) = ShardSource(tmp_path / "out", head_size=64)
    change = clip.rotation[3] - clip.rotation[0]
    assert 25 < change[column] < 55
    assert np.abs(np.delete(change, column)).max() < 12


@pytest.mark.slow
def test_every_reason_to_drop(run: Run, tmp_path: Path):
    folder = tmp_path / "videos"
    folder.mkdir()
    good = person(3, 8)
    blank = np.full((SIZE, SIZE, 3), 90, np.uint8)
    write(folder / "away.mp4", person(3, 8, yaw=np.full(8, 45)))
    write(folder / "empty.mp4", [blank] * 8)
    write(folder / "gone.mp4", good[:5] + [hidden(frame) for frame in good[5:]])
    write(folder / "good.mp4", good)
    write(folder / "points.mp4", good)
    np.savez(folder / "points.dwpose.npz", keypoints=np.zeros((7, 18, 3)))
    write(folder / "small.mp4", [np.pad(frame[::2, ::2], ((64, 64), (64, 64), (0, 0))) for frame in good])
    write(folder / "two.mp4", [np.hstack([a, b]) for a, b in zip(good, person(5, 8), strict=True)])
    data = (folder / "good.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
    (folder / "text.mkv").write_text("not a video")
    options = PrepareOptions(frames=10, min_frames=4, min_face=80, max_yaw=30)
    report = run(folder, tmp_path / "out", options)
    assert report.clips == 1
    assert {reason: drop["count"] for reason, drop in report.dropped.items()} == {
        "unreadable": 2, "turned away": 1, "no face": 1, "face lost": 1, "bad keypoints": 1, "small face": 1, "several faces": 1,
    }  # fmt: skip
    assert "two.mp4 from frame 0: frame 0: another face" in report.dropped["several faces"]["examples"][0]
    assert ["several faces", "1"] in [row[:2] for row in report.rows()]
    with pytest.raises(PortraitError, match=r"No clip of 1 videos was accepted \(several faces: 1\)"):
        run(folder / "two.mp4", tmp_path / "none", options)
    several = PrepareOptions(frames=10, min_frames=4, min_face=60, one_face=False)
    assert run(folder / "two.mp4", tmp_path / "several", several).clips == 1


@pytest.mark.parametrize("second", ["another person", "no face"])
def test_a_clip_with_a_seam_between_two_shots_is_dropped(second: str, run: Run, tmp_path: Path):
    """Two people at one place: the tracker goes on, the clip must not; nor with something else for a moment."""
    one, other = person(3, 12), person(11, 12)
    shot = other[6:] if second == "another person" else [np.full_like(one[0], 90), *one[7:]]
    write(tmp_path / "seam.mp4", one[:6] + shot)
    with pytest.raises(PortraitError, match="cut: 1"):
        run(tmp_path / "seam.mp4", tmp_path / "out", PrepareOptions(frames=12, min_frames=4, min_face=60))
    dropped = json.loads((tmp_path / "out" / REPORT).read_text())["dropped"]
    assert "frame 6: change of" in dropped["cut"]["examples"][0]


def test_a_video_that_could_not_be_read_is_tried_again(run: Run, tmp_path: Path):
    folder = tmp_path / "videos"
    folder.mkdir()
    write(folder / "one.mp4", person(3, 8))
    whole = write(folder / "two.mp4", person(5, 8)).read_bytes()
    (folder / "two.mp4").write_bytes(b"\0" * len(whole))  # what a disk that fails gives
    assert run(folder, tmp_path / "out").dropped["unreadable"]["count"] == 1
    lines = (tmp_path / "out" / JOURNAL).read_text().count("\n")
    run(folder, tmp_path / "out")
    assert (tmp_path / "out" / JOURNAL).read_text().count("\n") == lines, "the same again is not recorded again"
    (folder / "two.mp4").write_bytes(whole)
    report = run(folder, tmp_path / "out")
    assert (report.clips, report.dropped) == (2, {})


def test_keypoints_that_were_mended_are_taken(run: Run, tmp_path: Path):
    folder = tmp_path / "videos"
    folder.mkdir()
    write(folder / "one.mp4", person(3, 8))
    write(folder / "two.mp4", person(5, 8))
    np.savez(folder / "one.dwpose.npz", keypoints=np.zeros((7, 18, 3)))
    assert run(folder, tmp_path / "out").dropped["bad keypoints"]["count"] == 1
    lines = (tmp_path / "out" / JOURNAL).read_text().count("\n")
    run(folder, tmp_path / "out")
    assert (tmp_path / "out" / JOURNAL).read_text().count("\n") == lines, "the same again is not recorded again"
    np.savez(folder / "one.dwpose.npz", keypoints=np.ones((8, 18, 3)))
    report = run(folder, tmp_path / "out")
    assert (report.clips, report.dropped) == (2, {})
    assert run(folder, tmp_path / "out").clips == 2


def test_two_runs_do_not_write_into_one_folder(run: Run, videos: Path, tmp_path: Path):
    from filelock import FileLock

    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(OptionError, match="Another run is writing into"):
        run(videos, out)
    assert run(videos, out).clips


def test_a_face_that_leaves_the_square_is_dropped(run: Run, tmp_path: Path):
    still = person(3, 1)[0][:, 64:192]
    frames = [np.pad(still, ((0, 0), (x, 768 - x), (0, 0)), mode="edge") for x in range(0, 768, 32)]
    write(tmp_path / "walk.mp4", frames)
    with pytest.raises(PortraitError, match="left the crop: 1"):
        run(tmp_path / "walk.mp4", tmp_path / "out", PrepareOptions(frames=30, min_frames=4, min_face=60))


def test_frames_without_the_face_are_interpolated(run: Run, tmp_path: Path):
    frames = person(3, 12, yaw=np.linspace(-20, 20, 12))
    frames[6] = hidden(frames[6])
    write(tmp_path / "gap.mp4", frames)
    run(tmp_path / "gap.mp4", tmp_path / "out", PrepareOptions(frames=12, min_frames=4, min_face=60))
    (clip,) = ShardSource(tmp_path / "out", head_size=64)
    for values in (clip.five_points, clip.crop_points, clip.landmarks, clip.rotation):
        np.testing.assert_allclose(values[6], (values[5] + values[7]) / 2, atol=1e-3)
    with tarfile.open(tmp_path / "out" / "clips-000000.tar") as tar:
        assert json.load(tar.extractfile(f"{clip.key}.json"))["source"]["filled"] == [6]


@pytest.mark.parametrize("blind", [{2, 3}, set(range(6))])
def test_frames_in_which_dwpose_sees_nobody_are_filled(blind: set[int], analyzer: FaceAnalyzer):
    """As inference fills them, so that no skeleton goes out and on again; where it sees nobody at all, the clip has no points."""
    noses = five_points(Identity.sample(3), performance(6, yaw=np.linspace(-10, 10, 6)), SIZE)[:, 2]

    class Played:
        frame = -1

        def people(self, image: np.ndarray) -> list[np.ndarray]:
            self.frame += 1
            body = np.zeros((POINTS, 3), np.float32)
            body[NOSE], body[NECK] = (*noses[self.frame], 1), (*noses[self.frame] + (0, 60), 1)
            return [] if self.frame in blind else [body]

    maker = ClipMaker(analyzer, CONFIG, OPTIONS, 6, Played())
    assert [maker.add(frame) for frame in person(3, 6, yaw=np.linspace(-10, 10, 6))] == [None] * 6
    clip = maker.finish("key", "person", FPS, None)
    assert isinstance(clip, Clip)
    assert (clip.keypoints is None) == (len(blind) == 6)
    if clip.keypoints is not None:
        assert (clip.keypoints[:, NOSE, 2] == 1).all()
        np.testing.assert_allclose(clip.keypoints[2, NOSE], clip.keypoints[1, NOSE] * 2 / 3 + clip.keypoints[4, NOSE] / 3, atol=1e-3)


def test_keypoints_of_another_folder_s_video_of_that_name_are_not_taken(run: Run, videos: Path, tmp_path: Path):
    for person in ("a", "b"):
        (tmp_path / "videos" / person).mkdir(parents=True)
        shutil.copy(videos / "one.mp4", tmp_path / "videos" / person / "one.mp4")
    points = np.ones((24, 18, 3))
    (tmp_path / "points" / "b").mkdir(parents=True)
    np.savez(tmp_path / "points" / "one.dwpose.npz", keypoints=points)  # whose, nobody can tell
    np.savez(tmp_path / "points" / "b" / "one.dwpose.npz", keypoints=points)
    options = PrepareOptions(frames=10, min_frames=4, min_face=60, keypoints=tmp_path / "points")
    run(tmp_path / "videos", tmp_path / "out", options)
    with_points = {clip.person: clip.keypoints is not None for clip in ShardSource(tmp_path / "out", head_size=64)}
    assert with_points == {"a/one": False, "b/one": True}


def test_keypoints_are_mapped_into_the_crop(run: Run, videos: Path, tmp_path: Path):
    points = np.random.default_rng(0).uniform(0, 1, (24, 18, 3)) * (SIZE, SIZE, 1)
    np.savez(tmp_path / "one.dwpose.npz", keypoints=points)
    run(videos / "one.mp4", tmp_path / "out", PrepareOptions(frames=10, min_frames=4, min_face=60, keypoints=tmp_path))
    clip = list(ShardSource(tmp_path / "out", head_size=64))[1]
    np.testing.assert_allclose(clip.keypoints[:, :, 2], points[10:20, :, 2], rtol=1e-6)
    assert clip.keypoints.dtype == np.float32
    matrix = np.polyfit(clip.five_points[..., 0].ravel(), clip.crop_points[..., 0].ravel(), 1)
    np.testing.assert_allclose(clip.keypoints[:, :, 0], np.polyval(matrix, points[10:20, :, 0]), atol=0.01)


@pytest.mark.parametrize("events", [1, 14, 33])
def test_a_killed_run_goes_on(events: int, videos: Path, shards: Path, analyzer: FaceAnalyzer, run: Run, tmp_path: Path):
    begun = stage(videos, tmp_path, analyzer)
    for _ in range(events):
        next(begun)
    begun.close()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")], "half-written files were left"
    report = run(videos, tmp_path)
    assert contents(tmp_path) == contents(shards)
    assert (tmp_path / REPORT).read_text() == (shards / REPORT).read_text()
    assert report.clips == 4


def test_a_kill_between_the_shard_and_its_line(videos: Path, shards: Path, analyzer: FaceAnalyzer, run: Run, tmp_path: Path):
    """And one in the middle of a line, with temporary files left."""
    run(videos, tmp_path)
    lines = (tmp_path / JOURNAL).read_text().splitlines(keepends=True)
    at = next(index for index, line in enumerate(lines) if "clips-000001.tar" in line)
    (tmp_path / JOURNAL).write_text("".join(lines[:at]) + lines[at][:20])
    (tmp_path / ".clips-000002.77.part.tar").write_bytes(b"half")
    run(videos, tmp_path)
    assert contents(tmp_path) == contents(shards)
    assert sorted(os.listdir(tmp_path)) == sorted(os.listdir(shards))


def test_nothing_is_done_twice_and_new_videos_join(videos: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source, out = tmp_path / "videos", tmp_path / "out"
    source.mkdir()
    (source / "one.mp4").write_bytes((videos / "one.mp4").read_bytes())
    run(source, out)
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr("hp_core.training.prepare.read_frames", None)  # must not be needed
        assert run(source, out).clips == 3
    (source / "another.mp4").write_bytes((videos / "süd" / "one.mp4").read_bytes())
    assert run(source, out).clips == 4
    assert before.items() <= contents(out).items()
    assert len(list(ShardSource(out, head_size=64))) == 4
    write(source / "one.mp4", person(3, 5))
    with pytest.raises(OptionError, match=r"one\.mp4 has \d+ bytes, not those its clips were made of\. Restore it"):
        run(source, out)


def test_what_is_refused(videos: Path, shards: Path, run: Run, tmp_path: Path):
    with pytest.raises(OptionError, match=r"begun with crf=12 \(now 20\)\. Give the same options"):
        run(videos, shards, PrepareOptions(frames=10, min_frames=4, min_face=60, clips_per_shard=2, crf=20))
    with pytest.raises(OptionError, match=r"holds no video \(\.mp4"):
        run(tmp_path, tmp_path / "out")
    with pytest.raises(OptionError, match="no such folder or video"):
        run(tmp_path / "absent", tmp_path / "out")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "clips-000000.tar").write_bytes(b"")
    with pytest.raises(OptionError, match=r"no prepare\.jsonl"):
        run(videos, foreign)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name, data in contents(shards).items():
        (copy / name).write_bytes(data[:-512])
    (copy / JOURNAL).write_bytes((shards / JOURNAL).read_bytes())
    with pytest.raises(PortraitError, match=r"clips-000000\.tar has \d+ bytes in prepare.jsonl, found \d+"):
        run(videos, copy)
    (copy / JOURNAL).write_bytes(b"{]\n")
    with pytest.raises(PortraitError, match="damaged in line 1"):
        run(videos, copy)
    with pytest.raises(OptionError, match="no shard"):
        ShardSource(tmp_path, head_size=64)


@pytest.mark.parametrize(
    "bad",
    [{"frames": 10}, {"min_frames": 0}, {"min_face": 0}, {"min_found": 1.1}, {"max_yaw": -1}, {"crf": 0}, {"clips_per_shard": 0}],
    ids=lambda bad: next(iter(bad)),
)
def test_options_out_of_range(bad: dict[str, float]):
    with pytest.raises(OptionError, match=next(iter(bad))):
        PrepareOptions(**bad)
    with pytest.raises(OptionError, match="no such folder"):
        PrepareOptions(keypoints=Path("absent"))


def test_a_full_disk(videos: Path, shards: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original, count = tarfile.TarFile.addfile, 0

    def addfile(*arguments: object) -> None:
        nonlocal count
        count += 1
        if count > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "addfile", addfile)
        with pytest.raises(PortraitError, match=rf"{tmp_path}.*No space left.*stays valid: free some space and run it again"):
            run(videos, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["clips-000000.tar", JOURNAL]
    assert len(list(ShardSource(tmp_path, head_size=64))) == 2
    run(videos, tmp_path)
    assert contents(tmp_path) == contents(shards)


def rewrite(shard: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Every member through ``change``; None leaves it out."""
    with tarfile.open(shard) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(shard, "w") as tar:
        for name, data in members:
            changed = change(name, data)
            if changed is not None:
                entry = tarfile.TarInfo(name)
                entry.size = len(changed)
                tar.addfile(entry, io.BytesIO(changed))


def replaced(**arrays: np.ndarray) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        with np.load(io.BytesIO(data)) as file:
            content = dict(file)
        buffer = io.BytesIO()
        np.savez(buffer, **content | arrays)
        return buffer.getvalue()

    return change


DAMAGES = {
    "truncated video": ("crop.mp4", lambda data: data[: len(data) // 2], r"^crop\.mp4 is an MP4 or MOV cut off"),
    "no video": ("motion.mp4", lambda data: b"", r"^motion\.mp4 is empty"),
    "missing": ("motion.mp4", lambda data: None, r"^without motion\.mp4$"),
    "not an npz": ("track.npz", lambda data: data[:100], "zip"),
    "wrong shape": ("track.npz", replaced(rotation=np.zeros((9, 3), np.float32)), r"rotation is \(9, 3\)"),
    "not a number": ("track.npz", replaced(five_points=np.full((10, 5, 2), np.nan, np.float32)), "five_points"),
    "pickle": ("track.npz", replaced(landmarks=np.array([None], object)), "pickle"),
    "wrong count": ("json", lambda data: data.replace(b'"frames": 10', b'"frames": 11'), r"wanted"),
    "not JSON": ("json", lambda data: b"{", "Expecting"),
    "another format": ("json", lambda data: data.replace(b'"format": 1', b'"format": 9'), "format 9, this version reads 1"),
}


@pytest.mark.parametrize(("member", "damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_broken_member_is_skipped_and_counted(
    member: str, damage: Callable[[bytes], bytes | None], reason: str, shards: Path, tmp_path: Path
):
    path = tmp_path / "clips-000000.tar"
    path.write_bytes((shards / path.name).read_bytes())
    key = next(iter(ShardSource(tmp_path, head_size=64))).key
    rewrite(path, lambda name, data: damage(data) if name == f"{key}.{member}" else data)
    source = ShardSource(tmp_path, head_size=64)
    kept = [clip.key for clip in source]
    assert len(kept) == 1
    assert key not in kept
    assert list(source.skipped) == [key]
    assert re.search(reason, source.skipped[key]), source.skipped[key]


def test_a_damaged_shard_costs_its_own_clips(shards: Path, tmp_path: Path):
    for name, data in contents(shards).items():
        (tmp_path / name).write_bytes(data)
    whole = (tmp_path / "clips-000000.tar").read_bytes()
    (tmp_path / "clips-000000.tar").write_bytes(whole[: len(whole) * 3 // 4])
    (tmp_path / "clips-000002.tar").write_bytes(b"no tar at all" * 100)
    source = ShardSource(tmp_path, head_size=64)
    assert len(list(source)) == 3
    assert {"clips-000000.tar", "clips-000002.tar"} < set(source.skipped)
    with tarfile.open(shards / "clips-000000.tar") as tar:
        second = tar.getmembers()[4].offset  # of the second clip's first member
    (tmp_path / "clips-000000.tar").write_bytes(whole[:second] + b"\xff" * 512 + whole[second + 512 :])
    assert len(list(source)) == 3
    assert source.skipped["clips-000000.tar"] == f"damaged or cut off after byte {second}"


def test_labels_and_odd_sizes_survive(tmp_path: Path):
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 32, (3, 5, 2)).astype(np.float32)
    picture = np.repeat(np.repeat(rng.integers(60, 200, (3, 4, 4, 3), dtype=np.uint8), 16, 1), 16, 2)
    labels = {"expression": rng.normal(size=(3, 8)).astype(np.float32)}
    clip = Clip("a-1", "a", Fraction(25), picture, picture[:, :33, :33], picture, points, points, labels=labels)
    with ShardWriter(tmp_path, clips_per_shard=1) as writer:
        shard = writer.add(clip)
        with pytest.raises(OptionError, match=r"key is 'a\.1'"):
            writer.add(Clip(**{field.name: getattr(clip, field.name) for field in fields(Clip)} | {"key": "a.1"}))
    assert shard.keys == ("a-1",)
    (back,) = ShardSource(tmp_path, head_size=32)
    assert back.motion_crops.shape == (3, 33, 33, 3)
    assert back.rotation is back.landmarks is back.keypoints is None
    np.testing.assert_array_equal(back.labels["expression"], labels["expression"])


def test_an_analyzer_without_head_transform(videos: Path, analyzer: FaceAnalyzer, tmp_path: Path):
    class Plain:
        name, threshold = "plain", 0.5

        def detect(self, image: np.ndarray) -> list[Face]:
            return [Face(face.box, face.five_points) for face in analyzer.detect(image)]

        def close(self) -> None:
            pass

    events = list(stage(videos / "süd" / "one.mp4", tmp_path, Plain(), PrepareOptions(min_frames=4, min_face=60)))
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "The analyzer plain gives no head transform: max_yaw was not checked, 1 clips lack the rotation."
    ]
    (clip,) = ShardSource(tmp_path, head_size=64)
    assert clip.rotation is clip.landmarks is None


def test_without_webdataset(shards: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(OptionError, match=r"webdataset.*pip install webdataset"):
        ShardSource(shards, head_size=64)


def test_the_command(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    short = ["--preset", "demo", "--min-frames", "4", "--min-face", "60"]
    arguments = ["hp-portrait", "prepare", str(videos / "one.mp4"), str(tmp_path / "out"), *short]
    for more in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", arguments + more)
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
    table, facts = capsys.readouterr().out.rstrip().rsplit("\n", 1)
    assert "24 frames" in table
    assert json.loads(facts)["clips"] == 1
