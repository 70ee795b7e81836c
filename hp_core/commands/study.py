"""`hp-portrait study`: the paper's user study, made and evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hp_core.commands.options import Json
from hp_core.terminal import Bars, figures

study_app = typer.Typer(help="A blinded user study as a static page, and the mean opinion scores of its answers.", no_args_is_help=True)


@study_app.command("make")
def study_make(
    manifest: Annotated[Path, typer.Argument(help="CSV or JSON list: portrait, driving, result, system and, if wanted, clip.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the page; the key is written beside it.")],
    title: Annotated[str | None, typer.Option(help="Of the page. Default: the paper's.")] = None,
    contact: Annotated[str, typer.Option(help="Where visitors send their results, shown at the end.")] = "",
    example: Annotated[list[Path] | None, typer.Option(help="A video shown at the beginning, not rated. Repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Make the page that asks the paper's three questions about every result of MANIFEST."""
    from hp_core.study.make import TITLE, make_study

    with Bars(quiet=as_json) as bars:
        study = bars.run(
            make_study(manifest, output, title=TITLE if title is None else title, contact=contact, examples=tuple(example or ()))
        )
    facts = {
        "page": str(study.folder / "index.html"),
        "key": str(study.key),
        "study": study.identifier,
        "items": study.items,
        "systems": list(study.systems),
        "notices": bars.notices,
    }
    rows = [["page, to publish with its folder", str(facts["page"])], ["key, not to be published", str(study.key)]]
    rows += [["items a visitor rates", str(study.items)], ["systems", ", ".join(study.systems)]]
    figures(f"Study {study.identifier}", ["what", "value"], rows, facts, as_json)


@study_app.command("summarise")
def study_summarise(
    answers: Annotated[list[Path], typer.Argument(help="The CSV files that visitors have sent.")],
    key: Annotated[Path, typer.Option(help="The study's key, FOLDER.key.json.")],
    as_json: Json = False,
) -> None:
    """Mean opinion scores per system and question, with 95 % intervals over visitors."""
    from hp_core.study.answers import read_answers, read_key
    from hp_core.study.questions import QUESTIONS
    from hp_core.study.summary import summarise

    opened = read_key(key)
    with Bars(quiet=as_json) as bars:
        facts = bars.run(summarise(read_answers(answers, opened), opened))
    facts["notices"] = bars.notices
    rows = []
    for system, scores in facts["systems"].items():
        cells = [scores[question.name] for question in QUESTIONS]
        rows.append([system, *map(_score, cells), str(cells[0]["answers"])])
    title = f"Mean opinion scores, 1 to 5, of {facts['visitors']} visitors; {facts['interval']}"
    figures(title, ["system", *(question.title for question in QUESTIONS), "answers a question"], rows, facts, as_json)


def _score(cell: dict[str, float | None]) -> str:
    limits = "" if cell["low"] is None else f"  [{cell['low']:.2f}, {cell['high']:.2f}]"
    return f"{cell['mean']:.2f}{limits}"
