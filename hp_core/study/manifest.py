"""The list of what a study shows: which system answered which portrait and driving video with which result."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hp_core.errors import OptionError, about
from hp_core.records import BEYOND, csv_table, is_records, read_text

COLUMNS = ("portrait", "driving", "result", "system")
OPTIONAL = ("clip",)


@dataclass(frozen=True)
class Entry:
    """One result to be rated.

    Attributes:
        portrait: the picture, an existing file.
        driving: the video whose motion the result takes on.
        result: the video to be rated.
        system: what made it; never shown to a visitor.
        clip: name of the pair of portrait and driving video.
    """

    portrait: Path
    driving: Path
    result: Path
    system: str
    clip: str


def read_manifest(path: Path) -> list[Entry]:
    """The entries of a CSV with a header, or of a JSON list of objects; relative paths start at the manifest's folder.

    Raises:
        PortraitError: the file is absent, not UTF-8, or no table.
        OptionError: unknown or missing columns, no row, an empty cell, a file that does not exist, a clip and system twice, or a clip
            that means two pairs. Whether the files are pictures and videos is not looked at.
    """
    text = read_text(path, "The manifest", "give a CSV or JSON file in UTF-8")
    with about(path, OptionError):
        rows = _json_rows(text) if path.suffix.lower() == ".json" else _csv_rows(text)
        if not rows:
            raise OptionError("no row; a study needs at least one result to rate.")
        entries = [_entry(number, row, path.parent) for number, row in enumerate(rows, 1)]
        _check_pairs(entries)
    return entries


def _csv_rows(text: str) -> list[dict[str, Any]]:
    header, table = csv_table(text)
    _check_columns("the header", header)
    rows = list(table)
    for number, row in enumerate(rows, 1):
        if BEYOND in row:
            raise OptionError(f"row {number} has more cells than the header has columns; put cells that hold a comma in quotes.")
    return rows


def _json_rows(text: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise OptionError(f"no JSON ({error}); write a list of objects with {', '.join(COLUMNS)}.") from error
    if not is_records(rows):
        raise OptionError(f"not a list of objects; write one object a result, with {', '.join(COLUMNS)}.")
    for number, row in enumerate(rows, 1):
        _check_columns(f"row {number}", row)
    return rows


def _check_columns(where: str, names: Iterable[str]) -> None:
    names = list(names)
    known = ", ".join(COLUMNS) + f" and, if wanted, {', '.join(OPTIONAL)}"
    for kind, wrong in (
        ("unknown", [name for name in names if name not in COLUMNS + OPTIONAL]),
        ("missing", [name for name in COLUMNS if name not in names]),
        ("repeated", [name for name in dict.fromkeys(names) if names.count(name) > 1]),
    ):
        if wrong:
            raise OptionError(f"{where} has {kind} columns: {', '.join(map(repr, wrong))}; the columns are {known}.")


def _entry(number: int, row: dict[str, Any], folder: Path) -> Entry:
    cells: dict[str, str] = {}
    for name in (*COLUMNS, *OPTIONAL):
        value = row.get(name)
        if value is not None and not isinstance(value, str):
            raise OptionError(f"row {number}: {name} is {value!r}; give a text.")
        cells[name] = (value or "").strip()
        if name in COLUMNS and not cells[name]:
            raise OptionError(f"row {number}: {name} is empty; every row needs {', '.join(COLUMNS)}.")
    files = {name: folder / cells[name] for name in ("portrait", "driving", "result")}
    for name, file in files.items():
        if not file.is_file():
            raise OptionError(f"row {number}: the {name} {file} is no file; correct the path (relative ones start at {folder}).")
    return Entry(**files, system=cells["system"], clip=cells["clip"] or f"{cells['portrait']} + {cells['driving']}")


def _check_pairs(entries: list[Entry]) -> None:
    seen: dict[tuple[str, str], int] = {}
    pairs: dict[str, tuple[int, Path, Path]] = {}
    for number, entry in enumerate(entries, 1):
        first = seen.setdefault((entry.clip, entry.system), number)
        if first != number:
            raise OptionError(
                f"rows {first} and {number} are both clip '{entry.clip}' by system '{entry.system}'; keep one, or name the clips in a "
                "column clip."
            )
        other, *pair = pairs.setdefault(entry.clip, (number, entry.portrait, entry.driving))
        if pair != [entry.portrait, entry.driving]:
            raise OptionError(f"rows {other} and {number} call different pairs clip '{entry.clip}'; give each pair a name of its own.")
