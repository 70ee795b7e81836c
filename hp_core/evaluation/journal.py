"""The scores of pairs on disk, one JSON line each, so that a stopped run goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hp_core.errors import PortraitError
from hp_core.files import append_line, make_folder, whole_lines, written_beside

FILE, FEATURES = "scores.jsonl", "features"


class Journal:
    """`scores.jsonl` of a folder: the settings in the first line, then a line a pair; features of set metrics beside it.

    Args:
        folder: made if it is not there.
        settings: under which all lines were and will be made; anything JSON can hold.

    Attributes:
        lines: by key, those of earlier runs and of this one; pairs that failed are not among the earlier ones and are tried again.

    Raises:
        PortraitError: the folder holds scores under other settings, or cannot be written.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        if folder.exists() and not folder.is_dir():
            raise PortraitError(f"The report goes into a folder, and {folder} is a file; name another.")
        make_folder(folder)
        self.folder, self.path = folder, folder / FILE
        self.lines: dict[str, dict[str, Any]] = {}
        settings = json.loads(json.dumps(settings))
        if self.path.exists():
            self._load(settings)
        else:
            with written_beside(self.path) as temporary:
                temporary.write_text(json.dumps({"settings": settings}) + "\n", encoding="utf-8")

    def add(self, line: dict[str, Any]) -> None:
        """Append a line, which has a `key`; on disk when this returns.

        Raises:
            PortraitError: no space.
        """
        try:
            append_line(self.path, line)
        except OSError as error:
            raise PortraitError(f"{self.path} cannot be written ({error}). Free some space and run the same command again.") from error
        self.lines[line["key"]] = line

    def keep(self, key: str, metric: str, features: dict[str, np.ndarray]) -> None:
        """Save what a set metric gathered of a pair; before its line is added, so that a line never lacks them."""
        make_folder(self.folder / FEATURES)
        with written_beside(self._features(key, metric)) as temporary:
            np.savez(temporary, **features)  # type: ignore[arg-type]

    def features(self, key: str, metric: str) -> dict[str, np.ndarray]:
        """What `keep` saved.

        Raises:
            PortraitError: the file is gone.
        """
        path = self._features(key, metric)
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError) as error:
            raise PortraitError(f"{path} cannot be read ({error}). Delete {self.path} and judge again.") from error

    def _features(self, key: str, metric: str) -> Path:
        return self.folder / FEATURES / f"{key}-{metric}.npz"

    def _load(self, settings: dict[str, Any]) -> None:
        try:
            head, *lines = [json.loads(line) for line in whole_lines(self.path)]
            earlier = head["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise PortraitError(f"{self.path} is damaged ({error}). Delete it, or name another folder.") from error
        if earlier != settings:
            raise PortraitError(
                f"{self.folder} holds scores made under other settings: {_difference(earlier, settings)}. "
                "Name another folder, or delete this one."
            )
        self.lines = {line["key"]: line for line in lines if not line.get("error")}


def _difference(before: Any, now: Any, name: str = "") -> str:
    """The first place where two settings differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        key = next(key for key in {**before, **now} if before.get(key) != now.get(key))
        return _difference(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    return f"{name} was {json.dumps(before)}, now {json.dumps(now)}"
