"""Answers read back, and what becomes of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hp_core.errors import OptionError, PortraitError
from hp_core.progress import result
from hp_core.study import summary
from hp_core.study.answers import COLUMNS, Answer, Key, read_answers, read_key
from hp_core.study.questions import QUESTIONS
from hp_core.study.summary import summarise

from ..conftest import Run

NAMES = [question.name for question in QUESTIONS]


def key_of(clips: int, systems: Sequence[str] = ("ours", "theirs")) -> Key:
    items = {f"{system}-{clip}": {"system": system} for clip in range(clips) for system in systems}
    return Key(Path("study.key.json"), "study", items)


def answers_of(visitor: str, key: Key, score: Callable[[str, str], int]) -> list[Answer]:
    """All answers of a visitor, by item and question."""
    started = "2025-01-01T12:00:00.000Z"
    return [
        Answer(visitor, item, question, score(item, question), place, 4.5, started)
        for place, item in enumerate(key.items, 1)
        for question in NAMES
    ]


def write(path: Path, answers: Sequence[Answer]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *map(astuple, answers)])
    return path


@pytest.fixture
def key() -> Key:
    return key_of(2)


@pytest.fixture
def good(key: Key) -> list[Answer]:
    return answers_of("a" * 32, key, lambda item, _: 5 if item.startswith("ours") else 2)


def test_what_is_written_is_read(key: Key, good: list[Answer], tmp_path: Path) -> None:
    other = answers_of("b" * 32, key, lambda *_: 3)
    files = [write(tmp_path / "a.csv", good), write(tmp_path / "b.csv", other)]
    assert read_answers(files, key) == good + other
    assert read_answers([write(tmp_path / "both.csv", good + other)], key) == good + other


def changed(answers: list[Answer], **values: Any) -> list[Answer]:
    """With the first answer's values replaced."""
    return [Answer(**{**dict(zip(COLUMNS, astuple(answers[0]), strict=True)), **values}), *answers[1:]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"item": "nobody"}, "line 2: item 'nobody' is not in .*another study"),
        ({"question": "beauty"}, "question 'beauty' is unknown"),
        ({"visitor": ""}, "visitor is empty"),
        ({"score": 0}, "score is '0'; it is a whole number from 1 to 5"),
        ({"score": 6}, "score is '6'"),
        ({"score": 4.5}, "score is '4.5'"),
        ({"score": "good"}, "score is 'good'"),
        ({"score": "nan"}, "score is 'nan'"),
        ({"position": 5}, "position is '5'; it is a whole number from 1 to 4"),
        ({"position": 2}, "items at two positions"),
        ({"seconds": -1}, "seconds is '-1'; it is from 0"),
        ({"seconds": "inf"}, "seconds is 'inf'"),
    ],
)
def test_values_that_are_refused(key: Key, good: list[Answer], tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        read_answers([write(tmp_path / "a.csv", changed(good, **values))], key)
    assert str(tmp_path / "a.csv") in str(caught.value)


def test_a_visitor_counts_once(key: Key, good: list[Answer], tmp_path: Path) -> None:
    files = [write(tmp_path / name, good) for name in ("a.csv", "again.csv")]
    with pytest.raises(OptionError, match=r"Visitor a{32} is in .*a\.csv and in .*again\.csv; give one"):
        read_answers(files, key)
    with pytest.raises(OptionError, match="give one of these files"):
        read_answers([files[0], files[0]], key)
    with pytest.raises(OptionError, match="has 1 answers twice"):
        read_answers([write(tmp_path / "twice.csv", good + good[-1:])], key)


def test_files_that_are_cut_off_or_changed(key: Key, good: list[Answer], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="has 11 of 12 answers; the file is cut off"):
        read_answers([write(tmp_path / "short.csv", good[:-1])], key)
    with pytest.raises(OptionError, match="no answer in it"):
        read_answers([write(tmp_path / "empty.csv", [])], key)
    path = write(tmp_path / "line.csv", good)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(OptionError, match="does not have 7 cells"):
        read_answers([path], key)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(OptionError, match="the header is a, b"):
        read_answers([tmp_path / "table.csv"], key)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(PortraitError, match="cannot be read"):
        read_answers([tmp_path / "binary.csv"], key)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"items": {}}', '{"items": {"a": 1}}'])
def test_what_is_no_key(tmp_path: Path, content: str) -> None:
    (tmp_path / "key.json").write_text(content, encoding="utf-8")
    with pytest.raises(PortraitError, match=r"key\.json"):
        read_key(tmp_path / "key.json")


def test_means_and_numbers(key: Key) -> None:
    table = {"ours": [5, 4, 3], "theirs": [1, 2, 3]}

    def score(item: str, question: str) -> int:
        system, clip = item.split("-")
        return min(5, table[system][NAMES.index(question)] + int(clip))

    facts = result(summarise([a for visitor in "xyz" for a in answers_of(visitor, key, score)], key))
    means = {system: [cells[name]["mean"] for name in NAMES] for system, cells in facts["systems"].items()}
    assert means == {"ours": [5, 4.5, 3.5], "theirs": [1.5, 2.5, 3.5]}
    cell = facts["systems"]["theirs"]["video_quality"]
    assert (cell["visitors"], cell["answers"]) == (3, 6)
    assert (cell["low"], cell["high"]) == (2.5, 2.5), "visitors who agree leave nothing open"
    assert (facts["visitors"], facts["items"], facts["answers"]) == (3, 4, 36)


def test_one_visitor_gives_no_interval(key: Key, good: list[Answer]) -> None:
    facts = result(summarise(good, key))
    assert facts["systems"]["ours"]["video_quality"]["low"] is None
    assert next(summarise(good, key)).text.endswith("one alone gives none.")


def drawn(seed: int, visitors: int, clips: int, spread: float) -> tuple[list[Answer], Key]:
    """Visitors who differ by ``spread`` in how they judge, and a little from clip to clip."""
    rng, key = np.random.default_rng(seed), key_of(clips, ("ours",))
    answers = []
    for visitor in range(visitors):
        leaning = 3 + spread * rng.standard_normal()
        answers += answers_of(str(visitor), key, lambda *_, m=leaning: int(np.clip(np.rint(m + 0.3 * rng.standard_normal()), 1, 5)))
    return answers, key


def interval(answers: list[Answer], key: Key) -> tuple[float, float]:
    cell = result(summarise(answers, key))["systems"]["ours"][NAMES[0]]
    return cell["low"], cell["high"]


def test_visitors_are_the_units_not_answers() -> None:
    """Ten answers of a kind by one visitor say no more than one."""
    one, many = key_of(1, ("ours",)), key_of(10, ("ours",))
    scores = [1, 2, 3, 3, 4, 4, 5, 5, 2, 4, 3, 5]
    intervals = []
    for key in (one, many):
        intervals.append(interval([a for i, s in enumerate(scores) for a in answers_of(str(i), key, lambda *_, s=s: s)], key))
    assert intervals[0] == pytest.approx(intervals[1])
    width = 2 * 1.96 * np.std(scores) / len(scores) ** 0.5
    assert intervals[0][1] - intervals[0][0] == pytest.approx(width, rel=0.1)


def test_intervals_hold_the_mean_of_all_visitors_about_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "DRAWS", 1000)
    held = 0
    for seed in range(200):
        low, high = interval(*drawn(seed, visitors=30, clips=3, spread=0.7))
        held += low <= 3 <= high
    assert 0.90 <= held / 200 <= 0.985


def test_command(run: Run, good: list[Answer], key: Key, tmp_path: Path) -> None:
    keys = tmp_path / "study.key.json"
    keys.write_text(json.dumps({"study": "s", "items": key.items}), encoding="utf-8")
    files = [write(tmp_path / "a.csv", good), write(tmp_path / "b.csv", answers_of("b", key, lambda *_: 4))]
    code, out, _ = run("study", "summarise", *files, "--key", keys, "--json")
    assert code == 0
    assert json.loads(out)["systems"]["ours"]["facial_movement"]["mean"] == 4.5
    code, out, err = run("study", "summarise", *files, "--key", keys)
    assert code == 0
    assert "4.50  [4.00, 5.00]" in out
    assert "2 visitors are few" in err
    code, _, err = run("study", "summarise", files[0], files[0], "--key", keys)
    assert code == 1
    assert "counts twice" in err
