"""What a face track, its intensity and its pose look like, frame by frame: for study and for finding out what went wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from hp_core.errors import OptionError
from hp_core.pose.draw import distinct_maps
from hp_core.values import FaceTrack, Intensity, PoseMaps, in_square

_BAND = 40  # pixels under the pictures, for the words
_RIDGE = 0.01  # of the mean variance of the channels
_FOUND, _FILLED, _POINT, _INK = (90, 220, 120), (250, 110, 90), (255, 230, 80), (230, 230, 235)


def spread(frames: int, most: int) -> list[int]:
    """Indices of at most ``most`` of ``frames`` pictures, evenly spread from the first to the last; 0 takes all.

    A picture of 512 pixels as floats fills 3 MB, so that a minute of them, which perhaps nobody looks at, fills 5 GB.
    """
    count = min(most, frames) if most else frames
    return [round(place) for place in np.linspace(0, frames - 1, count).tolist()]


def pose_pictures(pose: PoseMaps, most: int) -> Tensor:
    """At most ``most`` of the maps (`spread`), one where all are alike: (pictures, height, width, 3) float32 in 0..1."""
    alike = pose.skeletons is None and len(pose.maps) == 1
    maps, rows = distinct_maps(pose, [0] if alike else spread(len(pose), most))
    return maps[rows].permute(0, 2, 3, 1).contiguous()


def preview_frames(
    track: FaceTrack, intensity: Intensity | None = None, pose: PoseMaps | None = None, *, side: int = 256
) -> Iterator[np.ndarray]:
    """Square crop with box and points (green: found, red: filled in), motion crop and pose map side by side, levels below.

    Args:
        side: of each picture, pixels, an even number.

    Yields:
        (side + 40, 2 or 3 times side, 3) uint8 for each frame.

    Raises:
        OptionError: the pose has another number of frames.
    """
    if pose is not None and len(pose) != len(track):
        raise OptionError(f"The pose has {len(pose)} frames, the face track {len(track)}. Make the pose from this track.")
    for frame in range(len(track)):
        pictures = [_face(track, frame, side), _fitted(track.motion_crops[frame], side)]
        if pose is not None:
            pictures.append(_fitted(_map(pose, frame), side))
        words = Image.new("RGB", (side * len(pictures), _BAND))
        ImageDraw.Draw(words).text((6, 4), "\n".join(_lines(track, intensity, pose, frame)), fill=_INK)
        yield np.vstack([np.hstack([np.asarray(picture) for picture in pictures]), np.asarray(words)])


def _fitted(picture: np.ndarray, side: int) -> Image.Image:
    return Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)


def _face(track: FaceTrack, frame: int, side: int) -> Image.Image:
    picture, square = _fitted(track.head_crops[frame], side), track.square_of(frame)
    draw = ImageDraw.Draw(picture)
    box = in_square(track.boxes[frame].reshape(2, 2), square, side)  # (2, 2): corners
    draw.rectangle((*box[0].tolist(), *box[1].tolist()), outline=_FOUND if track.found[frame] else _FILLED, width=2)
    if track.landmarks is not None:
        for x, y in in_square(track.landmarks[frame, :, :2], square, side).tolist():
            draw.point((x, y), fill=_FOUND)
    for x, y in in_square(track.five_points[frame], square, side).tolist():
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_POINT)
    return picture


def _map(pose: PoseMaps, frame: int) -> np.ndarray:
    maps, _ = distinct_maps(pose, [frame])  # (1, 3, height, width) in 0..1
    return (maps[0].permute(1, 2, 0) * 255).round().byte().numpy()


def _lines(track: FaceTrack, intensity: Intensity | None, pose: PoseMaps | None, frame: int) -> list[str]:
    state = "found" if track.found[frame] else f"filled in ({track.on_missing})"
    lines = [f"frame {frame} of {len(track)}: {state}" + (f", pose {pose.mode}" if pose is not None else "")]
    if intensity is not None:
        chunk = min(frame // intensity.chunk, len(intensity.expression) - 1)
        lines.append(f"levels: expression {intensity.expression_levels[chunk]}, head {intensity.head_levels[chunk]} ({intensity.rule})")
    return lines


def rgb_factors(latent: Tensor, image: np.ndarray) -> tuple[list[list[float]], list[float]]:
    """The linear map from latent channels to colours that suits a picture best: a preview for any VAE, learned from the portrait.

    Args:
        latent: (1, channels, height, width), scaled as the sampler's.
        image: (S, S, 3) uint8, what it encodes.

    Returns:
        (channels, 3) factors and (3,) offsets, to colours in -1..1.
    """
    _, channels, height, width = latent.shape
    small = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX), np.float64) / 127.5 - 1
    x = latent[0].double().cpu().numpy().reshape(channels, -1).T  # (height * width, channels)
    middle, colour = x.mean(0), small.reshape(-1, 3)
    # A little ridge: of many channels most say nothing about the mean colour of a cell.
    centred = x - middle
    ridge = _RIDGE * np.trace(centred.T @ centred) / channels
    factors = np.linalg.solve(centred.T @ centred + ridge * np.eye(channels), centred.T @ (colour - colour.mean(0)))
    return factors.tolist(), (colour.mean(0) - middle @ factors).tolist()
