"""Between the YUV pictures of a video and RGB arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import numpy as np
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter
    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]

# swscale constants. PyAV before 17 converts every matrix as BT.601 unless both sides are named and differ.
BT709, BT601, LIMITED, FULL = 1, 5, 1, 2
_TO_YUV = 0x4 | 0x40000 | 0x4000  # bicubic, accurate rounding, full chroma input
_TO_RGB = 0x4 | 0x40000 | 0x2000  # bicubic, accurate rounding, full chroma output


def to_rgb(frame: VideoFrame, converter: VideoReformatter, size: tuple[int, int]) -> Frame:
    """A picture as (height, width, 3) RGB of `size` (width, height), by the colour matrix and range it names."""
    full = frame.color_range == FULL or frame.format.name.startswith("yuvj")
    rgb = converter.reformat(
        frame,
        width=size[0],
        height=size[1],
        format="rgb24",
        src_colorspace=frame.colorspace,
        dst_colorspace=BT601 if frame.colorspace == BT709 else BT709,
        src_color_range=FULL if full else LIMITED,
        dst_color_range=FULL,
        interpolation=_TO_RGB,
    )
    return cast("Frame", rgb.to_ndarray())


def to_yuv(rgb: Frame, converter: VideoReformatter) -> VideoFrame:
    """An RGB array as a yuv420p picture, BT.709 and limited range; an odd width or height repeats its last column or row."""
    import av
    import numpy as np

    height, width = rgb.shape[:2]
    even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return converter.reformat(
        av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24"),
        format="yuv420p",
        src_colorspace=BT601,
        dst_colorspace=BT709,
        src_color_range=FULL,
        dst_color_range=LIMITED,
        interpolation=_TO_YUV,
    )
