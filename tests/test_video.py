"""Reading, probing and writing video: exact frames, frame rate, colour, sound, and every bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hp_core.errors import VideoError
from hp_core.video import VideoInfo, VideoWriter, probe, read_frames, read_waveform
from hp_core.video.scan import nearest
from hp_core.video.waveform import as_audio, cut_audio

NTSC = Fraction(30000, 1001)
STEP = 8  # grey levels between the frames of a test video


def grey(index: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), 16 + STEP * index, np.uint8)


def index_of(frame: np.ndarray) -> int:
    return round((float(frame.mean()) - 16) / STEP)


def tone(rate: int, seconds: float, silent: float = 0.0, channels: int = 1) -> np.ndarray:
    time = np.arange(int(rate * seconds)) / rate
    wave = np.where(time < silent, 0, 0.5 * np.sin(2 * np.pi * 440 * time))
    return np.tile((wave * 32767).astype(np.int16)[:, None], (1, channels)).reshape(1, -1)


def make_video(
    path: Path,
    times: list[int],
    time_base: Fraction = Fraction(1, 30),
    sound: str | None = None,
    *,
    silent: float = 0.0,
    seconds: float = 1.0,
    size: tuple[int, int] = (64, 48),
    movflags: str = "",
) -> Path:
    """A video whose frame i is grey level 16 + 8 i shown at times[i], with a sine tone of codec `sound` that starts after `silent`."""
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as output:
        picture = output.add_stream("libx264", rate=round(1 / time_base), options={"crf": "10", "preset": "ultrafast", "bf": "2"})
        picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
        picture.codec_context.time_base = time_base
        voice = output.add_stream(sound, rate=44100, layout="mono") if sound else None
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(grey(index, size), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = time, time_base
            output.mux(picture.encode(frame))
        output.mux(picture.encode(None))
        if voice is not None:
            frame = av.AudioFrame.from_ndarray(tone(44100, seconds, silent), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 44100, 0
            output.mux(voice.encode(frame))
            output.mux(voice.encode(None))
    return path


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def onset(path: Path) -> float:
    """Seconds from the first picture to the moment the tone starts."""
    with av.open(str(path)) as container:
        origin = container.streams.video[0].start_time * container.streams.video[0].time_base
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0].astype(np.float32)) > 0.05)
            if loud.size:
                return float(frame.pts * frame.time_base - origin) + loud[0] / frame.sample_rate
    raise AssertionError("silent")


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def write(path: Path, count: int = 5, **options: object) -> Path:
    with VideoWriter(path, **{"fps": Fraction(25), **options}) as writer:
        for index in range(count):
            writer.write(grey(index))
    return path


# Round trip


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


# Sound


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_compressed_sound_is_copied(tmp_path: Path, codec: str, suffix: str) -> None:
    source = make_video(tmp_path / "in.mp4", list(range(30)), sound=codec, seconds=1.5, silent=0.5)
    path = write(tmp_path / f"out{suffix}", 30, fps=Fraction(30), audio_from=source)
    packets = sound_packets(path)
    original = sound_packets(source)
    assert any(original[skipped:][: len(packets)] == packets for skipped in range(3))
    assert 36 <= len(packets) <= 46
    assert probe(path).has_audio
    with av.open(str(path)) as container:
        assert container.duration / 1e6 == pytest.approx(1.0, abs=0.06 if suffix == ".mkv" else 0.002)
    assert onset(path) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("codec", "source"), [("pcm_s16le", "in.mov"), ("flac", "in.mkv")])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_other_sound_becomes_aac(tmp_path: Path, codec: str, source: str, suffix: str) -> None:
    origin = make_video(tmp_path / source, list(range(30)), sound=codec, seconds=1.5, silent=0.5)
    path = write(tmp_path / f"out{suffix}", 30, fps=Fraction(30), audio_from=origin)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        assert container.duration / 1e6 == pytest.approx(1.0, abs=0.06 if suffix == ".mkv" else 0.002)
    assert onset(path) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_starts_where_asked(tmp_path: Path, codec: str, suffix: str) -> None:
    source = make_video(tmp_path / "in.mov", list(range(30)), sound=codec, seconds=1.0, silent=0.7)
    path = write(tmp_path / f"out{suffix}", 15, fps=Fraction(30), audio_from=source, audio_start=Fraction(13, 30))
    assert onset(path) == pytest.approx(0.7 - 13 / 30, abs=0.03)


def test_damaged_sound_is_refused_before_the_first_frame(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", list(range(30)), sound="flac")
    payload = sound_packets(source)[len(sound_packets(source)) // 2]
    content = source.read_bytes()
    at = content.index(payload)
    source.write_bytes(content[:at] + bytes(len(payload)) + content[at + len(payload) :])
    with pytest.raises(VideoError, match=r"in\.mkv: its sound cannot be read"):
        VideoWriter(tmp_path / "out.mp4", fps=Fraction(25), audio_from=source)
    assert files(tmp_path) == ["in.mkv"]


def test_sound_shorter_than_the_video(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", list(range(30)), sound="aac", seconds=0.5)
    path = write(tmp_path / "out.mp4", 30, fps=Fraction(30), audio_from=source)
    assert probe(path).frames == 30
    assert 20 <= len(sound_packets(path)) <= 24


def test_source_without_sound_or_past_its_end_gives_none(tmp_path: Path) -> None:
    silent = make_video(tmp_path / "silent.mp4", [0, 1])
    short = make_video(tmp_path / "short.mp4", [0, 1], sound="aac", seconds=0.1)
    assert not probe(write(tmp_path / "a.mp4", audio_from=silent)).has_audio
    assert not probe(write(tmp_path / "b.mp4", audio_from=short, audio_start=Fraction(5))).has_audio


def test_output_may_replace_its_own_source(tmp_path: Path) -> None:
    path = make_video(tmp_path / "in.mp4", list(range(5)), sound="aac")
    write(path, 5, audio_from=path)
    assert probe(path).has_audio
    assert files(tmp_path) == ["in.mp4"]


def test_driving_video(driving_video: Path, tmp_path: Path) -> None:
    info = probe(driving_video)
    assert info == VideoInfo(512, 512, Fraction(30), 120, Fraction(4), True, False)
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps=info.fps, audio_from=driving_video) as writer:
        for frame in read_frames(driving_video, limit=6):
            writer.write(frame[::4, ::4])
    assert probe(path) == VideoInfo(128, 128, Fraction(30), 6, Fraction(1, 5), True, False)
    assert set(sound_packets(path)) <= set(sound_packets(driving_video))


# The file


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


# Bad videos


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


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_as_samples_begins_where_the_picture_does(tmp_path: Path, codec: str) -> None:
    source = make_video(tmp_path / ("in.mp4" if codec == "aac" else "in.mov"), list(range(30)), sound=codec, seconds=1.0, silent=0.5)

    def loudness(start: Fraction, seconds: Fraction) -> float:
        found = read_waveform(source, start=start, seconds=seconds)
        assert found is not None
        samples, rate = found
        assert (rate, samples.shape, samples.dtype) == (44100, (1, round(44100 * seconds)), np.float32)
        return float(np.sqrt((samples**2).mean()))

    assert loudness(Fraction(0), Fraction(2, 5)) < 0.01
    assert loudness(Fraction(3, 5), Fraction(3, 10)) == pytest.approx(0.5 / 2**0.5, rel=0.05)
    whole, twice = loudness(Fraction(0), Fraction(1)), loudness(Fraction(0), Fraction(2))
    assert twice == pytest.approx(whole / 2**0.5, rel=0.02), "silence follows"


def test_a_silent_video_has_no_samples(tmp_path: Path) -> None:
    assert read_waveform(make_video(tmp_path / "in.mp4", [0, 1, 2])) is None


def test_sound_of_a_host_is_cut_like_the_frames() -> None:
    audio = as_audio((np.arange(100, dtype=np.float32)[None], 10))
    assert audio is not None
    cut = cut_audio(audio, Fraction(2), Fraction(3))
    assert cut is not None
    assert cut["waveform"].shape == (1, 1, 30)
    assert float(cut["waveform"][0, 0, 0]) == 20
    assert as_audio(None) is None
    assert cut_audio(None, Fraction(0), Fraction(1)) is None
