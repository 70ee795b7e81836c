"""Video files in and out as RGB frames, with the sound carried over from another file."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from .errors import VideoError

if TYPE_CHECKING:
    import numpy as np
    from av import AudioStream, Packet, VideoFrame, VideoStream
    from av.container import InputContainer, OutputContainer
    from av.video.reformatter import VideoReformatter
    from numpy.typing import NDArray

    PathLike = str | os.PathLike[str]
    Frame = NDArray[np.uint8]
    Stamp = tuple[int | None, int]  # timestamp and duration in ticks of the stream
    Timed = tuple[Fraction, Fraction, Packet]  # seconds it begins and ends at

    class Ratio(Protocol):
        @property
        def numerator(self) -> int: ...
        @property
        def denominator(self) -> int: ...


_COMMON_RATES = tuple(Fraction(n, d) for n, d in ((30, 1), (30000, 1001), (25, 1), (24, 1), (24000, 1001), (60, 1), (60000, 1001), (50, 1)))
_UNEVEN_CODECS = {"vp8", "libvpx", "mpeg4"}  # some of their packets hold no picture, or two

# swscale constants. PyAV before 17 converts every matrix as BT.601 unless both sides are named and differ.
_BT709, _BT601, _LIMITED, _FULL = 1, 5, 1, 2
_TO_YUV = 0x4 | 0x40000 | 0x4000  # bicubic, accurate rounding, full chroma input
_TO_RGB = 0x4 | 0x40000 | 0x2000  # bicubic, accurate rounding, full chroma output

# Tags a container has a field of its own for; any other needs the key-value form, which fewer players show.
_MOV_TAGS = frozenset({"title", "comment", "copyright", "artist", "album", "genre", "date"})
_NATIVE_TAGS = {".mp4": _MOV_TAGS | {"description", "synopsis", "keywords", "composer"}, ".mov": _MOV_TAGS}
_SUFFIXES = (".mp4", ".mov", ".mkv")

_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}


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
class _Scan:
    info: VideoInfo
    repeats: list[int]  # how often each decoded frame is yielded; all 1 at constant rate
    earliest: int | None  # timestamp of the first keyframe; what is shown before it lacks its references
    coded_size: tuple[int, int]  # width, height before rotation
    quarter_turns: int  # counterclockwise, from the decoded to the shown frame


def probe(path: PathLike) -> VideoInfo:
    """Describe a video from its packets; only the first frame is decoded, save for interlaced video and a few old codecs.

    Raises VideoError: a path that is missing, a folder, empty, not a video, without a video stream or truncated.
    """
    return _scan(Path(path)).info


def read_frames(path: PathLike, *, start: int = 0, limit: int | None = None) -> Iterator[Frame]:
    """Yield frames `start`, `start + 1`, ... (at most `limit`) as new (height, width, 3) uint8 RGB arrays, one at a time.

    At constant rate every frame comes exactly once, in display order. A video of variable rate is resampled to `VideoInfo.fps`
    by nearest timestamp, so that frame i belongs to second i / fps of the sound. The stream's colour matrix and range and the
    display rotation are applied; the pixel aspect ratio is ignored.

    Raises VideoError: at the call as `probe` does, or for `start` or `limit` out of range; while iterating, for damaged frames.
    """
    path = Path(path)
    scan = _scan(path)
    frames = scan.info.frames
    if not 0 <= start < frames:
        raise VideoError(f"{path}: start is frame {start}, but the video has frames 0 to {frames - 1}; choose one of these")
    if limit is not None and limit < 0:
        raise VideoError(f"{path}: limit is {limit} frames; it must be 0 or more, or None for all")
    stop = frames if limit is None else min(frames, start + limit)
    return _decode(path, scan, start, stop) if start < stop else iter(())


def _scan(path: Path) -> _Scan:
    import av

    with _open(path) as container:
        stream = _picture_stream(container, path)
        try:
            first, earliest, packets, shown = _read_packets(container, stream)
        except av.error.FFmpegError as error:
            raise VideoError(f"{path}: its first frame cannot be decoded ({error}); convert the file again or give another") from error
        _check_complete(path, container, stream, packets)
        if first is not None and (first.interlaced_frame or stream.codec_context.name in _UNEVEN_CODECS):
            shown = _count_decoded(path, earliest)
        if first is None or not shown:
            raise VideoError(f"{path}: none of its {packets} frames can be decoded; convert the file again or give another")
        rate, variable, repeats = _timing(stream, [pts for pts, _ in shown], shown[-1][1])
        turns = round(getattr(first, "rotation", 0) / 90) % 4
        size = first.width, first.height
        width, height = size[::-1] if turns % 2 else size
        info = VideoInfo(width, height, rate, len(shown), len(shown) / rate, _sound_stream(container) is not None, variable)
    return _Scan(info, repeats, earliest, size, turns)


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
            if not packet.is_discard and started and _is_from(packet.pts, earliest):
                shown.append((packet.pts, packet.duration or 0))
    return first, earliest, packets, sorted(shown, key=lambda stamp: stamp[0] or 0)


def _count_decoded(path: Path, earliest: int | None) -> list[Stamp]:
    with _open(path) as container:
        return [(frame.pts, 0) for frame in _pictures(path, container, earliest)]


def _is_from(pts: int | None, earliest: int | None) -> bool:
    return pts is None or earliest is None or pts >= earliest


def _timing(stream: VideoStream, times: list[int | None], last_duration: int) -> tuple[Fraction, bool, list[int]]:
    """The frame rate, whether the video is of variable rate, and how often to show each frame."""
    declared = [_exact(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
    tick, gaps = _exact(stream.time_base), len(times) - 1
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
        return rate, True, _nearest(known, float(1 / (rate * tick)))
    for rate in (*declared, *_COMMON_RATES):
        if abs(span - gaps / (rate * tick)) <= min(2, period / 2):
            return rate, False, even
    return (gaps / (span * tick)).limit_denominator(1001), False, even


def _exact(value: Ratio | None) -> Fraction:
    """A Fraction of any ratio: PyAV 19 has a type of its own, of 32 bits. None becomes 0."""
    return Fraction(value.numerator, value.denominator) if value is not None else Fraction(0)


def _nearest(times: list[int], period: float) -> list[int]:
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
    rate = _exact(stream.average_rate or stream.guessed_rate)
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


def _decode(path: Path, scan: _Scan, start: int, stop: int) -> Iterator[Frame]:
    from av.video.reformatter import VideoReformatter

    converter = VideoReformatter()
    position = 0
    with _open(path) as container:
        for frame, repeat in zip(_pictures(path, container, scan.earliest), scan.repeats, strict=False):
            for _ in range(repeat):
                if position >= start:
                    yield _to_rgb(frame, converter, scan)
                position += 1
                if position == stop:
                    return
    raise VideoError(f"{path}: only {position} of its {scan.info.frames} frames can be decoded; the file is damaged, convert it again")


def _pictures(path: Path, container: InputContainer, earliest: int | None) -> Iterator[VideoFrame]:
    """Every frame from the first keyframe on, in display order."""
    import av

    stream = _picture_stream(container, path)
    stream.thread_type = "AUTO"
    started, count = False, 0
    try:
        for packet in container.demux(stream):
            started = started or packet.is_keyframe
            for frame in packet.decode() if started else ():
                if _is_from(frame.pts, earliest):
                    yield frame
                    count += 1
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: frame {count} cannot be decoded ({error}); the file is damaged, convert or copy it again") from error


def _to_rgb(frame: VideoFrame, converter: VideoReformatter, scan: _Scan) -> Frame:
    import numpy as np

    full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    width, height = scan.coded_size  # some recordings change size on the way
    rgb = converter.reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=frame.colorspace,
        dst_colorspace=_BT601 if frame.colorspace == _BT709 else _BT709,
        src_color_range=_FULL if full else _LIMITED,
        dst_color_range=_FULL,
        interpolation=_TO_RGB,
    ).to_ndarray()
    return np.ascontiguousarray(np.rot90(cast("Frame", rgb), scan.quarter_turns))


def _open(path: Path) -> InputContainer:
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


def _is_picture(stream: VideoStream) -> bool:
    """Whether it is a moving picture: not the cover of a song, not a codec this build cannot decode."""
    from av.stream import Disposition

    return stream.codec_context is not None and not stream.disposition & Disposition.attached_pic


def _picture_stream(container: InputContainer, path: Path) -> VideoStream:
    stream = next((s for s in container.streams.video if _is_picture(s)), None)
    if stream is None or container.format.name == "tty":  # FFmpeg draws text files
        found = ", ".join(sorted({s.type for s in container.streams}))
        raise VideoError(f"{path} has no video stream that can be decoded (found: {found or 'nothing'}); give a video file")
    return stream


def _sound_stream(container: InputContainer) -> AudioStream | None:
    return next((s for s in container.streams.audio if s.codec_context is not None), None)


class VideoWriter:
    """Write frames as an H.264 video (yuv420p, BT.709, index in front) that browsers play; use as a context manager.

    path: ends in .mp4, .mov or .mkv. The video grows under a hidden temporary name in the same folder and replaces `path` only
        when it is complete; after an exception, or without any frame, nothing is left behind and an old `path` is untouched.
    fps: frames per second > 0, kept exactly (30000/1001 stays so).
    audio_from: file whose sound is added from `audio_start` seconds on (counted from its first picture, if it has any), cut to
        the duration of the video. AAC and MP3 are copied, the rest becomes AAC at 192 kbit/s. A source without sound adds none.
    metadata: container tags such as title or comment. A tag of any name survives, except `encoder`, which the muxer sets; mkv
        turns names into capitals.
    crf: x264 quality, 1 (best) to 51.

    Frames of odd width or height are padded by one column or row that repeats the edge: 4:2:0 colour needs even sizes.

    Raises VideoError: for an option out of range, an unusable `path` or `audio_from`, a frame of another type or shape than the
    first, a failure to write, and on closing without a frame.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        fps: Fraction,
        audio_from: Path | None = None,
        audio_start: Fraction = Fraction(0),
        metadata: Mapping[str, str] | None = None,
        crf: int = 18,
    ) -> None:
        self._path = Path(path)
        _check_output(self._path)
        if fps <= 0:
            raise VideoError(f"{path}: fps is {fps}; it must be above 0")
        if not 1 <= crf <= 51:
            raise VideoError(f"{path}: crf is {crf}; choose 1 (best quality) to 51 (smallest file)")
        if audio_start < 0:
            raise VideoError(f"{path}: audio_start is {audio_start} s; it must be 0 or more")
        if audio_from is not None:
            _open(Path(audio_from)).close()  # fail before the first frame is made
        self._fps = Fraction(fps).limit_denominator(100_000)  # FFmpeg counts in 32 bits
        self._crf, self._metadata = crf, dict(metadata or {})
        self._audio_from, self._audio_start = audio_from, Fraction(audio_start)
        self._part = self._path.with_name(f".{self._path.stem[:40]}.{secrets.token_hex(4)}{self._path.suffix}")
        self._shape: tuple[int, ...] = ()
        self._frames = 0
        self._closed = False
        self._output: OutputContainer | None = None
        self._sound: _Sound | None = None

    def write(self, frame: Frame) -> None:
        """Append one (height, width, 3) uint8 RGB frame; the first one fixes the size."""
        if self._closed:
            raise VideoError(f"{self._path}: the video is closed; open a new VideoWriter to write more frames")
        with self._all_or_nothing():
            self._check_frame(frame)
            self._encode(frame, self._output or self._start(frame))

    def close(self) -> None:
        """Finish the file and move it to `path`; does nothing when already closed."""
        if self._closed:
            return
        with self._all_or_nothing():
            if self._output is None:
                raise VideoError(f"{self._path}: no frame was written, so there is no video; write at least one before closing")
            self._output.mux(self._picture.encode(None))
            if self._sound is not None:
                self._sound.finish(self._frames / self._fps)
            self._output.close()
            os.replace(self._part, self._path)
            self._closed = True

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()

    def _check_frame(self, frame: Frame) -> None:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != "uint8" or 0 in frame.shape:
            found = f"{frame.shape} {frame.dtype}"
            raise VideoError(f"{self._path}: frame {self._frames} is {found}; give a (height, width, 3) uint8 RGB array")
        if frame.shape != (self._shape or frame.shape):
            raise VideoError(f"{self._path}: frame {self._frames} has shape {frame.shape}, the first {self._shape}; resize it to match")

    def _start(self, frame: Frame) -> OutputContainer:
        import av
        from av.video.reformatter import VideoReformatter

        suffix = self._path.suffix.lower()
        options: dict[str, str] = {}
        if suffix != ".mkv":
            key_value = "" if set(self._metadata) <= _NATIVE_TAGS[suffix] else "+use_metadata_tags"
            # The default clock of 1/1000 s would cut an edit list, and with it the last frame, short.
            options |= {"movflags": "+faststart" + key_value, "movie_timescale": "90000"}
        self._output = output = av.open(os.path.abspath(self._part), "w", options=options)
        output.metadata.update(self._metadata)
        try:
            picture = output.add_stream("libx264", rate=self._fps, options={"crf": str(self._crf), "preset": "medium"})
        except av.codec.codec.UnknownCodecError as error:
            raise VideoError(f"{self._path}: this PyAV has no H.264 encoder (libx264); install `av` from PyPI") from error
        height, width = frame.shape[:2]
        picture.width, picture.height, picture.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        picture.codec_context.time_base = 1 / self._fps
        picture.color_range, picture.colorspace, picture.color_primaries, picture.color_trc = _LIMITED, _BT709, _BT709, _BT709
        self._picture, self._converter, self._shape = picture, VideoReformatter(), frame.shape
        if self._audio_from is not None:
            self._sound = _Sound.open(Path(self._audio_from), self._audio_start, output)
        return output

    def _encode(self, frame: Frame, output: OutputContainer) -> None:
        import av
        import numpy as np

        height, width = frame.shape[:2]
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = self._converter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24"),
            format="yuv420p",
            src_colorspace=_BT601,
            dst_colorspace=_BT709,
            src_color_range=_FULL,
            dst_color_range=_LIMITED,
            interpolation=_TO_YUV,
        )
        picture.pts, picture.time_base = self._frames, 1 / self._fps
        output.mux(self._picture.encode(picture))
        self._frames += 1
        if self._sound is not None:  # alongside the picture, so that the file is interleaved
            self._sound.advance(self._frames / self._fps)

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        import av

        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            self._discard()
            raise VideoError(f"{self._path}: cannot be written ({error}); check the free space and rights of its folder") from error
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        import av

        if self._closed:
            return
        self._closed = True
        if self._sound is not None:
            self._sound.close()
        if self._output is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError):
                self._output.close()
        self._part.unlink(missing_ok=True)


def _check_output(path: Path) -> None:
    if path.suffix.lower() not in _SUFFIXES:
        raise VideoError(f"{path}: the ending {path.suffix or '(none)'} is not one of {', '.join(_SUFFIXES)}; rename the output")
    if path.is_dir():
        raise VideoError(f"{path} is a folder; name a video file inside it")
    if not path.parent.is_dir():
        raise VideoError(f"{path}: its folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise VideoError(f"{path}: its folder {path.parent} cannot be written to; choose another folder")


class _Sound:
    """The sound of a file from a moment on, muxed packet by packet as the picture advances; that moment becomes second 0."""

    @classmethod
    def open(cls, path: Path, start: Fraction, output: OutputContainer) -> _Sound | None:
        """None when the file has nothing to be heard from second `start` on."""
        with _open(path) as container, _reading_sound(path):
            stream = _sound_stream(container)
            if stream is None:
                return None
            origin = start + _first_moment(path)
            ends = (_exact(p.time_base) * (p.pts + (p.duration or 0)) for p in container.demux(stream) if p.pts is not None)
            audible = any(end > origin for end in ends)
        return cls(path, origin, output) if audible else None

    def __init__(self, path: Path, origin: Fraction, output: OutputContainer) -> None:
        self._path, self._origin, self._output, self._container = path, origin, output, _open(path)
        self._stream = stream = cast("AudioStream", _sound_stream(self._container))
        source = stream.codec_context
        self._copied = source.name in {"aac", "mp3", "mp3float"}
        if self._copied:
            self._rate = source.sample_rate
            self._target = output.add_stream_from_template(stream)
        else:
            self._rate = source.sample_rate if source.sample_rate in _AAC_RATES else 48000
            self._layout = "mono" if source.layout.nb_channels == 1 else "stereo"
            self._target = output.add_stream("aac", rate=self._rate, layout=self._layout, bit_rate=192_000)
        self._packets = self._timed_packets()
        self._next = next(self._packets, None)

    def advance(self, until: Fraction) -> None:
        """Mux what ends by second `until`."""
        while self._next is not None and self._next[1] <= until:
            self._mux(*self._next)
            self._next = next(self._packets, None)

    def finish(self, until: Fraction) -> None:
        """Mux the rest up to second `until`, shortening the packet that goes beyond."""
        self.advance(until)
        if self._next is not None and self._next[0] < until:
            self._mux(self._next[0], until, self._next[2])
        self.close()

    def close(self) -> None:
        self._next = None
        self._container.close()

    def _mux(self, begin: Fraction, end: Fraction, packet: Packet) -> None:
        packet.stream = self._target
        packet.time_base = Fraction(1, self._rate)
        packet.pts = packet.dts = round(begin * self._rate)
        packet.duration = max(1, round((end - begin) * self._rate))
        self._output.mux(packet)

    def _timed_packets(self) -> Iterator[Timed]:
        """Start one packet before second 0, unheard: a decoder needs it to settle."""
        samples = Fraction(self._stream.codec_context.frame_size or 1024, self._rate)
        end: Fraction | None = None
        early: Timed | None = None
        with _reading_sound(self._path):
            for packet in self._container.demux(self._stream) if self._copied else self._encoded():
                if packet.pts is None or not packet.size:
                    continue
                tick = _exact(packet.time_base)
                begin, length = packet.pts * tick - self._origin, (packet.duration or 0) * tick
                # Some containers round to milliseconds; the packets of a steady stream follow each other without a gap.
                begin = end if end is not None and abs(begin - end) <= 2 * tick else begin
                end = begin + (samples if not length or abs(length - samples) <= 2 * tick else length)
                if end <= 0:
                    early = (begin, end, packet)
                    continue
                if early is not None:
                    yield early
                    early = None
                yield begin, end, packet

    def _encoded(self) -> Iterator[Packet]:
        import av

        resampler = av.AudioResampler("fltp", self._layout, self._rate)
        for frame in chain(self._container.decode(self._stream), (None,)):
            for part in resampler.resample(frame):
                yield from self._target.encode(part)
        yield from self._target.encode(None)


def _first_moment(path: Path) -> Fraction:
    """The second of the container's clock at which frame 0 is shown, or without any picture, the sound starts."""
    with _open(path) as container:
        streams = [*filter(_is_picture, container.streams.video), *container.streams.audio]
        keyframe = next((p.pts for p in container.demux(streams[0]) if p.is_keyframe and p.pts is not None), 0)
        return max(streams[0].start_time or 0, keyframe) * _exact(streams[0].time_base)


@contextlib.contextmanager
def _reading_sound(path: Path) -> Iterator[None]:
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: its sound cannot be read ({error}); convert the file again, or leave the sound out") from error
