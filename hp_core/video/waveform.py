"""The sound of a video as samples, for hosts that carry sound so."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hp_core.video.container import PathLike, open_media, sound_stream
from hp_core.video.sound import first_moment, reading_sound

if TYPE_CHECKING:
    import numpy as np


def read_waveform(path: PathLike, *, start: Fraction = Fraction(0), seconds: Fraction | None = None) -> tuple[np.ndarray, int] | None:
    """Samples (channels, n) float32 in -1..1 from second ``start`` of the picture on, and their rate in Hz; None without sound.

    Args:
        seconds: length; silence is added where the sound ends sooner. None takes what there is.

    Raises:
        VideoError: the file or its sound cannot be read.
    """
    import av
    import numpy as np

    path = Path(path)
    with open_media(path) as container, reading_sound(path):
        stream = sound_stream(container)
        if stream is None:
            return None
        rate, tick = stream.codec_context.sample_rate, Fraction(1, stream.codec_context.sample_rate)
        origin = start + first_moment(path)
        resampler = av.AudioResampler("fltp", stream.codec_context.layout, rate)
        parts: list[np.ndarray] = []
        begin, end = None, Fraction(0)
        for frame in container.decode(stream):
            time = end if frame.time is None else Fraction(frame.time).limit_denominator(rate)
            end = time + Fraction(frame.samples, frame.sample_rate)
            if begin is not None and seconds is not None and time > origin + seconds:
                break
            if begin is None or end < origin:  # what is over before the part begins is let go
                parts, begin = [], time
            parts += [part.to_ndarray() for part in resampler.resample(frame)]
    if not parts or begin is None:
        return None
    samples = np.concatenate(parts, axis=1)
    offset = round((origin - begin) / tick)
    samples = samples[:, offset:] if offset >= 0 else np.pad(samples, ((0, 0), (-offset, 0)))
    if seconds is not None:
        count = round(seconds / tick)
        samples = np.pad(samples[:, :count], ((0, 0), (0, max(count - samples.shape[1], 0))))
    return np.ascontiguousarray(samples, dtype=np.float32), rate


def as_audio(sound: tuple[np.ndarray, int] | None) -> dict[str, Any] | None:
    """What `read_waveform` gives as ComfyUI's AUDIO: waveform (1, channels, n) and sample_rate."""
    import torch

    return None if sound is None else {"waveform": torch.from_numpy(sound[0])[None], "sample_rate": sound[1]}


def cut_audio(audio: dict[str, Any] | None, start: Fraction, seconds: Fraction) -> dict[str, Any] | None:
    """``seconds`` of an AUDIO from second ``start`` on."""
    if audio is None:
        return None
    first, count = (round(value * audio["sample_rate"]) for value in (start, seconds))
    return audio | {"waveform": audio["waveform"][..., first : first + count]}
