"""Frames, rate and colour survive a file, and the part asked for is read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hp_core.errors import VideoError
from hp_core.video import VideoInfo, VideoWriter, probe, read_frames
from hp_core.video.scan import nearest
from tests.video.clips import NTSC, files, index_of, make_video, write


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".MP4"])
@pytest.mark.parametrize("fps", [NTSC, Fraction(25), Fraction(24000, 1001)])
def test_rate_count_and_order_survive(tmp_path: Path, suffix: str, fps: Fraction) -> None:
    path = write(tmp_path / f"out{suffix}", 20, fps=fps)
    info = probe(path)
    assert info == VideoInfo(64, 48, fps, 20, 20 / fps, False, False)
    assert type(info.fps) is type(info.duration) is Fraction  # PyAV 19 counts with a type of its own
    assert [index_of(frame) for frame in read_frames(path)] == list(range(20))
    assert files(tmp_path) == [path.name]


def test_frames_are_contiguous_rgb(tmp_path: Path) -> None:
    frame = next(read_frames(write(tmp_path / "out.mp4")))
    assert frame.shape == (48, 64, 3)
    assert frame.dtype == np.uint8
    assert frame.flags["C_CONTIGUOUS"]
    assert frame.flags["WRITEABLE"]


def test_single_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mp4", 1, fps=NTSC)
    assert probe(path) == VideoInfo(64, 48, NTSC, 1, 1 / NTSC, False, False)
    assert len(list(read_frames(path))) == 1


def test_colour_is_bt709_and_tagged(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 40, 90]], np.uint8)
    frame = np.repeat(np.repeat(colours[None], 16, axis=1), 16, axis=0)
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps=Fraction(25), crf=4) as writer:
        writer.write(frame)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        assert (context.profile, context.pix_fmt) == ("High", "yuv420p")
        luma = np.frombuffer(bytes(next(container.decode(video=0)).planes[0]), np.uint8)
    np.testing.assert_allclose(luma[8:96:16], [63, 173, 32, 235, 16, 83], atol=1)
    back = next(read_frames(path))
    np.testing.assert_allclose(back[8, 8::16].astype(int), colours.astype(int), atol=3)


@pytest.mark.parametrize(("matrix", "kr", "kb"), [(1, 0.2126, 0.0722), (6, 0.299, 0.114), (2, 0.299, 0.114), (9, 0.2627, 0.0593)])
@pytest.mark.parametrize("full", [False, True])
def test_matrix_and_range_of_the_stream_are_used(tmp_path: Path, matrix: int, kr: float, kb: float, full: bool) -> None:
    rgb = np.array([200, 40, 90])
    y = rgb @ [kr, 1 - kr - kb, kb]
    offset, luma, chroma = (0, 1, 1) if full else (16, 219 / 255, 224 / 255)
    values = [offset + luma * y, 128 + chroma * (rgb[2] - y) / (2 - 2 * kb), 128 + chroma * (rgb[0] - y) / (2 - 2 * kr)]
    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(bytes([round(value)]) * plane.buffer_size)
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace = frame.colorspace = matrix
        stream.codec_context.color_range = frame.color_range = 2 if full else 1
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    np.testing.assert_allclose(next(read_frames(path))[20, 20].astype(int), rgb, atol=3)


@pytest.mark.parametrize(("height", "width"), [(31, 33), (31, 34), (32, 33), (1, 1)])
def test_odd_sizes_are_padded_by_repeating_the_edge(tmp_path: Path, height: int, width: int) -> None:
    frame = np.repeat(np.linspace(20, 220, width)[None, :, None], height, axis=0).repeat(3, axis=2).astype(np.uint8)
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps=Fraction(25), crf=4) as writer:
        writer.write(frame)
    back = next(read_frames(path))
    assert back.shape == (height + height % 2, width + width % 2, 3)
    np.testing.assert_allclose(back[:height, :width].astype(int), frame.astype(int), atol=4)
    np.testing.assert_allclose(back[-1, -1].astype(int), frame[-1, -1].astype(int), atol=4)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_rotation_of_the_container_is_applied(tmp_path: Path, degrees: int, turns: int) -> None:
    path = tmp_path / "in.mp4"
    frame = np.full((48, 64, 3), 20, np.uint8)
    frame[:16, :16] = 220
    with VideoWriter(path, fps=Fraction(25)) as writer:
        writer.write(frame)
    cos, sin = [(0, -1), (-1, 0), (0, 1)][turns - 1]
    matrix = np.array([cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = matrix
    path.write_bytes(data)
    shown = np.rot90(frame, turns)
    info = probe(path)
    assert (info.height, info.width) == shown.shape[:2]
    np.testing.assert_allclose(next(read_frames(path)).astype(int), shown.astype(int), atol=30)


# Range and rate


@pytest.mark.parametrize(("start", "limit", "expected"), [(0, 3, [0, 1, 2]), (4, None, [4, 5]), (2, 2, [2, 3]), (5, 9, [5]), (3, 0, [])])
def test_start_and_limit(tmp_path: Path, start: int, limit: int | None, expected: list[int]) -> None:
    path = write(tmp_path / "out.mp4", 6)
    assert [index_of(frame) for frame in read_frames(path, start=start, limit=limit)] == expected


@pytest.mark.parametrize(("start", "limit", "said"), [(6, None, "frame 6,.* 0 to 5"), (-1, None, "frame -1"), (0, -1, "limit is -1")])
def test_start_and_limit_out_of_range(tmp_path: Path, start: int, limit: int | None, said: str) -> None:
    path = write(tmp_path / "out.mp4", 6)
    with pytest.raises(VideoError, match=said):
        read_frames(path, start=start, limit=limit)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_is_resampled_by_nearest_timestamp(tmp_path: Path, suffix: str) -> None:
    times = [0, 100, 200, 300, 400, 500, 533, 566, 600, 633, 666, 700, 733, 766, 800, 833, 866, 900, 933, 966]  # 10, then 30 a second
    path = make_video(tmp_path / f"in{suffix}", times, Fraction(1, 1000))
    info = probe(path)
    assert info.variable_rate
    assert info.frames == 20
    assert float(info.duration) == pytest.approx(1.0, abs=0.01)
    shown = [index_of(frame) for frame in read_frames(path)]
    assert len(shown) == 20
    for position, index in enumerate(shown):
        moment = 1000 * position / info.fps
        assert abs(times[index] - moment) <= min(abs(time - moment) for time in times) + 1
    assert [index_of(frame) for frame in read_frames(path, start=7, limit=4)] == shown[7:11]


@pytest.mark.parametrize("fps", [Fraction(30), NTSC, Fraction(60000, 1001)])
def test_milliseconds_are_not_a_variable_rate(tmp_path: Path, fps: Fraction) -> None:
    path = make_video(tmp_path / "in.mkv", [round(1000 * i / fps) for i in range(25)], Fraction(1, 1000))
    info = probe(path)
    assert not info.variable_rate
    assert float(info.fps) == pytest.approx(float(fps), rel=2e-3)
    assert [index_of(frame) for frame in read_frames(path)] == list(range(25))


def test_camera_jitter_is_not_a_variable_rate(tmp_path: Path) -> None:
    jitter = np.random.default_rng(0).integers(-250, 251, 25)  # of 3000 ticks a frame
    path = make_video(tmp_path / "in.mp4", [3000 * i + int(j) + 250 for i, j in enumerate(jitter)], Fraction(1, 90000))
    assert not probe(path).variable_rate
    assert [index_of(frame) for frame in read_frames(path)] == list(range(25))


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30))
def test_every_grid_point_gets_its_nearest_frame(gaps: list[int]) -> None:
    times = [0, *np.cumsum(gaps).tolist()]
    period = (times[-1] + gaps[-1]) / len(times)
    repeats = nearest(times, period)
    shown = [index for index, repeat in enumerate(repeats) for _ in range(repeat)]
    assert len(shown) == len(times)
    for position, index in enumerate(shown):
        moment = position * period
        assert abs(times[index] - moment) == pytest.approx(min(abs(time - moment) for time in times))
