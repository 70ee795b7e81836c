"""What a video holds, from its packets: size, frame rate, frames to show, and whether any are missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hp_core.errors import VideoError
from hp_core.video.container import PathLike, exact, is_from, open_media, picture_stream, pictures, sound_stream

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

    Stamp = tuple[int | None, int]  # timestamp and duration in ticks of the stream

_COMMON_RATES = tuple(Fraction(n, d) for n, d in ((30, 1), (30000, 1001), (25, 1), (24, 1), (24000, 1001), (60, 1), (60000, 1001), (50, 1)))
_UNEVEN_CODECS = {"vp8", "libvpx", "mpeg4"}  # some of their packets hold no picture, or two


@dataclass(frozen=True)
class VideoInfo:
    """What a video holds."""

    width: int  # pixels, after the rotation the container asks for
    height: int
    fps: Fraction  # average frame rate
    frames: int  # frames `read_frames` yields
    duration: Fraction  # seconds, frames / fps
    has_audio: bool
    variable_rate: bool  # timestamps are irregular: `read_frames` resamples to the constant `fps`


@dataclass(frozen=True)
class Scan:
    """A video with what decoding it takes."""

    info: VideoInfo
    repeats: list[int]  # how often each decoded frame is yielded; all 1 at constant rate
    earliest: int | None  # timestamp of the first keyframe; what is shown before it lacks its references
    coded_size: tuple[int, int]  # width, height before rotation
    quarter_turns: int  # counterclockwise, from the decoded to the shown frame


def probe(path: PathLike) -> VideoInfo:
    """Describe a video from its packets; only the first frame is decoded, save for interlaced video and a few old codecs.

    Raises VideoError: a path that is missing, a folder, empty, not a video, without a video stream or truncated.
    """
    return examine(Path(path)).info


def examine(path: Path) -> Scan:
    """Read the packets of a video; raises VideoError as `probe` does."""
    import av

    with open_media(path) as container:
        stream = picture_stream(container, path)
        try:
            first, earliest, packets, shown = _read_packets(container, stream)
        except av.error.FFmpegError as error:
            raise VideoError(f"{path}: its first frame cannot be decoded ({error}); convert the file again or give another") from error
        _check_complete(path, container, stream, packets)
        if first is not None and (first.interlaced_frame or stream.codec_context.name in _UNEVEN_CODECS):
            shown = [(frame.pts, 0) for frame in pictures(path, earliest)]
        if first is None or not shown:
            raise VideoError(f"{path}: none of its {packets} frames can be decoded; convert the file again or give another")
        rate, variable, repeats = _timing(stream, [pts for pts, _ in shown], shown[-1][1])
        turns = round(getattr(first, "rotation", 0) / 90) % 4
        size = first.width, first.height
        width, height = size[::-1] if turns % 2 else size
        info = VideoInfo(width, height, rate, len(shown), len(shown) / rate, sound_stream(container) is not None, variable)
    return Scan(info, repeats, earliest, size, turns)


def _read_packets(container: InputContainer, stream: VideoStream) -> tuple[VideoFrame | None, int | None, int, list[Stamp]]:
    """The first frame, the timestamp of the first keyframe, the number of packets, and the stamps of the frames they show."""
    first, earliest, started, packets = None, None, False, 0
    shown: list[Stamp] = []
    for packet in container.demux(stream):
        if packet.is_keyframe and not started:
            started, earliest = True, packet.pts
        if first is None and started:
            first = next(iter(packet.decode()), None)
        if packet.size:
            packets += 1
            if not packet.is_discard and started and is_from(packet.pts, earliest):
                shown.append((packet.pts, packet.duration or 0))
    return first, earliest, packets, sorted(shown, key=lambda stamp: stamp[0] or 0)


def _timing(stream: VideoStream, times: list[int | None], last_duration: int) -> tuple[Fraction, bool, list[int]]:
    """The frame rate, whether the video is of variable rate, and how often to show each frame."""
    declared = [exact(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
    tick, gaps = exact(stream.time_base), len(times) - 1
    known = [time for time in times if time is not None]
    even = [1] * len(times)
    if len(known) < len(times) or gaps < 1 or known[0] == known[-1]:
        return declared[0] if declared else Fraction(25), False, even
    span = known[-1] - known[0]
    period = span / gaps
    # Up to a quarter of a frame off the even grid (or rounded to the container's clock), nobody can see or hear the difference.
    if max(abs(time - known[0] - i * period) for i, time in enumerate(known)) > max(period / 4, 1.5):
        median = sorted(b - a for a, b in pairwise(known))[gaps // 2]
        rate = (len(known) / ((span + max(last_duration, median)) * tick)).limit_denominator(1001)
        return rate, True, nearest(known, float(1 / (rate * tick)))
    for rate in (*declared, *_COMMON_RATES):
        if abs(span - gaps / (rate * tick)) <= min(2, period / 2):
            return rate, False, even
    return (gaps / (span * tick)).limit_denominator(1001), False, even


def nearest(times: list[int], period: float) -> list[int]:
    """How often each frame comes nearest to a point of the even grid; as many points as frames."""
    repeats = [0] * len(times)
    source = 0
    for i in range(len(times)):
        moment = times[0] + i * period
        while source + 1 < len(times) and abs(times[source + 1] - moment) <= abs(times[source] - moment):
            source += 1
        repeats[source] += 1
    return repeats


def _check_complete(path: Path, container: InputContainer, stream: VideoStream, packets: int) -> None:
    """Raise VideoError when the file is shorter than its own headers say and frames are missing for it."""
    if not {"mov", "matroska"} & set(container.format.name.split(",")):
        return
    size, announced = path.stat().st_size, _announced_size(path)
    rate = exact(stream.average_rate or stream.guessed_rate)
    promised = stream.frames or round((container.duration or 0) * rate / 1_000_000)
    if size < announced and packets < promised:
        found = f"it ends after {packets} of {'' if stream.frames else 'about '}{promised} frames ({size} of {announced} bytes)"
        raise VideoError(f"{path} is truncated: {found}; copy or download it again")


def _announced_size(path: Path) -> int:
    """Bytes that the top-level boxes of an MP4 or MOV, or the segment of a Matroska file, claim; 0 when they do not tell."""
    end = 0
    with path.open("rb") as file:
        head = file.read(8)
        if head[:4] == b"\x1aE\xdf\xa3":
            file.seek(4)
            file.seek(_ebml_size(file) + 4, os.SEEK_CUR)  # past the header and the id of the segment
            length = _ebml_size(file)
            return file.tell() + length if length else 0
        while len(head) == 8 and head[4:].isalnum():
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(file.read(8), "big")
            if length < 8:  # 0: up to the end of the file
                return 0
            end += length
            file.seek(end)
            head = file.read(8)
    return end


def _ebml_size(file: BinaryIO) -> int:
    """The variable-length size at the file's position; 0 for "unknown"."""
    first = file.read(1)[0]
    length = 9 - first.bit_length()
    value = int.from_bytes(bytes([first & (0xFF >> length)]) + file.read(length - 1), "big")
    return 0 if value == (1 << 7 * length) - 1 else value
