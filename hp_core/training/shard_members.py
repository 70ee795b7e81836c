"""One training clip as the four members of a shard, and back (`hp_core.training.shards`)."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hp_core.config import FaceConfig
from hp_core.errors import PortraitError, VideoError
from hp_core.face.crop import head_crop
from hp_core.training.clips import Clip
from hp_core.video import read_frames
from hp_core.video.colour import to_yuv
from hp_core.video.write import add_h264

FORMAT = 1
MEMBERS = ("json", "crop.mp4", "motion.mp4", "track.npz")
DAMAGE = (  # what readers of JSON, npz and video raise on damaged bytes
    ValueError, TypeError, KeyError, IndexError, OSError, EOFError, ArithmeticError, MemoryError,
    RuntimeError, SyntaxError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_TAIL: dict[str, tuple[int | None, ...]] = {  # of the shapes of the arrays in the npz; the first axis is the frames
    "five_points": (5, 2),
    "crop_points": (5, 2),
    "rotation": (3,),
    "landmarks": (None, 2),
    "keypoints": (18, 3),
}
_ALWAYS = ("five_points", "crop_points")
_LABEL = "label."


def to_members(clip: Clip, facts: dict[str, Any], crf: int) -> dict[str, bytes]:
    """The content of the `MEMBERS`; ``facts`` (JSON values) are added to the JSON."""
    about = {
        "format": FORMAT,
        "key": clip.key,
        "person": clip.person,
        "fps": str(clip.fps),
        "frames": len(clip),
        "size": clip.frames.shape[1],
        "motion_size": clip.motion_crops.shape[1],
    }
    arrays = {name: getattr(clip, name) for name in _TAIL if getattr(clip, name) is not None}
    arrays |= {_LABEL + name: values for name, values in clip.labels.items()}
    track = io.BytesIO()
    floats: dict[str, Any] = {name: np.asarray(values, np.float32) for name, values in arrays.items()}
    np.savez_compressed(track, **floats)
    return {
        "json": json.dumps(about | facts, indent=1).encode(),
        "crop.mp4": _encoded(clip.frames, clip.fps, crf),
        "motion.mp4": _encoded(clip.motion_crops, clip.fps, crf),
        "track.npz": track.getvalue(),
    }


def _encoded(frames: np.ndarray, fps: Fraction, crf: int) -> bytes:
    """Frames (F, S, S, 3) uint8 as the bytes of an MP4 like those of `hp_core.video.VideoWriter`; the same frames, the same bytes."""
    import av
    from av.video.reformatter import VideoReformatter

    # Macroblock trees make pictures of 64 pixels come out different each time, and give less to what no later frame shows.
    options = {"crf": str(crf), "preset": "medium", "x264-params": "mbtree=0"}
    rate, side = Fraction(fps).limit_denominator(100_000), frames.shape[1]
    converter, file = VideoReformatter(), io.BytesIO()
    with av.open(file, "w", format="mp4", options={"movie_timescale": "90000"}) as output:
        stream = add_h264(output, rate, side, side, options)
        for number, frame in enumerate(frames):
            picture = to_yuv(frame, converter)
            picture.pts, picture.time_base = number, 1 / rate
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return file.getvalue()


def from_members(sample: Mapping[str, Any], config: FaceConfig) -> Clip:
    """A clip of its members (and `__key__`), with head crops of ``config.head_size``.

    Raises:
        DAMAGE: any of these, where a member is missing, damaged or of another shape.
    """
    missing = [member for member in MEMBERS if member not in sample]
    if missing:
        raise PortraitError(f"without {', '.join(missing)}")
    about = json.loads(sample["json"])
    if about["format"] != FORMAT:
        raise PortraitError(f"json: format {about['format']}, this version reads {FORMAT}")
    count = int(about["frames"])
    points, labels = _arrays(sample["track.npz"], count)
    frames = _decoded(sample, "crop.mp4", count, int(about["size"]))
    return Clip(
        key=sample["__key__"],
        person=str(about["person"]),
        fps=Fraction(about["fps"]),
        frames=frames,
        motion_crops=_decoded(sample, "motion.mp4", count, int(about["motion_size"])),
        head_crops=np.stack([head_crop(Image.fromarray(frame), config) for frame in frames]),
        labels=labels,
        **points,
    )


def _arrays(data: bytes, count: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The clip's points by field, and its labels."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for name in _ALWAYS:
        if name not in arrays:
            raise PortraitError(f"track.npz: without {name}")
    for name, values in arrays.items():
        wanted = (count, *_TAIL.get(name, (None,) * (values.ndim - 1)))
        fits = values.ndim == len(wanted) and all(size in (have, None) for have, size in zip(values.shape, wanted, strict=True))
        if values.dtype != np.float32 or not fits or not np.isfinite(values).all():
            raise PortraitError(f"track.npz: {name} is {values.shape} {values.dtype}, wanted finite float32 {wanted}")
    labels = {name.removeprefix(_LABEL): values for name, values in arrays.items() if name.startswith(_LABEL)}
    return {name: arrays[name] for name in _TAIL if name in arrays}, labels


def _decoded(sample: Mapping[str, Any], member: str, count: int, size: int) -> np.ndarray:
    """Frames (count, size, size, 3) uint8 of an MP4."""
    with tempfile.TemporaryDirectory(prefix="clips-") as place:
        path = Path(place) / member
        path.write_bytes(sample[member])
        try:
            frames = np.stack(list(read_frames(path)))
        except VideoError as error:
            raise PortraitError(str(error).replace(str(path), member)) from error
    even = size + size % 2  # 4:2:0 colour made an odd side even
    if frames.shape != (count, even, even, 3):
        raise PortraitError(f"{member}: {frames.shape}, wanted {(count, even, even, 3)}")
    return frames[:, :size, :size]
