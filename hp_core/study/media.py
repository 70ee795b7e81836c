"""The study's media: files that every browser shows and that say nothing of where they come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hp_core.errors import VideoError
from hp_core.video import VideoWriter, probe, read_frames
from hp_core.video.container import open_media, picture_stream
from hp_core.video.scan import examine

PORTRAIT_SIDE = 1024  # pixels; the page never shows more of it
CRF = 10  # x264: what is re-encoded is judged for its quality, so nothing of it may be lost to the eye


def name_of(path: Path, secret: bytes, suffix: str) -> str:
    """A name from the content alone; keyed, so that nobody who has the file can look it up by its hash."""
    digest = hashlib.blake2b(key=secret, digest_size=12)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() + suffix


def store_portrait(path: Path, folder: Path, secret: bytes) -> str:
    """Write the picture as JPEG, at most 1024 pixels a side, without EXIF; its name.

    Raises:
        ImageError: it is no picture, or too small.
    """
    from PIL import Image

    from hp_core.image import load_image

    name = name_of(path, secret, ".jpg")
    if not (folder / name).exists():
        image = Image.fromarray(load_image(path))
        image.thumbnail((PORTRAIT_SIDE, PORTRAIT_SIDE))
        image.save(folder / name, quality=92)
    return name


def plays_in_browsers(path: Path) -> bool:
    """Whether it is H.264 of 8 bits in 4:2:0 in an MP4 (or MOV), upright and progressive."""
    with open_media(path) as container:
        stream = picture_stream(container, path)
        codec = stream.codec_context
        if "mp4" not in container.format.name.split(",") or codec.name != "h264" or codec.pix_fmt not in ("yuv420p", "yuvj420p"):
            return False
        first = next(container.decode(stream), None)
    return first is not None and not first.interlaced_frame and examine(path).quarter_turns == 0


def store_video(path: Path, folder: Path, secret: bytes) -> tuple[str, bool]:
    """Write the picture of a video as MP4, without sound and tags; its name, and whether it was re-encoded.

    What browsers play keeps its coded frames bit by bit. Sound goes: one system that has it and one that has not would be told apart.

    Raises:
        VideoError: the video cannot be read or is damaged.
    """
    name = name_of(path, secret, ".mp4")
    target = folder / name
    copied = plays_in_browsers(path) and (target.exists() or _copy(path, target))
    if not copied and not target.exists():
        with VideoWriter(target, fps=probe(path).fps, crf=CRF) as writer:
            for frame in read_frames(path):
                writer.write(frame)
    return name, not copied


def _copy(path: Path, target: Path) -> bool:
    """Copy the coded frames; False, and nothing written, where the copy would show another number of them."""
    import av

    try:
        with (
            open_media(path) as source,
            av.open(str(target), "w", options={"movflags": "+faststart", "movie_timescale": "90000"}) as output,
        ):
            stream = picture_stream(source, path)
            copy = output.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.dts is not None:  # the last, empty one has none
                    packet.stream = copy
                    output.mux(packet)
    except av.error.FFmpegError as error:
        target.unlink(missing_ok=True)
        raise VideoError(f"{path}: cannot be copied ({error}); the file is damaged, convert it again") from error
    if probe(target).frames == probe(path).frames:
        return True
    target.unlink()
    return False
