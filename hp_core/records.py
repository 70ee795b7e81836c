"""Tables that people write: CSV with a header, or JSON lists of objects, in UTF-8."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, TypeGuard

from hp_core.errors import PortraitError

BEYOND = "(beyond the header)"
"""The column of cells that a row has more than its header."""


def read_text(path: Path, what: str, remedy: str) -> str:
    """The text of ``path``, without the mark that spreadsheets put in front.

    Args:
        what: what the file is, for the message, as ``remedy`` is.

    Raises:
        PortraitError: it is absent or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PortraitError(f"{what} {path} cannot be read ({error}); {remedy}.") from error


def csv_table(text: str) -> tuple[list[str], csv.DictReader[str]]:
    """The header of CSV, empty without one, and its rows, whose ``line_num`` is that of the last one read."""
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey=BEYOND, skipinitialspace=True)
    return list(reader.fieldnames or ()), reader


def is_records(content: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Whether JSON's ``content`` is a list of objects."""
    return isinstance(content, list) and all(isinstance(record, dict) for record in content)
