"""RGB frames into a video file that is whole or absent."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from hp_core.errors import PortraitError, VideoError
from hp_core.files import check_writable
from hp_core.video.colour import BT709, LIMITED, to_yuv
from hp_core.video.container import PathLike
from hp_core.video.sound import Sound, check_sound

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

    from hp_core.video.colour import Frame

# Tags a container has a field of its own for; any other needs the key-value form, which fewer players show.
_MOV_TAGS = frozenset({"title", "comment", "copyright", "artist", "album", "genre", "date"})
_NATIVE_TAGS = {".mp4": _MOV_TAGS | {"description", "synopsis", "keywords", "composer"}, ".mov": _MOV_TAGS}
_SUFFIXES = (".mp4", ".mov", ".mkv")


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
        check_output(self._path)
        if fps <= 0:
            raise VideoError(f"{path}: fps is {fps}; it must be above 0")
        if not 1 <= crf <= 51:
            raise VideoError(f"{path}: crf is {crf}; choose 1 (best quality) to 51 (smallest file)")
        if audio_start < 0:
            raise VideoError(f"{path}: audio_start is {audio_start} s; it must be 0 or more")
        if audio_from is not None:
            check_sound(Path(audio_from))  # fail before the first frame is made
        self._fps = Fraction(fps).limit_denominator(100_000)  # FFmpeg counts in 32 bits
        self._crf, self._metadata = crf, dict(metadata or {})
        self._audio_from, self._audio_start = audio_from, Fraction(audio_start)
        self._part = self._path.with_name(f".{self._path.stem[:40]}.{secrets.token_hex(4)}{self._path.suffix}")
        self._shape: tuple[int, ...] = ()
        self._frames = 0
        self._closed = False
        self._output: OutputContainer | None = None
        self._sound: Sound | None = None

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
        height, width = frame.shape[:2]
        self._picture = add_h264(output, self._fps, width, height, {"crf": str(self._crf), "preset": "medium"})
        self._converter, self._shape = VideoReformatter(), frame.shape
        if self._audio_from is not None:
            self._sound = Sound.open(Path(self._audio_from), self._audio_start, output)
        return output

    def _encode(self, frame: Frame, output: OutputContainer) -> None:
        picture = to_yuv(frame, self._converter)
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


def check_output(path: Path) -> None:
    """Raise VideoError where ``path`` cannot become a video: its ending, its folder."""
    try:
        check_writable(path)
    except PortraitError as error:
        raise VideoError(str(error)) from None
    if path.suffix.lower() not in _SUFFIXES:
        raise VideoError(f"{path}: the ending {path.suffix or '(none)'} is not one of {', '.join(_SUFFIXES)}; rename the output")


def add_h264(output: OutputContainer, fps: Fraction, width: int, height: int, options: dict[str, str]) -> VideoStream:
    """An H.264 stream for pictures of this size, an odd side one pixel longer, in the colours of `to_yuv`.

    Raises:
        PortraitError: this PyAV cannot encode H.264.
    """
    import av

    try:
        stream = output.add_stream("libx264", rate=fps, options=options)
    except av.codec.codec.UnknownCodecError as error:
        raise PortraitError("This PyAV has no H.264 encoder (libx264); install `av` from PyPI.") from error
    stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
    stream.codec_context.time_base = 1 / fps
    stream.color_range, stream.colorspace, stream.color_primaries, stream.color_trc = LIMITED, BT709, BT709, BT709
    return stream
