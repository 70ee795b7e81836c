"""The sound of one file into another: AAC and MP3 as they are, anything else as AAC."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hp_core.errors import VideoError
from hp_core.video.container import exact, is_picture, open_media, sound_stream

if TYPE_CHECKING:
    from av import AudioStream, Packet
    from av.container import OutputContainer

    Timed = tuple[Fraction, Fraction, Packet]  # seconds it begins and ends at

_COPIED = {"aac", "mp3", "mp3float"}  # codecs that MP4 takes and browsers play
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}


class Sound:
    """The sound of a file from a moment on, muxed packet by packet as the picture advances; that moment becomes second 0."""

    @classmethod
    def open(cls, path: Path, start: Fraction, output: OutputContainer) -> Sound | None:
        """None when the file has nothing to be heard from second `start` on."""
        with open_media(path) as container, reading_sound(path):
            stream = sound_stream(container)
            if stream is None:
                return None
            origin = start + first_moment(path)
            ends = (exact(p.time_base) * (p.pts + (p.duration or 0)) for p in container.demux(stream) if p.pts is not None)
            audible = any(end > origin for end in ends)
        return cls(path, origin, output) if audible else None

    def __init__(self, path: Path, origin: Fraction, output: OutputContainer) -> None:
        self._path, self._origin, self._output, self._container = path, origin, output, open_media(path)
        self._stream = stream = cast("AudioStream", sound_stream(self._container))
        source = stream.codec_context
        self._copied = source.name in _COPIED
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
        with reading_sound(self._path):
            for packet in self._container.demux(self._stream) if self._copied else self._encoded():
                if packet.pts is None or not packet.size:
                    continue
                tick = exact(packet.time_base)
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


def check_sound(path: Path) -> None:
    """Decode the sound of ``path`` that will have to be encoded anew; raises VideoError where it is damaged."""
    with open_media(path) as container, reading_sound(path):
        stream = sound_stream(container)
        if stream is not None and stream.codec_context.name not in _COPIED:
            for _ in container.decode(stream):
                pass


def first_moment(path: Path) -> Fraction:
    """The second of the container's clock at which frame 0 is shown, or without any picture, the sound starts."""
    with open_media(path) as container:
        streams = [*filter(is_picture, container.streams.video), *container.streams.audio]
        keyframe = next((p.pts for p in container.demux(streams[0]) if p.is_keyframe and p.pts is not None), 0)
        return max(streams[0].start_time or 0, keyframe) * exact(streams[0].time_base)


@contextlib.contextmanager
def reading_sound(path: Path) -> Iterator[None]:
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: its sound cannot be read ({error}); convert the file again, or leave the sound out") from error
