"""All files of a report, written together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hp_core.errors import PortraitError
from hp_core.evaluation.html import html
from hp_core.evaluation.journal import Journal
from hp_core.evaluation.judgement import Judgement
from hp_core.evaluation.pairs import Pair
from hp_core.evaluation.report_files import write_files
from hp_core.evaluation.showcase import choose, film
from hp_core.evaluation.tables import markdown
from hp_core.files import staged_folder
from hp_core.progress import Notice, Progress, Stage


def write_reports(folder: Path, judgement: Judgement, pairs: Sequence[Pair], journal: Journal) -> Stage[None]:
    """`report.json`, `report.csv`, `report.md` and `report.html` into ``folder``, all or none.

    Raises:
        PortraitError: the folder cannot be written.
    """
    better = {
        name: facts["better"] for name, facts in judgement.metrics.items() if any(name in r and r[name] is not None for r in judgement.rows)
    }
    chosen = choose(pairs, journal.lines, better)
    with staged_folder(folder) as stage:
        shown = []
        path = stage / "film.mp4"
        for number, each in enumerate(chosen, 1):
            try:
                columns = film(each.pair, path)
                shown.append((each, path.read_bytes(), columns))
            except PortraitError as error:
                yield Notice(f"The pair '{each.pair.row.pair}' cannot be shown: {error}")
            yield Progress("report", number, len(chosen))
        path.unlink(missing_ok=True)
        write_files(stage, judgement.facts(), judgement.rows, markdown(judgement))
        (stage / "report.html").write_text(html(judgement, shown), encoding="utf-8")
