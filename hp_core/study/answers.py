"""What visitors send back: their CSV files, checked against the study's key."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hp_core.errors import OptionError, PortraitError, about
from hp_core.records import BEYOND, csv_table, read_text
from hp_core.study.questions import HIGHEST, LOWEST, QUESTIONS

_QUESTIONS = tuple(question.name for question in QUESTIONS)


@dataclass(frozen=True)
class Answer:
    """One score.

    Attributes:
        visitor: random name of the visitor.
        item: which result, by its name in the key.
        question: one of `QUESTIONS`.
        score: 1..5.
        position: where the result stood in the visitor's order, from 1.
        seconds: how long it had been in view when the score was given.
        started: when the visitor began, ISO 8601.
    """

    visitor: str
    item: str
    question: str
    score: int
    position: int
    seconds: float
    started: str


COLUMNS = tuple(field.name for field in fields(Answer))


@dataclass(frozen=True)
class Key:
    """Which system made which item; the items' names are those of one study alone."""

    path: Path
    study: str
    items: dict[str, dict[str, str]]


def read_key(path: Path) -> Key:
    """The key that `make_study` wrote.

    Raises:
        PortraitError: it cannot be read or is no key.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PortraitError(f"The key {path} cannot be read ({error}); it lies beside the study's folder as FOLDER.key.json.") from error
    items = content.get("items") if isinstance(content, dict) else None
    if not isinstance(items, dict) or not items or not all(isinstance(item, dict) and "system" in item for item in items.values()):
        raise PortraitError(f"{path} is no key of a study; give the FOLDER.key.json that `hp-portrait study make` wrote.")
    return Key(path, str(content.get("study", "")), items)


def read_answers(paths: Sequence[Path], key: Key) -> list[Answer]:
    """The answers of all files; a file may hold several visitors, but a visitor is in one file.

    Raises:
        PortraitError: a file cannot be read, or is no CSV of a study.
        OptionError: a file of another study, a value out of range, a visitor in two files, an answer twice or missing.
    """
    answers: list[Answer] = []
    homes: dict[str, Path] = {}
    for path in paths:
        with about(path, OptionError):
            found = _read(path, key)
            _check_visitors(found, key)
        for visitor in dict.fromkeys(answer.visitor for answer in found):
            first = homes.setdefault(visitor, path)
            if first != path or paths.count(path) > 1:
                raise OptionError(f"Visitor {visitor} is in {first} and in {path}; give one of these files, as nobody counts twice.")
        answers += found
    return answers


def _read(path: Path, key: Key) -> list[Answer]:
    header, reader = csv_table(read_text(path, "The answers", "give the CSV that the page lets visitors download"))
    if tuple(header) != COLUMNS:
        found = ", ".join(header) or "nothing"
        raise OptionError(f"the header is {found[:200]}; a study's is {','.join(COLUMNS)}. Give the file as the page made it.")
    answers = [_answer(f"line {reader.line_num}", row, key) for row in reader]
    if not answers:
        raise OptionError("no answer in it; leave the file out.")
    return answers


def _answer(where: str, row: dict[str, Any], key: Key) -> Answer:
    if BEYOND in row or None in row.values():
        raise OptionError(f"{where} does not have {len(COLUMNS)} cells; the file was changed or cut off, ask for it again.")
    if row["item"] not in key.items:
        raise OptionError(f"{where}: item {row['item']!r} is not in {key.path}; these answers are of another study, give its own key.")
    if row["question"] not in _QUESTIONS:
        raise OptionError(f"{where}: question {row['question']!r} is unknown; the questions are {', '.join(_QUESTIONS)}.")
    if not row["visitor"]:
        raise OptionError(f"{where}: visitor is empty; ask for the file as the page made it.")
    score = _number(where, "score", row["score"], LOWEST, HIGHEST)
    position = _number(where, "position", row["position"], 1, len(key.items))
    seconds = _number(where, "seconds", row["seconds"], 0, math.inf, whole=False)
    return Answer(row["visitor"], row["item"], row["question"], int(score), int(position), seconds, row["started"])


def _number(where: str, name: str, text: str, low: float, high: float, *, whole: bool = True) -> float:
    limit = f"{'a whole number ' if whole else ''}from {low}" + (f" to {high}" if high < math.inf else "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high or value == math.inf or (whole and value != int(value)):
        raise OptionError(f"{where}: {name} is {text!r}; it is {limit}. Correct the file or leave it out.")
    return value


def _check_visitors(answers: list[Answer], key: Key) -> None:
    """Every visitor has answered everything once: the page gives no file before."""
    expected = len(key.items) * len(_QUESTIONS)
    for visitor in dict.fromkeys(answer.visitor for answer in answers):
        own = [answer for answer in answers if answer.visitor == visitor]
        distinct = {(answer.item, answer.question) for answer in own}
        if len(distinct) < len(own):
            raise OptionError(f"visitor {visitor} has {len(own) - len(distinct)} answers twice; keep the file as the page made it.")
        if len(own) < expected:
            raise OptionError(f"visitor {visitor} has {len(own)} of {expected} answers; the file is cut off, ask for it again.")
        places = {(answer.item, answer.position) for answer in own}
        if len(places) != len(key.items) or len({position for _, position in places}) != len(key.items):
            raise OptionError(f"visitor {visitor} has items at two positions, or two at one; keep the file as the page made it.")
