"""Videos whose frames tell their number, and what is in a file."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from hp_core.video import VideoWriter

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
