"""Manifests: what is read from them and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hp_core.errors import OptionError, PortraitError
from hp_core.study.manifest import Entry, read_manifest

GOOD = {"portrait": "p.png", "driving": "d.mp4", "result": "r.mp4", "system": "ours"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("p.png", "d.mp4", "r.mp4", "r2.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def as_json(folder: Path, rows: Any) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def as_csv(folder: Path, text: str) -> Path:
    path = folder / "manifest.csv"
    path.write_bytes(text.encode())
    return path


def test_csv_and_json_say_the_same(folder: Path) -> None:
    text = "\ufeffsystem,portrait,driving,result,clip\r\nours,p.png,d.mp4,r.mp4,\r\nother,p.png, d.mp4,r2.mp4,\r\n"
    pair = "p.png + d.mp4"
    expected = [
        Entry(folder / "p.png", folder / "d.mp4", folder / "r.mp4", "ours", pair),
        Entry(folder / "p.png", folder / "d.mp4", folder / "r2.mp4", "other", pair),
    ]
    assert read_manifest(as_csv(folder, text)) == expected
    assert read_manifest(as_json(folder, [GOOD, GOOD | {"result": "r2.mp4", "system": "other"}])) == expected


def test_a_clip_tells_two_results_for_one_pair_apart(folder: Path) -> None:
    rows = [GOOD | {"clip": "first"}, GOOD | {"clip": "second", "result": "r2.mp4"}]
    assert [entry.clip for entry in read_manifest(as_json(folder, rows))] == ["first", "second"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no row"),
        ({"items": []}, "not a list of objects"),
        ([GOOD | {"method": "x"}], "unknown columns: 'method'"),
        ([{name: GOOD[name] for name in ("portrait", "driving", "result")}], "missing columns: 'system'"),
        ([GOOD | {"system": " "}], "row 1: system is empty"),
        ([GOOD | {"system": 7}], "row 1: system is 7; give a text"),
        ([GOOD, GOOD | {"system": "other", "result": "absent.mp4"}], r"row 2: the result .*absent\.mp4 is no file"),
        ([GOOD, GOOD | {"result": "r2.mp4"}], "rows 1 and 2 are both clip"),
        ([GOOD | {"clip": "a"}, GOOD | {"clip": "a", "system": "other", "driving": "r2.mp4"}], "call different pairs clip 'a'"),
    ],
)
def test_what_is_refused(folder: Path, rows: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        read_manifest(as_json(folder, rows))
    assert "manifest.json" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing columns: 'portrait', 'driving', 'result', 'system'"),
        ("portrait,driving,result,system\n", "no row"),
        ("portrait,driving,result,system,system\np.png,d.mp4,r.mp4,a,b\n", "repeated columns: 'system'"),
        ("portrait,driving,result,system\np.png,d.mp4,r.mp4\n", "row 1: system is empty"),
        ("portrait,driving,result,system\np.png,d.mp4,r.mp4,a,b\n", "row 1 has more cells"),
    ],
)
def test_tables_that_are_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_manifest(as_csv(folder, text))


def test_a_file_that_is_no_text(folder: Path) -> None:
    (folder / "manifest.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("manifest.csv", "absent.csv"):
        with pytest.raises(PortraitError, match="cannot be read"):
            read_manifest(folder / name)
