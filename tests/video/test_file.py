"""The written file: whole or absent, readable everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hp_core.errors import VideoError
from hp_core.video import VideoWriter, probe, read_frames
from tests.video.clips import files, grey, make_video, write


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("extra", [{}, {"provenance": "made with hp_core"}])
def test_metadata_is_readable_back(tmp_path: Path, suffix: str, extra: dict[str, str]) -> None:
    tags = {"title": "Título", "comment": "AI-generated", "description": "a portrait", "copyright": "nobody", **extra}
    path = write(tmp_path / f"out{suffix}", metadata=tags)
    with av.open(str(path)) as container:
        found = {key.lower() if suffix == ".mkv" else key: value for key, value in container.metadata.items()}
    assert tags.items() <= found.items()


def test_tags_that_are_not_utf8_are_no_obstacle(tmp_path: Path) -> None:
    path = write(tmp_path / "in.mp4", metadata={"comment": "caf?"})
    path.write_bytes(path.read_bytes().replace(b"caf?", b"caf\xe9"))
    assert probe(path).frames == 5


def test_index_comes_first(tmp_path: Path) -> None:
    data = write(tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_nothing_is_printed_and_import_is_cheap(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    list(read_frames(write(tmp_path / "out.mp4")))
    assert capfd.readouterr() == ("", "")
    code = "import sys, hp_core.video; sys.exit(bool({'av', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0


@pytest.mark.parametrize("count", [0, 1, 40])
def test_an_exception_leaves_nothing_behind(tmp_path: Path, count: int) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the old video")
    source = make_video(tmp_path / "in.mp4", list(range(3)), sound="aac")

    def interrupted() -> None:
        with VideoWriter(path, fps=Fraction(30), audio_from=source) as writer:
            for index in range(count):
                writer.write(grey(index % 20))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert files(tmp_path) == ["in.mp4", "out.mp4"]
    assert path.read_bytes() == b"the old video"


def test_a_failing_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(VideoError, match=r"out\.mp4: cannot be written .*No space left.*check the free space"):
        write(tmp_path / "out.mp4")
    assert files(tmp_path) == []


def test_no_frame_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no frame was written"):
        write(tmp_path / "out.mp4", 0)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (np.zeros((48, 66, 3), np.uint8), r"frame 1 has shape \(48, 66, 3\), the first \(48, 64, 3\)"),
        (np.zeros((48, 64, 3), np.float32), "frame 1 is .*float32"),
        (np.zeros((48, 64), np.uint8), r"frame 1 is \(48, 64\)"),
        (np.zeros((48, 64, 4), np.uint8), r"frame 1 is \(48, 64, 4\)"),
    ],
)
def test_a_frame_of_another_kind_is_an_error(tmp_path: Path, frame: np.ndarray, said: str) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", fps=Fraction(25))
    writer.write(grey(0))
    with pytest.raises(VideoError, match=said):
        writer.write(frame)
    assert files(tmp_path) == []


def test_a_closed_writer_stays_closed(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", fps=Fraction(25))
    writer.write(grey(0))
    writer.close()
    writer.close()
    with pytest.raises(VideoError, match="closed"):
        writer.write(grey(0))
    assert files(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("out.avi", {}, r"\.avi is not one of \.mp4, \.mov, \.mkv"),
        ("out", {}, r"\(none\) is not one of"),
        ("missing/out.mp4", {}, "does not exist; create it"),
        ("folder.mp4", {}, "is a folder"),
        ("out.mp4", {"fps": Fraction(0)}, "fps is 0"),
        ("out.mp4", {"crf": 0}, "crf is 0; choose 1"),
        ("out.mp4", {"audio_start": Fraction(-1)}, "audio_start is -1"),
        ("out.mp4", {"audio_from": Path("nowhere.wav")}, r"nowhere\.wav: no such file"),
    ],
)
def test_bad_options_of_the_writer(tmp_path: Path, name: str, options: dict[str, object], said: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(VideoError, match=said):
        VideoWriter(tmp_path / name, **{"fps": Fraction(25), **options})
    assert files(tmp_path) == ["folder.mp4"]


def test_a_folder_without_rights(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere")
    with pytest.raises(VideoError, match="cannot be written to; choose another output"):
        VideoWriter(folder / "out.mp4", fps=Fraction(25))
