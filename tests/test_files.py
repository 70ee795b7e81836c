"""Whole or absent."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hp_core.errors import PortraitError
from hp_core.files import make_folder, written_beside


def test_a_finished_file_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    with written_beside(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_unfinished_file_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")

    def stop_half_way() -> None:
        with written_beside(target) as temporary:
            temporary.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    def fill_up() -> None:
        with written_beside(tmp_path / "out.txt") as temporary:
            temporary.write_text("ha")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(PortraitError, match=r"out\.txt cannot be written .*No space left.*Free some space"):
        fill_up()
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PortraitError, match="cannot be made"):
        make_folder(tmp_path / "file" / "below")
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
