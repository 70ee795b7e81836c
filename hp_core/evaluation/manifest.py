"""What is to be judged: a CSV or JSON file of pairs, each with its files, read and checked whole before anything runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hp_core.checks import check_choice
from hp_core.errors import PortraitError
from hp_core.records import csv_table, is_records, read_text
from hp_core.values import Square

PROTOCOLS = ("self", "cross")
FILES = ("portrait", "driving", "result", "truth")


@dataclass(frozen=True)
class Row:
    """One pair of a manifest, as one system answered it.

    Attributes:
        pair: its name; systems are compared on pairs of the same name.
        system: who made the result.
        portrait: a picture; None in the self protocol takes the driving clip's first frame.
        driving, result, truth: clips; a result that is None is to be made. In the self protocol the truth is the driving clip unless
            there is one.
        truth_square: x1, y1, x2, y2, the part of the truth that the result shows; None is all of it.
    """

    pair: str
    system: str
    portrait: Path | None = None
    driving: Path | None = None
    result: Path | None = None
    truth: Path | None = None
    truth_square: Square | None = None

    @property
    def key(self) -> str:
        """A name for these very files, their sizes and times included: changed files are judged again."""
        facts: list[Any] = [self.pair, self.system, self.truth_square]
        for name in FILES:
            path = getattr(self, name)
            stat = path.stat() if path is not None else None
            facts.append([name, str(path), stat and stat.st_size, stat and stat.st_mtime_ns])
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


COLUMNS = tuple(field.name for field in fields(Row))


def read_manifest(path: Path, protocol: str) -> list[Row]:
    """The rows of ``path``; relative paths count from its folder.

    CSV has a header, JSON is a list of objects or an object with such a list under `pairs`. The columns are `COLUMNS`; pair
    defaults to the row's number, system to `result`.

    Raises:
        OptionError: an unknown ``protocol``.
        PortraitError: the file cannot be read, or what is wrong in it, all rows together: columns, missing files, doubles.
    """
    check_choice("protocol", protocol, PROTOCOLS)
    records = _records(path)
    if not records:
        raise PortraitError(f"{path} names no pair. Its columns are {', '.join(COLUMNS)}.")
    rows, problems, seen = [], [], set()
    for number, record in enumerate(records, 1):
        try:
            row = _row(record, path.resolve().parent, number)
            problem = _problem(row, protocol)
            if (row.pair, row.system) in seen:
                problem = f"the pair '{row.pair}' of the system '{row.system}' is there twice"
        except PortraitError as error:
            problem = str(error)
        if problem:
            problems.append(f"row {number}: {problem}")
        else:
            seen.add((row.pair, row.system))
            rows.append(row)
    raise_problems(path, problems)
    return rows


def raise_problems(path: Path, problems: list[str]) -> None:
    """Raise `PortraitError` with ``problems``, the first ten of them, if there are any."""
    if problems:
        more = f" And {len(problems) - 10} more." if len(problems) > 10 else ""
        raise PortraitError(f"{path} cannot be judged. Nothing was run. " + "; ".join(problems[:10]) + f".{more}")


def write_manifest(path: Path, rows: list[Row]) -> None:
    """``rows`` as JSON with absolute paths, for `read_manifest`."""
    from hp_core.files import written_beside

    records = [{name: _plain(value) for name in COLUMNS if (value := getattr(row, name)) is not None} for row in rows]
    with written_beside(path) as temporary:
        temporary.write_text(json.dumps({"pairs": records}, indent=1) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    return str(value.resolve()) if isinstance(value, Path) else value


def _records(path: Path) -> list[dict[str, Any]]:
    text = read_text(path, "The manifest", "give a CSV or JSON file in UTF-8")
    if path.suffix.lower() == ".json":
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise PortraitError(f"The manifest {path} is not JSON ({error}).") from error
        content = content.get("pairs") if isinstance(content, dict) else content
        if not is_records(content):
            raise PortraitError(f"The manifest {path} is neither a list of objects nor an object with such a list under 'pairs'.")
        return content
    if path.suffix.lower() != ".csv":
        raise PortraitError(f"The manifest {path} ends in '{path.suffix}'; name a .csv or .json file.")
    return list(csv_table(text)[1])


def _row(record: dict[str, Any], folder: Path, number: int) -> Row:
    given = {str(name).strip(): value for name, value in record.items()}
    given = {name: value.strip() if isinstance(value, str) else value for name, value in given.items()}
    given = {name: value for name, value in given.items() if value not in (None, "")}
    unknown = sorted(set(given) - set(COLUMNS))
    if unknown:
        raise PortraitError(f"'{unknown[0]}' is not a column; they are {', '.join(COLUMNS)}")
    files = {name: folder / str(given[name]) for name in FILES if name in given}
    square = _square(given["truth_square"]) if "truth_square" in given else None
    return Row(str(given.get("pair", number)), str(given.get("system", "result")), **files, truth_square=square)


def _square(value: Any) -> Square:
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    try:
        x1, y1, x2, y2 = (int(part) for part in parts)
    except (TypeError, ValueError):
        raise PortraitError(f"truth_square is {value!r}; give four whole numbers, x1 y1 x2 y2") from None
    if not (0 <= x1 < x2 and 0 <= y1 < y2):
        raise PortraitError(f"truth_square is {x1} {y1} {x2} {y2}, which is empty or outside the picture")
    return x1, y1, x2, y2


def _problem(row: Row, protocol: str) -> str:
    """What is wrong with a row by itself, empty if nothing is."""
    for name in FILES:
        path = getattr(row, name)
        if path is not None and not path.exists():
            return f"the {name} {path} is not there"
    if protocol == "self" and row.driving is None and row.truth is None:
        return "it has no driving clip, which is the truth of the self protocol"
    if row.result is None and row.driving is None:
        return "it has neither a result nor a driving clip to make one with"
    if row.result is None and row.portrait is None and protocol == "cross":
        return "it has neither a result nor a portrait to make one with"
    return ""
