"""The videos that clips are made of."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from hp_core.errors import OptionError, VideoError
from hp_core.progress import Progress, Stage
from hp_core.training.journal import Journal
from hp_core.video import probe

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


@dataclass(frozen=True)
class Footage:
    """A video that can be read.

    Attributes:
        name: its path below the folder of all.
        sha256: of the file.
        frames, fps: as `hp_core.video.read_frames` yields them.
    """

    name: str
    path: Path
    sha256: str
    frames: int
    fps: Fraction

    @property
    def person(self) -> str:
        """Who it shows, as far as its name tells."""
        return Path(self.name).with_suffix("").as_posix()

    def key(self, start: int) -> str:
        """Of the clip from frame ``start`` on; names that look alike after the cleaning differ in the hash."""
        clean = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(self.name).stem)[:40]
        return f"{clean}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}-{start:06d}"


def find_videos(videos: Path) -> dict[str, Path]:
    """Name -> path of every video in a folder and the folders below it, in order of the names; hidden ones are left out.

    ``videos`` may be one file as well.

    Raises:
        OptionError: there is none.
    """
    if videos.is_file():
        return {videos.name: videos}
    if not videos.is_dir():
        raise OptionError(f"{videos}: no such folder or video; check the path.")
    below = (path for path in videos.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    named = {path.relative_to(videos).as_posix(): path for path in below}
    found = {name: named[name] for name in sorted(named) if not any(part.startswith(".") for part in name.split("/"))}
    if not found:
        raise OptionError(f"{videos} holds no video ({', '.join(VIDEO_SUFFIXES)}); name the folder that does.")
    return found


def scan(paths: dict[str, Path], journal: Journal) -> Stage[list[Footage]]:
    """Look at every video that ``journal`` does not know yet, or could not read; those that can be read, in order.

    Raises:
        OptionError: a file has changed since clips were made of it.
    """
    readable = []
    for count, (name, path) in enumerate(paths.items(), 1):
        known, size = journal.videos.get(name), path.stat().st_size
        if known is not None and known["bytes"] != size and any(video == name for video, _ in journal.kept):
            raise OptionError(f"{path} has {size} bytes, not those its clips were made of. Restore it, or name another folder.")
        if known is None or known["bytes"] != size or "problem" in known:  # which may have been the disk's
            facts = {"bytes": size} | _examine(path)
            if known is None or any(known.get(key) != value for key, value in facts.items()):
                journal.video(name, facts)
        facts = journal.videos[name]
        if "problem" not in facts:
            readable.append(Footage(name, path, facts["sha256"], facts["frames"], Fraction(facts["fps"])))
        yield Progress("scan", count, len(paths))
    return readable


def _examine(path: Path) -> dict[str, Any]:
    """What the journal keeps of a video: hash, frames and rate, or its problem."""
    digest = hashlib.sha256()
    try:
        info = probe(path)
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (VideoError, OSError) as error:
        return {"problem": str(error)}
    return {"sha256": digest.hexdigest(), "frames": info.frames, "fps": str(info.fps)}
