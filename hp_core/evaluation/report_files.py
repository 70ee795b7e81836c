"""What every report is made of: tables in Markdown, and JSON, CSV and Markdown written together."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def markdown_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A heading and a table."""
    lines = [header, ["---"] * len(header), *rows]
    drawn = (" | ".join(cell.replace("|", "\\|") for cell in cells) for cells in lines)
    return f"## {title}\n\n" + "\n".join(f"| {line} |" for line in drawn) + "\n"


def write_files(folder: Path, facts: dict[str, Any], rows: Sequence[dict[str, Any]], text: str) -> None:
    """`report.json` (``facts`` with the ``rows``), `report.csv` (a row a pair and system) and `report.md` into ``folder``, which exists."""
    (folder / "report.json").write_text(json.dumps(facts | {"rows": rows}, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(text, encoding="utf-8")
    with (folder / "report.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
