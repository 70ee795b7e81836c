"""Pictures in and out: whatever a camera or a painter saved, as (height, width, 3) uint8 RGB."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hp_core.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""How a picture's name ends, where a name has to tell it from a video."""

MIN_SIDE = 64  # pixels; below, no analyzer finds a face it could follow


def load_image(path: Path) -> np.ndarray:
    """A picture as (height, width, 3) uint8 RGB.

    Turned as EXIF says; 16-bit grey is scaled, palettes are resolved, transparency is laid on white, and colours are those of
    sRGB: a profile in the file is applied, one that is broken is left alone.

    Raises:
        ImageError: the path is absent or a folder, the file is no picture, is damaged, or has a side below 64 pixels.
    """
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path} is a folder; name one picture in it.")
    if not path.is_file():
        raise ImageError(f"{path} does not exist.")
    try:
        with Image.open(path) as file:
            file.load()
            image = ImageOps.exif_transpose(file)
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is not a picture that Pillow can read. Save it as PNG or JPEG.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} is damaged or too large: {error}. Save it again as PNG or JPEG.") from error
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit grey, or wider
        values = np.asarray(image).astype(np.float64)
        if image.mode == "F":
            raise ImageError(f"{path} holds floating-point pixels, whose range is unknown. Save it with 8 or 16 bits.")
        image = Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    pixels = np.asarray(_to_srgb(image.convert("RGB"), image.info.get("icc_profile")))
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{path} is {width}x{height} pixels; each side must have at least {MIN_SIDE}. Use a larger picture.")
    return pixels


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """``image`` (RGB) whose numbers meant the colours of ``profile``."""
    from PIL import ImageCms

    if not profile:
        return image
    try:
        given: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if given.profile.xcolor_space.strip() != "RGB":
            return image  # of what the picture was before it became RGB
        managed = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError):
        return image
    return managed if managed is not None else image


def from_float(images: Tensor) -> np.ndarray:
    """Pictures (frames, height, width, 3 or more channels) in 0..1 on any device -> (frames, height, width, 3) uint8, rounded."""
    import torch

    return (images[..., :3].float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def each_from_float(images: Tensor) -> Iterator[np.ndarray]:
    """The pictures of `from_float` one at a time, (height, width, 3) uint8: a clip of floats is four times as large."""
    for image in images:
        yield from_float(image[None])[0]


def to_float(frames: np.ndarray) -> Tensor:
    """(frames, height, width, 3) uint8 -> the same shape, float32 in 0..1 on the CPU."""
    import torch

    return torch.tensor(frames, dtype=torch.float32) / 255


def check_picture(image: np.ndarray) -> None:
    """Check that ``image`` is (height, width, 3) uint8 with at least one pixel.

    Raises:
        ImageError: it is not; the message names the shape and type got and wanted.
    """
    import numpy as np

    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"The picture is {got}, it must be RGB uint8 of shape (height, width, 3). Convert it first.")
