"""Clips on disk in the form a stage trains on: one `.safetensors` a clip, made once, read in slices at any position."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hp_core.errors import PortraitError
from hp_core.files import check_space, make_folder, written_beside
from hp_core.progress import Notice, Progress, Stage
from hp_core.training.clips import Clip, ClipSource
from hp_core.training.facts import differences
from hp_core.training.processes import is_first_process, process_count, process_index, wait_for_all

MANIFEST, FACTS = "store.json", "facts.json"
SPARE = 1.3  # of the free space is asked for before an estimate is believed: clips differ
MEASURED = 8  # clips by which the space for all is estimated
_OPEN = 64  # files at once: each is a memory map, of which a process may have 65,530


class Store:
    """The clips in ``folder``, by number; arrays of one clip have one length, its frames.

    Attributes:
        keys: of the clips, in order.
        lengths: frames of each clip.
        people: who each clip shows.
        lost: how many clips could not be read and are left out.
        facts: what the arrays depend on, as they were given to `build_store`.

    Raises:
        PortraitError: no such store, or one that is not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            self.facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise PortraitError(f"{folder} holds no finished store of clips ({error}). Make it again.") from error
        self.keys: list[str] = [clip["key"] for clip in manifest["clips"]]
        self.lengths: list[int] = [clip["frames"] for clip in manifest["clips"]]
        self.people: list[str] = [clip["person"] for clip in manifest["clips"]]
        self.lost: int = manifest.get("lost", 0)
        self._open: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int, names: Iterable[str], frames: np.ndarray | slice) -> dict[str, Tensor]:
        """Rows ``frames`` of the arrays ``names`` of clip ``index``; names the clip lacks are left out."""
        file, known = self._file(index), self.names(index)
        return {name: _rows(file, name, frames) for name in names if name in known}

    def names(self, index: int) -> set[str]:
        """Of the arrays of clip ``index``."""
        return set(self._file(index).keys())

    def _file(self, index: int) -> Any:
        if index not in self._open:
            path = self.folder / f"{self.keys[index]}.safetensors"
            try:
                self._open[index] = safe_open(path, framework="pt")
            except (OSError, SafetensorError) as error:
                raise PortraitError(f"{path} is damaged ({error}). Delete it and {self.folder / MANIFEST}, and run again.") from error
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        return self._open[index]


def _rows(file: Any, name: str, frames: np.ndarray | slice) -> Tensor:
    part = file.get_slice(name)
    if isinstance(frames, slice):
        return part[frames]
    return torch.cat([part[int(row) : int(row) + 1] for row in frames])


def build_store(
    source: ClipSource, keys: Sequence[str], folder: Path, encode: Callable[[Clip], dict[str, Tensor]], facts: Any
) -> Stage[Store]:
    """Run the clips ``keys`` of ``source`` through ``encode`` into ``folder``; clips that are there already are not read again.

    The processes of a launch share the clips out; each calls this, and has the whole store at the end. Clips that cannot be read are
    left out, which is said.

    Args:
        encode: arrays of a clip, each (frames, ...).
        facts: what the arrays depend on, as JSON takes it; a store made under other facts is refused.

    Raises:
        PortraitError: the folder holds a store of other facts, cannot be written to, or has too little space for all clips.
    """
    make_folder(folder)
    manifest = folder / MANIFEST
    began = folder / FACTS
    known = json.loads(json.dumps(facts))
    if began.is_file() and differences(json.loads(began.read_text(encoding="utf-8")), known):
        raise PortraitError(f"{folder} holds clips made with other settings or weights. Delete it, or name another folder.")
    if manifest.is_file():
        store = Store(folder)
        if store.lost:
            yield Notice(f"{store.lost} clips that could not be read are left out. To try them again, delete {manifest}.")
        return store
    with written_beside(began) as temporary:
        temporary.write_text(json.dumps(known), encoding="utf-8")
    mine = keys[process_index() :: process_count()]
    missing = [key for key in mine if _row(folder, key) is None]
    sizes: list[int] = []
    for done, clip in enumerate(source.read(missing), len(mine) - len(missing) + 1):
        arrays = {name: array.contiguous() for name, array in encode(clip).items()}
        row = {"key": clip.key, "person": clip.person, "frames": len(clip)}
        place = folder / f"{clip.key}.safetensors"
        with written_beside(place) as temporary:
            save_file(arrays, temporary, {"clip": json.dumps(row)})
        sizes.append(place.stat().st_size)
        if len(sizes) == MEASURED:
            needed = sum(sizes) / len(sizes) * (len(missing) * process_count() - len(sizes))
            check_space(folder, needed, "The clips cached", "on fewer clips", doubt=SPARE)
        yield Progress("cache", done, len(mine))
    wait_for_all()
    if is_first_process():
        rows = [stored for key in keys if (stored := _row(folder, key))]
        if not rows:
            raise PortraitError(f"There are no clips to train on for {folder}. Give a folder of shards that holds some.")
        lost = max(len(keys) - len(rows), len(source.skipped))
        if lost:
            first = next((f", the first {what}: {reason}" for what, reason in source.skipped.items()), "")
            yield Notice(f"{lost} clips could not be read and are left out{first}")
        with written_beside(manifest) as temporary:
            temporary.write_text(json.dumps({"clips": rows, "lost": lost}), encoding="utf-8")
    wait_for_all()
    return Store(folder)


def _row(folder: Path, key: str) -> dict[str, Any] | None:
    """What the manifest says of a clip that is stored, or None."""
    path = folder / f"{key}.safetensors"
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            row: dict[str, Any] = json.loads((file.metadata() or {})["clip"])
    except (KeyError, json.JSONDecodeError, SafetensorError):
        return None  # made anew
    return row


def pixels(clip: Clip) -> dict[str, Tensor]:
    """What the stages that see pixels train on."""
    arrays = {
        "frames": clip.frames,
        "motion_crops": clip.motion_crops,
        "head_crops": clip.head_crops,
        "crop_points": clip.crop_points,
        "rotation": clip.rotation,
        **clip.labels,
    }
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items() if array is not None}
