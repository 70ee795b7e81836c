"""A judgement as one HTML file that needs no network: tables, plots, and the best, median and worst pairs as video."""

from __future__ import annotations

import base64
from html import escape

from hp_core.evaluation.judgement import Judgement
from hp_core.evaluation.plots import line_plot, strip_plot
from hp_core.evaluation.showcase import Shown
from hp_core.evaluation.tables import ARROWS, Table, difference_table, full_table, paper_tables, protocol_lines, reasons

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right; } th:first-child, td:first-child { text-align: left; }
video { max-width: 100%; } svg { max-width: 40rem; display: block; margin: 1rem 0; } figcaption { color: #555; }
"""


def html(judgement: Judgement, shown: list[tuple[Shown, bytes, list[str]]]) -> str:
    """The page.

    Args:
        shown: pairs, each with its MP4 and what that shows from left to right.
    """
    parts = ["<h1>Evaluation</h1>"]
    parts += [_table(table) for table in (*paper_tables(judgement), full_table(judgement), difference_table(judgement)) if table[2]]
    parts += [_list("Blanks", reasons(judgement)), "<h2>Pair by pair</h2>", *_strips(judgement)]
    if shown:
        parts.append("<h2>To look at</h2>")
        parts += [_figure(judgement, *each) for each in shown]
    parts.append(_list("Protocol", protocol_lines(judgement)))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Evaluation</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _table(table: Table) -> str:
    title, header, rows = table
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in header)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return f"<h2>{escape(title)}</h2><table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _list(title: str, items: list[str]) -> str:
    return f"<h2>{escape(title)}</h2><ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else ""


def _strips(judgement: Judgement) -> list[str]:
    plots = []
    for name, facts in judgement.metrics.items():
        values: dict[str, dict[str, float]] = {system: {} for system in judgement.systems}
        for row in judgement.rows:
            if row.get(name) is not None:
                values[row["system"]][row["pair"]] = row[name]
        plots.append(strip_plot(f"{facts['title']} {ARROWS[facts['better']]}", values))
    return plots


def _figure(judgement: Judgement, shown: Shown, film: bytes, columns: list[str]) -> str:
    title = judgement.metrics[shown.metric]["title"]
    caption = f"{shown.system}, {shown.rank}: pair {shown.pair.row.pair}, {title} {shown.value:.4g}. Left to right: {', '.join(columns)}."
    source = base64.b64encode(film).decode("ascii")
    video = f'<video autoplay loop muted playsinline controls src="data:video/mp4;base64,{source}"></video>'
    return f"<figure>{video}<figcaption>{escape(caption)}</figcaption>{line_plot(title, shown.series)}</figure>"
