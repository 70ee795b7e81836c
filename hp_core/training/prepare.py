"""Real videos into training clips: each is cut into clips, each clip checked, cropped and put into a shard (paper 4.1)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hp_core.checks import check_range
from hp_core.config import FaceConfig
from hp_core.errors import OptionError, PortraitError, VideoError
from hp_core.face.analyzer import FaceAnalyzer
from hp_core.face.shots import CUT
from hp_core.files import make_folder, written_beside
from hp_core.progress import Notice, Progress, Stage
from hp_core.training.clip_maker import ClipMaker, Dropped, read_keypoints
from hp_core.training.footage import Footage, find_videos, scan
from hp_core.training.journal import Journal
from hp_core.training.shard_members import FORMAT
from hp_core.training.shards import CLIPS_PER_SHARD, CRF, Shard, ShardWriter
from hp_core.video import read_frames

if TYPE_CHECKING:
    import numpy as np

    from hp_core.pose.dwpose import DwposeEstimator

REPORT = "report.json"
EXAMPLES = 5  # of each reason, in the report


@dataclass(frozen=True)
class PrepareOptions:
    """Which clips are taken and how they are stored.

    Besides, a clip is dropped whose face leaves the square, which is fixed by its first frame.

    Attributes:
        frames: of a clip; a longer video is cut into consecutive clips.
        min_frames: a shorter video, or rest of one, is dropped.
        one_face: drop a clip in which a second face of at least half the area is seen.
        min_face: shorter side of the face's box in pixels of the video, median of the clip.
        min_found: share of the frames that show the face, 0..1.
        max_yaw: median of the head's absolute yaw, degrees, 0..180; not checked with an analyzer without a head transform.
        crf: H.264 quality of the crops, 1 (best) to 51.
        clips_per_shard: 1 or more.
        keypoints: folder with `{video's stem}.dwpose.npz`, body points of whole videos, in the videos' own subfolders or, where no two
            videos have one name, without them; None looks beside each video.

    Raises:
        OptionError: a number out of range.
    """

    frames: int = 100
    min_frames: int = 16
    one_face: bool = True
    min_face: int = 128
    min_found: float = 0.9
    max_yaw: float = 60.0
    crf: int = CRF
    clips_per_shard: int = CLIPS_PER_SHARD
    keypoints: Path | None = None

    def __post_init__(self) -> None:
        check_range("min_frames", self.min_frames, 1)
        check_range("frames", self.frames, self.min_frames)
        check_range("min_face", self.min_face, 1)
        check_range("min_found", self.min_found, 0, 1)
        check_range("max_yaw", self.max_yaw, 0, 180)
        check_range("crf", self.crf, 1, 51)
        check_range("clips_per_shard", self.clips_per_shard, 1)
        if self.keypoints is not None and not self.keypoints.is_dir():
            raise OptionError(f"keypoints is {self.keypoints}, no such folder; name the one with the .dwpose.npz files.")


@dataclass(frozen=True)
class PrepareReport:
    """What became of the videos.

    Attributes:
        videos, clips, frames, seconds, shards: seen and kept; seconds of video.
        dropped: reason -> number of clips and up to `EXAMPLES` of them; a video that cannot be opened counts as one.
    """

    videos: int
    clips: int
    frames: int
    seconds: float
    shards: int
    dropped: dict[str, dict[str, Any]]

    def rows(self) -> list[list[str]]:
        """A table of it: what, clips, example."""
        rows = [["kept", f"{self.clips}", f"{self.frames} frames, {self.seconds:.1f} s, {self.shards} shards"]]
        return rows + [[reason, f"{drop['count']}", drop["examples"][0]] for reason, drop in self.dropped.items()]


def prepare(
    videos: Path,
    out: Path,
    *,
    analyzer: FaceAnalyzer,
    config: FaceConfig,
    options: PrepareOptions = PrepareOptions(),
    estimator: DwposeEstimator | None = None,
) -> Stage[PrepareReport]:
    """Make shards (`hp_core.training.shards`) in ``out`` of the videos in a folder and the folders below it, or of one file.

    May be stopped and run again with the same options: it goes on, and the shards are those of a run without a stop. New videos
    in the folder join in a later run.

    Args:
        estimator: of the body points that the pose guider is trained on, for videos that bring none; without either a clip has none.

    Raises:
        OptionError: no video in ``videos``, ``out`` was begun with other options, or another run is writing into it.
        PortraitError: no clip was accepted, or ``out`` cannot be written; what is whole in it stays valid.
    """
    paths = find_videos(videos)
    with _alone(out):
        return (yield from _prepared(paths, out, analyzer, config, options, estimator))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep another run off the folder: two would write one another's shards."""
    from filelock import FileLock, Timeout

    make_folder(out)
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OptionError(f"Another run is writing into {out}. Wait for it, or give each its own folder.") from error
    except OSError as error:
        raise PortraitError(f"{out} cannot be written to ({error}). Check its rights or name another folder.") from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _prepared(
    paths: dict[str, Path],
    out: Path,
    analyzer: FaceAnalyzer,
    config: FaceConfig,
    options: PrepareOptions,
    estimator: DwposeEstimator | None,
) -> Stage[PrepareReport]:
    journal = Journal(out, _settings(analyzer, config, options) | {"dwpose": estimator is not None})
    footage = yield from scan(paths, journal)
    total, done = sum(video.frames for video in footage), 0
    with ShardWriter(out, clips_per_shard=options.clips_per_shard, crf=options.crf, first=journal.shards) as writer:
        shared = {stem for stem, count in Counter(Path(video.name).stem for video in footage).items() if count > 1}
        cutter = _Cutter(writer, journal, analyzer, config, options, estimator, shared)
        for video in footage:
            for position in cutter.cut(video):
                yield Progress("prepare", done + position, total)
            done += video.frames
        cutter.close()
    if cutter.without_rotation:
        lost = f"max_yaw was not checked, {cutter.without_rotation} clips lack the rotation"
        yield Notice(f"The analyzer {analyzer.name} gives no head transform: {lost}.")
    report = _report(journal)
    with written_beside(out / REPORT) as temporary:
        temporary.write_text(json.dumps(asdict(report), indent=1), encoding="utf-8")
    if not report.clips:
        counts = ", ".join(f"{reason}: {drop['count']}" for reason, drop in report.dropped.items())
        raise PortraitError(f"No clip of {report.videos} videos was accepted ({counts}). See {out / REPORT}; give other videos or limits.")
    return report


def _settings(analyzer: FaceAnalyzer, config: FaceConfig, options: PrepareOptions) -> dict[str, Any]:
    """All that shapes the shards; head crops are not in them."""
    face = {name: value for name, value in asdict(config).items() if name != "head_size"}
    keypoints = {"keypoints": str(options.keypoints.resolve()) if options.keypoints else None}
    return (
        {"format": FORMAT, "cut": CUT, "analyzer": analyzer.name, "detection_threshold": analyzer.threshold}
        | asdict(options)
        | keypoints
        | face
    )


class _Cutter:
    """Cuts videos into clips, puts them into shards, and both fates of a clip into the journal."""

    def __init__(
        self,
        writer: ShardWriter,
        journal: Journal,
        analyzer: FaceAnalyzer,
        config: FaceConfig,
        options: PrepareOptions,
        estimator: DwposeEstimator | None,
        shared: set[str],
    ):
        self.estimator, self.shared = estimator, shared  # the latter: names that several videos have, in different folders
        self.writer, self.journal, self.analyzer, self.config, self.options = writer, journal, analyzer, config, options
        self.without_rotation = 0
        self._pending: list[tuple[str, int, int]] = []  # clips of the shard under way

    def cut(self, video: Footage) -> Iterator[int]:
        """Deal with the clips that are not done; yields the number of frames behind it after each frame."""
        spans = [range(start, min(start + self.options.frames, video.frames)) for start in range(0, video.frames, self.options.frames)]
        spans = [span for span in spans if not self.journal.done(video.name, span.start)]
        if spans and len(spans[-1]) < self.options.min_frames:
            rest = spans.pop()
            self._drop(video, rest.start, Dropped("too short", f"{len(rest)} frames, min_frames {self.options.min_frames}"))
        keypoints = self._keypoints(video) if spans else None
        if isinstance(keypoints, Dropped):
            for span in spans:
                self._drop(video, span.start, keypoints)
            return
        frames = _numbered(video.path, spans[0].start) if spans else iter(())
        for number, span in enumerate(spans):
            try:
                yield from self._make(video, span, frames, keypoints)
            except VideoError as error:
                if not video.path.exists():  # a disk that went away says nothing about its videos
                    raise
                for lost in spans[number:]:
                    self._drop(video, lost.start, Dropped("unreadable", str(error)))
                return

    def close(self) -> None:
        """Finish the last shard."""
        self._record(self.writer.close())

    def _make(self, video: Footage, span: range, frames: Iterator[tuple[int, np.ndarray]], keypoints: np.ndarray | None) -> Iterator[int]:
        """Read one clip; once it is known to be lost, its frames are only passed over."""
        estimator = self.estimator if keypoints is None else None
        maker, drop = ClipMaker(self.analyzer, self.config, self.options, len(span), estimator), None
        for index, image in frames:
            if index in span:
                drop = drop or maker.add(image)
            yield index + 1
            if index == span[-1]:
                break
        body = None if keypoints is None else keypoints[span.start : span.stop]
        clip = drop or maker.finish(video.key(span.start), video.person, video.fps, body)
        if isinstance(clip, Dropped):
            self._drop(video, span.start, clip)
            return
        self.without_rotation += clip.rotation is None
        source = {"name": video.name, "sha256": video.sha256, "start": span.start, "square": maker.square, "filled": maker.filled}
        self._pending.append((video.name, span.start, len(clip)))
        self._record(self.writer.add(clip, {"source": source}))

    def _keypoints(self, video: Footage) -> np.ndarray | Dropped | None:
        path = video.path.with_suffix(".dwpose.npz")
        if self.options.keypoints is not None:
            path = self.options.keypoints / Path(video.name).with_suffix(".dwpose.npz")
            if not path.exists() and video.path.stem not in self.shared:
                path = self.options.keypoints / path.name
        try:
            return read_keypoints(path, video.frames) if path.exists() else None
        except PortraitError as error:
            return Dropped("bad keypoints", str(error))

    def _drop(self, video: Footage, start: int, drop: Dropped) -> None:
        self.journal.drop(video.name, start, drop.reason, drop.detail)

    def _record(self, shard: Shard | None) -> None:
        if shard is not None:
            self.journal.shard(shard.name, shard.bytes, self._pending)
            self._pending = []


def _numbered(path: Path, start: int) -> Iterator[tuple[int, np.ndarray]]:
    yield from enumerate(read_frames(path, start=start), start)


def _report(journal: Journal) -> PrepareReport:
    reasons = Counter(reason for reason, _ in journal.dropped.values())
    dropped: dict[str, dict[str, Any]] = {reason: {"count": count, "examples": []} for reason, count in reasons.most_common()}
    for (name, start), (reason, detail) in journal.dropped.items():
        if len(dropped[reason]["examples"]) < EXAMPLES:
            dropped[reason]["examples"].append(f"{name} from frame {start}: {detail}")
    return PrepareReport(
        videos=len(journal.videos),
        clips=len(journal.kept),
        frames=sum(journal.kept.values()),
        seconds=float(sum(frames / Fraction(journal.videos[name]["fps"]) for (name, _), frames in journal.kept.items())),
        shards=journal.shards,
        dropped=dropped,
    )
