"""Open a file, find the picture and the sound in it, decode its frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hp_core.errors import VideoError

if TYPE_CHECKING:
    from av import AudioStream, VideoFrame, VideoStream
    from av.container import InputContainer

PathLike = str | os.PathLike[str]


class Ratio(Protocol):
    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


def exact(value: Ratio | None) -> Fraction:
    """A Fraction of any ratio: PyAV 19 has a type of its own, of 32 bits. None becomes 0."""
    return Fraction(value.numerator, value.denominator) if value is not None else Fraction(0)


def open_media(path: Path) -> InputContainer:
    """Open a video or sound file; raises VideoError where it cannot be read."""
    import av

    try:
        if path.is_dir():
            raise VideoError(f"{path} is a folder; name a video file inside it")
        with path.open("rb") as file:
            head = file.read(8)
        if not head:
            raise VideoError(f"{path} is empty (0 bytes); copy or download it again")
        location = os.path.abspath(path)  # FFmpeg takes what stands before a colon for a protocol
        try:
            return av.open(location)
        except UnicodeDecodeError:  # a tag that is not UTF-8, which PyAV 19 replaces by itself
            return av.open(location, metadata_errors="replace")  # type: ignore[call-overload, unused-ignore]
    except FileNotFoundError:
        raise VideoError(f"{path}: no such file; check the path") from None
    except av.error.FFmpegError as error:
        if head[4:] == b"ftyp":
            raise VideoError(f"{path} is an MP4 or MOV cut off before its index (no moov box); copy or record it again") from error
        raise VideoError(f"{path} is not a video FFmpeg can read ({error}); give an MP4, MOV, MKV or WebM file") from error
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error}); check the rights of the file") from error


def is_picture(stream: VideoStream) -> bool:
    """Whether it is a moving picture: not the cover of a song, not a codec this build cannot decode."""
    from av.stream import Disposition

    return stream.codec_context is not None and not stream.disposition & Disposition.attached_pic


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first moving picture; raises VideoError where there is none."""
    stream = next((s for s in container.streams.video if is_picture(s)), None)
    if stream is None or container.format.name == "tty":  # FFmpeg draws text files
        found = ", ".join(sorted({s.type for s in container.streams}))
        raise VideoError(f"{path} has no video stream that can be decoded (found: {found or 'nothing'}); give a video file")
    return stream


def sound_stream(container: InputContainer) -> AudioStream | None:
    """The first sound that can be decoded."""
    return next((s for s in container.streams.audio if s.codec_context is not None), None)


def pictures(path: Path, earliest: int | None) -> Iterator[VideoFrame]:
    """Every frame from the first keyframe on that is shown at timestamp `earliest` or later, in display order."""
    import av

    with open_media(path) as container:
        stream = picture_stream(container, path)
        stream.thread_type = "AUTO"
        started, count = False, 0
        try:
            for packet in container.demux(stream):
                started = started or packet.is_keyframe
                for frame in packet.decode() if started else ():
                    if is_from(frame.pts, earliest):
                        yield frame
                        count += 1
        except av.error.FFmpegError as error:
            raise VideoError(f"{path}: frame {count} cannot be decoded ({error}); the file is damaged, convert or copy it again") from error


def is_from(pts: int | None, earliest: int | None) -> bool:
    """Whether a frame is shown at `earliest` or later, as far as the two are known."""
    return pts is None or earliest is None or pts >= earliest
