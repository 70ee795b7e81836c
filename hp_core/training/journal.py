"""What `hp-portrait prepare` has done so far, one JSON line a fact, so that a killed run goes on where it stopped.

A clip is done when it is dropped or when its shard is whole; a shard is named here only after that. Clips of a shard that was under
way when the run ended are simply made again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hp_core.errors import OptionError, PortraitError
from hp_core.files import append_line, make_folder, whole_lines
from hp_core.training.shards import SHARDS, full, shard_name

JOURNAL = "prepare.jsonl"
RETRIED = ("unreadable", "bad keypoints")
"""Reasons to drop a clip that may be gone in the next run."""


class Journal:
    """The journal in ``folder``, begun or gone on with; leftovers of a killed run are removed.

    Args:
        settings: all that shapes the shards (JSON values); must be the same every time.

    Attributes:
        videos: name -> what is known of the video (``bytes``, ``frames``, ``fps``, ``sha256``, or ``problem``).
        dropped: (name, first frame) -> reason and detail.
        kept: (name, first frame) -> frames.
        shards: how many are whole.

    Raises:
        OptionError: begun with other settings, or shards without a journal.
        PortraitError: damaged, or a shard is not as the journal says.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]):
        make_folder(folder)
        self.folder, self.path = folder, folder / JOURNAL
        self.videos: dict[str, dict[str, Any]] = {}
        self.dropped: dict[tuple[str, int], tuple[str, str]] = {}
        self.kept: dict[tuple[str, int], int] = {}
        self.shards = 0
        lines = self._lines()
        if not lines:
            if any(folder.glob(SHARDS)):
                raise OptionError(f"{folder} holds shards but no {JOURNAL}, so they cannot be continued; name another folder.")
            self._append({"settings": settings})
        else:
            self._check(lines[0].get("settings", {}), json.loads(json.dumps(settings)))
            for number, line in enumerate(lines[1:], 2):
                self._understand(line, number)
            self._remove_leftovers()

    def video(self, name: str, facts: dict[str, Any]) -> None:
        """Record a video; what was recorded of a file of this name before no longer counts."""
        self._record({"video": name, **facts})

    def drop(self, name: str, start: int, reason: str, detail: str) -> None:
        """Record that the clip from frame ``start`` on is dropped."""
        if self.dropped.get((name, start)) != (reason, detail):
            self._record({"drop": name, "start": start, "reason": reason, "detail": detail})

    def shard(self, name: str, size: int, clips: list[tuple[str, int, int]]) -> None:
        """Record a whole shard of ``size`` bytes with its clips: video, first frame, frames."""
        self._record({"shard": name, "bytes": size, "clips": clips})

    def done(self, name: str, start: int) -> bool:
        """Whether the clip needs no more work; what a user or a disk may have mended is tried again."""
        reason, _ = self.dropped.get((name, start), ("", ""))
        return (bool(reason) and reason not in RETRIED) or (name, start) in self.kept

    def _record(self, line: dict[str, Any]) -> None:
        self._append(line)
        self._apply(line)

    def _append(self, line: dict[str, Any]) -> None:
        try:
            append_line(self.path, line)
        except OSError as error:
            raise full(self.folder, JOURNAL, error) from error

    def _lines(self) -> list[dict[str, Any]]:
        """The lines so far."""
        try:
            texts = whole_lines(self.path)
        except OSError as error:
            raise PortraitError(f"{self.path} cannot be used ({error}); check its rights or name another folder.") from error
        lines = []
        for number, text in enumerate(texts, 1):
            try:
                lines.append(dict(json.loads(text)))
            except (ValueError, TypeError) as error:
                raise self._damaged(number, error) from error
        return lines

    def _check(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        changed = [f"{name}={old.get(name)} (now {new.get(name)})" for name in sorted(old | new) if old.get(name) != new.get(name)]
        if changed:
            raise OptionError(f"{self.folder} was begun with {', '.join(changed)}. Give the same options to go on, or name another folder.")

    def _understand(self, line: dict[str, Any], number: int) -> None:
        try:
            self._apply(line)
            if "shard" in line:
                path = self.folder / line["shard"]
                found = path.stat().st_size if path.exists() else "no file"
                if found != line["bytes"]:
                    raise PortraitError(
                        f"{path} has {line['bytes']} bytes in {JOURNAL}, found {found}. Restore it, or name another folder."
                    )
        except (KeyError, TypeError, ValueError) as error:
            raise error if isinstance(error, PortraitError) else self._damaged(number, error) from error

    def _apply(self, line: dict[str, Any]) -> None:
        if "video" in line:
            name = line["video"]
            self.videos[name] = line
            self.dropped = {clip: why for clip, why in self.dropped.items() if clip[0] != name}
            if "problem" in line:
                self.dropped[name, 0] = ("unreadable", line["problem"])
        elif "drop" in line:
            self.dropped[line["drop"], line["start"]] = (line["reason"], line["detail"])
        else:
            self.kept |= {(name, start): frames for name, start, frames in line["clips"]}
            self.dropped = {clip: why for clip, why in self.dropped.items() if clip not in self.kept}
            self.shards += 1

    def _remove_leftovers(self) -> None:
        """What was under way when a run ended: a shard whose line is missing, temporary files."""
        (self.folder / shard_name(self.shards)).unlink(missing_ok=True)
        for path in self.folder.glob(".clips-*.part.tar"):
            path.unlink()

    def _damaged(self, number: int, error: Exception) -> PortraitError:
        return PortraitError(f"{self.path} is damaged in line {number} ({error}). Restore it, or name another folder.")
