"""Training clips on disk: tar files in webdataset's layout, four members a clip.

`{key}.json` says what the clip is and where it comes from, `{key}.crop.mp4` and `{key}.motion.mp4` are H.264 videos of the square
crops and of the motion crops, `{key}.track.npz` holds the points and labels. Head crops are not stored: they are the square crops,
resized, so a clip whose head crops show somebody else does not come back as it was.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hp_core.checks import check_range
from hp_core.config import FaceConfig
from hp_core.errors import OptionError, PortraitError
from hp_core.files import make_folder, written_beside
from hp_core.training.clips import Clip
from hp_core.training.shard_members import DAMAGE, MEMBERS, from_members, to_members

SHARDS = "clips-*.tar"
CRF, CLIPS_PER_SHARD = 12, 32
_END = bytes(1024)  # two empty blocks close a tar file


@dataclass(frozen=True)
class Shard:
    """A finished shard: its file name, its size in bytes, the keys of its clips in order."""

    name: str
    bytes: int
    keys: tuple[str, ...]


class ShardWriter:
    """Writes clips into `clips-000000.tar`, `clips-000001.tar`, ... ; use as a context manager.

    A shard appears under its name when it is whole; after an exception the unfinished one is gone and the others stay. The same
    clips give the same bytes.

    Args:
        folder: where to; made if absent.
        clips_per_shard: 1 or more.
        crf: H.264 quality of the crops, 1 (best) to 51.
        first: number of the first shard.

    Raises:
        PortraitError: the folder cannot be written, or its disk is full.
    """

    def __init__(self, folder: Path, *, clips_per_shard: int = CLIPS_PER_SHARD, crf: int = CRF, first: int = 0):
        check_range("clips_per_shard", clips_per_shard, 1)
        check_range("crf", crf, 1, 51)
        make_folder(folder)
        self.folder, self.clips_per_shard, self.crf = folder, clips_per_shard, crf
        self._number, self._keys = first, list[str]()
        self._stack = ExitStack()
        self._tar: tarfile.TarFile | None = None

    def add(self, clip: Clip, facts: Mapping[str, Any] | None = None) -> Shard | None:
        """Append a clip; ``facts`` (JSON values) say where it comes from. The shard, if it is full now.

        Raises:
            OptionError: a key with other characters than letters, digits, ``-`` and ``_``.
            PortraitError: it cannot be written.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", clip.key):
            raise OptionError(f"The clip's key is '{clip.key}'; use letters, digits, - and _ alone.")
        members = to_members(clip, dict(facts or {}), self.crf)
        try:
            tar = self._tar or self._open()
            for member in MEMBERS:
                entry = tarfile.TarInfo(f"{clip.key}.{member}")  # neither date nor owner, so that equal clips make equal shards
                entry.size = len(members[member])
                tar.addfile(entry, io.BytesIO(members[member]))
        except OSError as error:
            raise full(self.folder, f"clip {clip.key}", error) from error
        self._keys.append(clip.key)
        return self.close() if len(self._keys) == self.clips_per_shard else None

    def close(self) -> Shard | None:
        """Finish the shard that is under way; None where there is none."""
        if self._tar is None:
            return None
        name = shard_name(self._number)
        try:
            self._stack.close()
        except PortraitError as error:
            raise full(self.folder, name, error) from error
        shard = Shard(name, (self.folder / name).stat().st_size, tuple(self._keys))
        self._tar, self._keys, self._number = None, [], self._number + 1
        return shard

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if kind is None:
            self.close()
        else:
            self._stack.__exit__(kind, error, trace)

    def _open(self) -> tarfile.TarFile:
        temporary = self._stack.enter_context(written_beside(self.folder / shard_name(self._number)))
        self._tar = self._stack.enter_context(tarfile.TarFile(temporary, "w"))
        return self._tar


class ShardSource:
    """The clips of a folder of shards (a `ClipSource`), in the same order every time.

    A clip that cannot be read is left out, whatever is wrong with it. Iterating reads all of them.

    Args:
        folder: what `ShardWriter` wrote.
        head_size: side of the head crops, pixels; they are the square crops, resized as `hp_core.face.crop.head_crop` does.

    Attributes:
        keys, skipped: of `ClipSource`.
        people: key of each clip -> who it shows (`Clip.person`); its key, where that cannot be read.
        files: name and bytes of each shard: clips made again under the same keys are others.

    Raises:
        OptionError: no shard in ``folder``, or webdataset is not installed.
    """

    def __init__(self, folder: Path, *, head_size: int):
        _webdataset()  # now, not with the first clip
        self.skipped: dict[str, str] = {}
        self._config = FaceConfig(head_size=head_size)
        self._shards = sorted(folder.glob(SHARDS))
        if not self._shards:
            raise OptionError(f"{folder} holds no shard ({SHARDS}). Make some with `hp-portrait prepare VIDEOS {folder}`.")
        self.files = [f"{shard.name} {shard.stat().st_size}" for shard in self._shards]
        self.people = {key: person for shard in self._shards for key, person in self._index(shard).items()}
        self.keys = list(self.people)

    def __iter__(self) -> Iterator[Clip]:
        return self.read(self.keys)

    def read(self, keys: Collection[str]) -> Iterator[Clip]:
        """The clips of these keys, in order, less the damaged ones."""
        self.skipped.clear()
        wanted = frozenset(keys)
        for shard in self._shards:
            if wanted.intersection(self._index(shard)):
                yield from self._read(shard, wanted)

    def _index(self, shard: Path) -> dict[str, str]:
        """Key -> person of the clips in a shard, in order; a damaged end is noted."""
        people: dict[str, str] = {}
        try:
            with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
                end = 0
                for member in tar:
                    key, _, kind = member.name.partition(".")
                    people.setdefault(key, key)
                    if kind == MEMBERS[0]:
                        people[key] = _person(tar, member) or key
                    end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                file.seek(end)
                if file.read(len(_END)) != _END:  # tarfile takes a damaged header for the end
                    self.skipped[shard.name] = f"damaged or cut off after byte {end}"
        except (tarfile.TarError, OSError) as error:
            self.skipped[shard.name] = str(error)
        return people

    def _read(self, shard: Path, wanted: Collection[str]) -> Iterator[Clip]:
        iterators = _webdataset().tariterators

        def note(error: Exception) -> bool:
            self.skipped.setdefault(shard.name, str(error.args[0]) if error.args else type(error).__name__)
            return True

        with shard.open("rb") as stream:
            files = iterators.tar_file_expander([{"url": str(shard), "stream": stream}], handler=note)
            for sample in iterators.group_by_keys(files, handler=note):
                if sample["__key__"] not in wanted:
                    continue
                try:
                    clip = from_members(sample, self._config)
                except DAMAGE as error:
                    self.skipped[sample["__key__"]] = str(error) or type(error).__name__
                else:
                    yield clip


def full(folder: Path, what: str, error: Exception) -> PortraitError:
    """The error for ``what`` that could not be written into ``folder``."""
    return PortraitError(f"{folder}: {what} cannot be written ({error}). What is there stays valid: free some space and run it again.")


def _webdataset() -> Any:
    try:
        import webdataset
    except ImportError as error:
        raise OptionError(f"Shards need the package webdataset ({error}). Run `pip install webdataset`.") from error
    return webdataset


def _person(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str | None:
    """Who a clip shows, by its JSON; None where that is damaged, which reading the clip will tell."""
    file = tar.extractfile(member)
    try:
        return str(json.loads(file.read())["person"]) if file else None
    except (ValueError, KeyError, TypeError):
        return None


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"clips-{number:06d}.tar"
