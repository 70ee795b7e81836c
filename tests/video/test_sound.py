"""Sound is carried over, and read as samples."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hp_core.errors import VideoError
from hp_core.video import VideoInfo, VideoWriter, probe, read_frames, read_waveform
from hp_core.video.waveform import as_audio, cut_audio
from tests.video.clips import files, make_video, onset, sound_packets, write


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
    assert loudness(Fraction(3), Fraction(1)) == 0, "nothing but silence is left"


def test_a_part_of_a_sound_is_that_part_of_the_whole(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", list(range(30)), sound="aac", seconds=3.0, silent=0.5)
    whole = read_waveform(source)
    part = read_waveform(source, start=Fraction(3, 2), seconds=Fraction(1, 2))
    assert whole is not None
    assert part is not None
    np.testing.assert_allclose(part[0], whole[0][:, 66150 : 66150 + 22050], atol=1e-6)


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
