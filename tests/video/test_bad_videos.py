"""Videos that cannot be read say so."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from hp_core.errors import VideoError
from hp_core.video import probe, read_frames
from tests.video.clips import make_video, tone


def bad_file(folder: Path, kind: str) -> Path:
    path = folder / "in.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a video\n" * 100)
    elif kind == "text file":
        path = folder / "in.txt"
        path.write_text("not a video\n" * 100)
    elif kind == "sound":
        path = folder / "in.mka"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("aac", rate=44100, layout="mono")
            frame = av.AudioFrame.from_ndarray(tone(44100, 0.2), format="s16", layout="mono")
            frame.sample_rate = 44100
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    elif kind == "no index":
        make_video(path, list(range(20)))
        data = path.read_bytes()
        path.write_bytes(data[: data.rindex(b"moov") - 8])
    elif kind in ("cut mp4", "cut mkv"):
        path = path.with_suffix("." + kind[-3:])
        make_video(path, list(range(20)), size=(320, 240), movflags="faststart" if kind == "cut mp4" else "")
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 3 // 4])
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", r"is empty \(0 bytes\)"),
        ("text", "is not a video"),
        ("text file", "has no video stream"),
        ("sound", r"has no video stream .*\(found: audio\)"),
        ("no index", r"cut off before its index \(no moov box\)"),
        ("cut mp4", r"is truncated: it ends after \d+ of 20 frames"),
        ("cut mkv", r"is truncated: it ends after \d+ of about 20 frames"),
    ],
)
def test_bad_videos(tmp_path: Path, kind: str, said: str) -> None:
    path = bad_file(tmp_path, kind)
    with pytest.raises(VideoError, match=said) as raised:
        probe(path)
    assert str(path) in str(raised.value)
    with pytest.raises(VideoError, match=said):
        read_frames(path)


def test_damaged_frames_are_not_passed_over(tmp_path: Path) -> None:
    path = make_video(tmp_path / "in.mp4", list(range(20)))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in packets[10:]:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"frame \d+ cannot be decoded|only \d+ of its 20 frames"):
        list(read_frames(path))
