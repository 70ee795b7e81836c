"""Files that are whole or absent: everything is written beside its place and renamed when done; journals grow by whole lines."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hp_core.errors import PortraitError


def check_space(folder: Path, needed: float, what: str, otherwise: str, *, doubt: float = 1.0) -> None:
    """Raise `PortraitError` where the disk of ``folder`` has no room for ``needed`` bytes: now rather than hours later.

    Args:
        what: needs them, and ``otherwise`` the remedy besides another folder, in words.
        doubt: how many times the free space is asked for before an estimate is believed, 1 or more.
    """
    free = shutil.disk_usage(folder).free
    if needed > doubt * free:
        raise PortraitError(
            f"{what} in {folder} will need about {needed / 1e9:.1f} GB more, and {free / 1e9:.1f} GB are free there. Train in a folder "
            f"with more space, or {otherwise}."
        )


def check_writable(path: Path) -> None:
    """Raise `PortraitError` where ``path`` cannot become a file, before hours are spent on its content."""
    folder = path.parent
    if path.is_dir():
        raise PortraitError(f"{path} is a folder; name a file in it.")
    if not folder.is_dir():
        raise PortraitError(f"The folder {folder} does not exist; create it or name another output.")
    if not os.access(folder, os.W_OK):
        raise PortraitError(f"The folder {folder} cannot be written to; choose another output.")


def make_folder(path: Path) -> None:
    """Create ``path`` and the folders above it; `PortraitError` where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PortraitError(f"The folder {path} cannot be made ({error.strerror}); name another.") from error


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder beside ``folder`` whose files move into it at the end; nothing of it is left if the block raises."""
    folder = folder.resolve()
    stage = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(stage, ignore_errors=True)  # of a run that was killed
    try:
        stage.mkdir(parents=True)
    except OSError as error:
        raise PortraitError(f"The folder {folder} cannot be made ({error.strerror}); name another.") from error
    try:
        yield stage
        for path in sorted(path for path in stage.rglob("*") if path.is_file()):
            target = folder / path.relative_to(stage)
            make_folder(target.parent)
            to_disk(path)
            os.replace(path, target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, on disk and renamed to it at the end; removed if the block raises."""
    check_writable(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    from safetensors import SafetensorError

    try:
        yield temporary
        to_disk(temporary)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise PortraitError(f"{path} cannot be written ({error}). Free some space or name another folder.") from error
    finally:
        temporary.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """What was written to ``path`` is on disk when this returns: a power cut after the renaming must not leave it empty."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def append_line(path: Path, content: dict[str, Any]) -> None:
    """Add ``content`` as a line of JSON to ``path``; on disk when this returns. Raises OSError where it cannot be."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(content, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def whole_lines(path: Path) -> list[bytes]:
    """The lines of ``path``, none where it is absent; one that a kill cut off is taken away. Raises OSError where it cannot be read."""
    content = path.read_bytes() if path.exists() else b""
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)
    return content[:end].splitlines()
