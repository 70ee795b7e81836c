"""What a block looks at: frames of images or of a VIDEO, and the faces in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .progress import log

if TYPE_CHECKING:
    from pathlib import Path

    from hp_core.config import FaceConfig
    from hp_core.face.analyzer import FaceAnalyzer
    from hp_core.face.likeness import Likeness
    from hp_core.video import VideoInfo

    from .networks import PortraitModel


@dataclass(frozen=True)
class Clip:
    """Frames to be read one by one, (height, width, 3) uint8, and the sound over them as ComfyUI's AUDIO, if any."""

    frames: Iterable[Any]
    total: int
    fps: Fraction
    audio: dict[str, Any] | None


def open_clip(images: Any, video: Any, *, fps: Fraction = Fraction(25), start: int, frames: int, with_sound: bool = True) -> Clip:
    """``video`` if there is one, else ``images``; ``frames`` 0 takes all from ``start`` on. A damaged sound is left out, and told.

    Raises:
        PortraitError: neither is connected, the video cannot be read, or nothing is left after ``start``.
    """
    from hp_core.checks import frames_from
    from hp_core.errors import OptionError, VideoError
    from hp_core.image import each_from_float
    from hp_core.video import read_frames, read_waveform
    from hp_core.video.waveform import as_audio, cut_audio

    source, info = _file_of(video) if video is not None else (None, None)
    sound = None
    if info is not None:
        left, rate = info.frames, info.fps
    elif video is not None:
        parts = video.get_components()
        images, rate, left, sound = parts.images, Fraction(parts.frame_rate), len(parts.images), parts.audio
    elif images is not None:
        rate, left = fps, len(images)
    else:
        raise OptionError("This block has nothing to look at. Connect images or a video.")
    total = frames_from(start, frames, left, "the clip")
    if source is not None:
        if with_sound:
            try:
                sound = as_audio(read_waveform(source, start=start / rate, seconds=total / rate))
            except VideoError as error:
                log.warning("%s. The frames are used without it.", error)
        return Clip(read_frames(source, start=start, limit=total), total, rate, sound)
    return Clip(each_from_float(images[start : start + total]), total, rate, cut_audio(sound, start / rate, total / rate))


def _file_of(video: Any) -> tuple[Path, VideoInfo] | tuple[None, None]:
    """The file behind a VIDEO and what it holds, if the video is that file as a whole: then it can be read frame by frame."""
    from pathlib import Path

    from comfy_api.latest import InputImpl

    from hp_core.video import probe

    if type(video) is not InputImpl.VideoFromFile:  # what derives from it may show something else
        return None, None
    source = video.get_stream_source()
    if hasattr(video, "get_active_trim_window"):
        window = video.get_active_trim_window()
    else:  # the source of a trimmed video is the untrimmed file, and older hosts do not tell
        window = [getattr(video, f"_VideoFromFile__{name}", 0) for name in ("start_time", "duration")]
    if not isinstance(source, str) or any(window):
        return None, None
    info = probe(source)
    # Newer hosts crop as well. ComfyUI's size is before the container's rotation.
    whole = sorted(video.get_dimensions()) == sorted((info.width, info.height))
    return (Path(source), info) if whole else (None, None)


@dataclass(frozen=True, eq=False)
class Analyzer:
    """A face analyzer that opens a session when it is first asked; crop sizes come with it, as the encoders need them."""

    name: str
    model: Path | None
    face: FaceConfig
    _sessions: dict[float, FaceAnalyzer] = field(default_factory=dict)

    def session(self, threshold: float) -> FaceAnalyzer:
        """The analyzer for this threshold."""
        from hp_core.face.analyzer import create_analyzer

        if threshold not in self._sessions:
            for other in self._sessions.values():
                other.close()
            self._sessions.clear()
            self._sessions[threshold] = create_analyzer(self.name, model=self.model, threshold=threshold)
        return self._sessions[threshold]


def likeness(picture: Any, analyzer: FaceAnalyzer, model: PortraitModel | None) -> Likeness:
    """The person in ``picture`` (1, height, width, 3), compared by the ArcFace of ``model``.

    Raises:
        PortraitError: either is not connected, the set has no ArcFace, or the picture shows no face.
    """
    from hp_core.errors import OptionError
    from hp_core.face.likeness import Likeness
    from hp_core.image import from_float

    if picture is None or model is None:
        raise OptionError("which is likeness; connect like, a picture of the person meant, and model, whose ArcFace compares.")
    identity = model.models.identity
    if identity is None:
        raise OptionError("which is likeness, and this set has no arcface.onnx. Run Download HunyuanPortrait with what = identity.")
    return Likeness.of(from_float(picture[:1])[0], analyzer, identity)
