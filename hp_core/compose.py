"""Paste-back: the animated square, or the face alone, blended into the untouched portrait (released-model, Paste-back)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hp_core.checks import check_choice
from hp_core.colour import ColourMatcher
from hp_core.errors import OptionError
from hp_core.face.crop import crop_square
from hp_core.progress import Progress, Stage
from hp_core.values import FaceTrack, Square

if TYPE_CHECKING:
    from torch import Tensor

PASTE_REGIONS = ("crop", "face")
BORDER = 0.1  # share of the side over which the mask rises
FACE_SOLID = 1.25
"""The face's ellipse is the frame's up to here, in half sides of the face box: of a head that turns by 25 degrees, the face."""
FACE_END = 1.75
"""And the portrait's from here on: beyond are shoulders, background and the ends of longer hair."""
FACE_SHARED = 0.2
"""Width of the seam between the ellipses of two faces that touch, in half sides."""


@lru_cache(maxsize=4)
def feather_mask(height: int, width: int) -> np.ndarray:
    """(height, width, 1) float64: 1 inside, falling linearly to 0 over the outer tenth of each side."""

    def ramp(side: int) -> np.ndarray:
        border = int(BORDER * side)
        line = np.ones(side)
        line[:border] = np.linspace(0, 1, border)
        line[side - border :] = np.linspace(1, 0, border)
        return line

    mask: np.ndarray = ramp(height)[:, None] * ramp(width)[None]
    mask.setflags(write=False)
    return mask[..., None]


def face_mask(square: Square, box: np.ndarray, beside: Sequence[np.ndarray] = ()) -> np.ndarray:
    """A soft ellipse about a face, (height, width, 1) float64 over ``square`` = x1, y1, x2, y2.

    1 up to `FACE_SOLID` half sides of ``box`` (4,) from its centre, 0 from `FACE_END` on, smooth between; nowhere more than
    `feather_mask`, so that a face at the square's edge is not cut off hard. What is nearer to another face, in that one's half
    sides, is left to it.

    Args:
        beside: boxes (4,) of other faces.
    """
    x1, y1, x2, y2 = square
    own = _half_sides(square, box)
    shown = _smooth((FACE_END - own) / (FACE_END - FACE_SOLID))
    for other in beside:
        shown = shown * _smooth((_half_sides(square, other) - own) / FACE_SHARED + 0.5)
    return np.minimum(shown[..., None], feather_mask(y2 - y1, x2 - x1))


def _half_sides(square: Square, box: np.ndarray) -> np.ndarray:
    """(height, width) over ``square``: distance from the centre of ``box``, in its half sides."""
    x1, y1, x2, y2 = square
    left, top, right, bottom = (float(side) for side in box)
    across = (np.arange(x1, x2) + 0.5 - (left + right) / 2) / max((right - left) / 2, 1.0)
    down = (np.arange(y1, y2) + 0.5 - (top + bottom) / 2) / max((bottom - top) / 2, 1.0)
    return np.hypot(across[None], down[:, None])


def _smooth(part: np.ndarray) -> np.ndarray:
    """From 0 to 1 without a kink at either."""
    part = part.clip(0, 1)
    return part**2 * (3 - 2 * part)


def paste_back(frame: np.ndarray, portrait: np.ndarray, square: Square, mask: np.ndarray | None = None) -> np.ndarray:
    """``frame`` resized to ``square`` = x1, y1, x2, y2 and blended into ``portrait`` (height, width, 3) uint8.

    Args:
        frame: (S, S, 3) uint8, blended and truncated as released; or floats in 0..255, blended and rounded.
        mask: (y2 - y1, x2 - x1, 1) in 0..1, what of the frame is shown; None takes `feather_mask`.

    Returns:
        A new picture of the portrait's size.
    """
    import cv2

    x1, y1, x2, y2 = square
    # Shrunk as released, pixels are skipped, which shimmers where a face is small.
    smaller = frame.dtype != np.uint8 and x2 - x1 < frame.shape[1]
    resized = cv2.resize(frame, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    mask = feather_mask(y2 - y1, x2 - x1) if mask is None else mask
    out = portrait.copy()
    blended = resized * mask + portrait[y1:y2, x1:x2] * (1 - mask)
    out[y1:y2, x1:x2] = (blended if frame.dtype == np.uint8 else np.rint(blended)).astype(np.uint8)
    return out


def square_mask(portrait: np.ndarray, square: Square, mask: np.ndarray | None = None) -> Tensor:
    """Where `paste_back` changes ``portrait`` (height, width, 3) through ``mask``: (1, height, width) float32 in 0..1."""
    import torch

    x1, y1, x2, y2 = square
    mask = feather_mask(y2 - y1, x2 - x1) if mask is None else mask
    whole = torch.zeros(1, *portrait.shape[:2])
    whole[0, y1:y2, x1:x2] = torch.from_numpy(mask[..., 0].copy()).float()
    return whole


class Paster:
    """Pastes the frames of a clip back, one at a time; each frame on its own, so that they may come in any order.

    The defaults are `paste_back` as released; else results are rounded instead of truncated, which would darken the feather by
    half a grey level.

    Args:
        portrait: what the frames animate.
        region: `crop` pastes the whole square, `face` a soft ellipse about the face (`face_mask`).
        match_colour: bring each frame to the portrait's colours (`ColourMatcher`), measured on the outer tenth of the square,
            at the frame's size: an enlarged portrait would have more contrast there.
        beside: others of the same picture, whose faces an ellipse leaves out.

    Raises:
        OptionError: an unknown ``region``, or others ``beside`` and another region than `face`.
    """

    def __init__(self, portrait: FaceTrack, *, region: str = "crop", match_colour: bool = False, beside: Sequence[FaceTrack] = ()) -> None:
        check_choice("region", region, PASTE_REGIONS)
        if beside and region != "face":
            raise OptionError(
                f"Faces beside this one are named, and region is {region}, which pastes the whole square over them. Set region to face."
            )
        self.portrait, self.region, self.match_colour = portrait, region, match_colour
        x1, y1, x2, y2 = portrait.square
        if region == "face":
            self._mask = face_mask(portrait.square, portrait.boxes[0], [other.boxes[0] for other in beside])
        else:
            self._mask = feather_mask(y2 - y1, x2 - x1)
        self._matchers: dict[int, ColourMatcher] = {}  # by the size of the frames, of which a clip has one

    @property
    def mask(self) -> Tensor:
        """What of the frames is shown where, (1, height, width) float32 in 0..1; pixels change where it is not 0."""
        return square_mask(self.portrait.portrait, self.portrait.square, self._mask)

    def __call__(self, frame: np.ndarray, under: np.ndarray | None = None) -> np.ndarray:
        """``frame`` (S, S, 3) uint8 -> a new picture of the portrait's size, (height, width, 3) uint8.

        Args:
            under: what to paste into instead of the untouched portrait, of its size.

        Raises:
            OptionError: ``under`` is of another size.
        """
        whole = self.portrait.portrait
        under = whole if under is None else under
        if under.shape != whole.shape:
            raise OptionError(f"under is {_size(under)} pixels, the portrait {_size(whole)}. Paste into pictures of the portrait's size.")
        if self.match_colour:
            frame = self._matcher(frame.shape[0])(frame)
        elif self.region != "crop":
            frame = frame.astype(np.float32)
        return paste_back(frame, under, self.portrait.square, self._mask)

    def _matcher(self, size: int) -> ColourMatcher:
        if size not in self._matchers:
            reference = np.asarray(crop_square(self.portrait.portrait, self.portrait.square, size))
            self._matchers[size] = ColourMatcher(reference, feather_mask(size, size)[..., 0] < 1)
        return self._matchers[size]


def paste_clip(
    images: Tensor,
    portrait: FaceTrack,
    onto: Tensor | None = None,
    *,
    even_size: bool,
    region: str = "crop",
    match_colour: bool = False,
    beside: Sequence[FaceTrack] = (),
) -> Stage[tuple[Tensor, Tensor]]:
    """Every frame of a clip pasted back.

    Args:
        images: (frames, S, S, 3) in 0..1.
        onto: (frames, height, width, 3) in 0..1, to paste into instead of the untouched portrait. Of two clips of different lengths
            the last picture of the shorter one stands on.
        even_size: leave out an odd last row or column of the portrait, which H.264 cannot hold.
        region, match_colour, beside: see `Paster`.

    Returns:
        (frames, height, width, 3) and the mask (1, height, width), both float32 in 0..1.

    Raises:
        OptionError: ``images`` are no colour squares, ``onto`` is of another size than the portrait, or see `Paster`.
    """
    import torch

    from hp_core.image import from_float, to_float

    for name, clip in (("images", images), ("onto", onto)):
        if clip is not None and (clip.ndim != 4 or clip.shape[-1] not in (3, 4)):
            raise OptionError(f"{name} is of shape {tuple(clip.shape)}; it takes colour pictures (frames, height, width, 3).")
    if images.shape[1] != images.shape[2]:
        raise OptionError(
            f"images is {images.shape[2]}x{images.shape[1]} pixels; the animated squares are pasted. Connect Portrait Decode."
        )
    paster = Paster(portrait, region=region, match_colour=match_colour, beside=beside)
    full = portrait.portrait.shape[:2]
    height, width = (side - side % 2 if even_size else side for side in full)
    if onto is not None and (full[0] - onto.shape[1], full[1] - onto.shape[2]) not in {(0, 0), (full[0] - height, full[1] - width)}:
        raise OptionError(
            f"onto is {onto.shape[2]}x{onto.shape[1]} pixels, the portrait {full[1]}x{full[0]}. Connect frames of the same picture."
        )
    count = len(images) if onto is None else max(len(images), len(onto))
    pasted = torch.empty(count, height, width, 3)
    for index in range(count):
        image, under = images[min(index, len(images) - 1)], None
        if onto is not None:
            under = portrait.portrait.copy()
            under[: onto.shape[1], : onto.shape[2]] = from_float(onto[min(index, len(onto) - 1)][None])[0]
        whole = paster(from_float(image[None])[0], under)
        pasted[index] = to_float(whole[:height, :width])
        yield Progress("paste", index + 1, count)
    return pasted, paster.mask[:, :height, :width]


def ring_drift(frames: Iterable[np.ndarray], portrait: FaceTrack, *, region: str = "crop") -> np.ndarray:
    """How far pasted pictures are from the untouched portrait along the border of what was pasted.

    The ring is the outer half of the feather: the pixels whose `Paster.mask` is above 0 and below 1/2. Of the crop it runs along
    the inside of the square, about a twentieth of its side wide; pixels that pasting cannot change, mask 0, are left out.

    Args:
        frames: (height, width, 3) in 0..255, of the portrait's size or without its last row or column.
        region: that was pasted; see `Paster`.

    Returns:
        (frames,) float64, the mean absolute difference over the ring's pixels and channels, grey levels 0..255.

    Raises:
        OptionError: an unknown ``region``, a frame of another size, or a square too small to have a ring.
    """
    mask = Paster(portrait, region=region).mask[0].numpy()
    ring = (mask > 0) & (mask < 0.5)
    if not ring.any():
        raise OptionError(
            f"The square {portrait.square} is too small to have a border ring; it needs a side of 30 pixels. Use a larger picture."
        )
    still = portrait.portrait
    drift = []
    for frame in frames:
        height, width = frame.shape[:2]
        if (still.shape[0] - height, still.shape[1] - width) not in {(0, 0), (0, 1), (1, 0), (1, 1)}:
            raise OptionError(f"A frame is {_size(frame)} pixels, the portrait {_size(still)}. Measure frames that were pasted into it.")
        shown = ring[:height, :width]
        drift.append(np.abs(frame[shown].astype(np.float64) - still[:height, :width][shown]).mean())
    return np.array(drift)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
