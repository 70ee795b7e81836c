"""Paste-back: the animated square blended into the untouched portrait (released-model, Paste-back)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hp_core.errors import OptionError
from hp_core.progress import Progress, Stage
from hp_core.values import FaceTrack

if TYPE_CHECKING:
    from torch import Tensor

BORDER = 0.1  # share of the side over which the mask rises


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


def paste_back(frame: np.ndarray, portrait: np.ndarray, square: tuple[int, int, int, int]) -> np.ndarray:
    """``frame`` (S, S, 3) uint8 resized to ``square`` = x1, y1, x2, y2 and blended into ``portrait`` (height, width, 3) uint8.

    Returns a new picture of the portrait's size.
    """
    import cv2

    x1, y1, x2, y2 = square
    resized = cv2.resize(frame, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
    mask = feather_mask(y2 - y1, x2 - x1)
    out = portrait.copy()
    blended = resized * mask + portrait[y1:y2, x1:x2] * (1 - mask)
    out[y1:y2, x1:x2] = blended.astype(np.uint8)  # truncated, as released
    return out


def square_mask(portrait: np.ndarray, square: tuple[int, int, int, int]) -> Tensor:
    """Where `paste_back` changes ``portrait`` (height, width, 3): (1, height, width) float32 in 0..1."""
    import torch

    x1, y1, x2, y2 = square
    mask = torch.zeros(1, *portrait.shape[:2])
    mask[0, y1:y2, x1:x2] = torch.from_numpy(feather_mask(y2 - y1, x2 - x1)[..., 0].copy()).float()
    return mask


def paste_clip(images: Tensor, portrait: FaceTrack, onto: Tensor | None = None, *, even_size: bool) -> Stage[tuple[Tensor, Tensor]]:
    """Every frame of a clip pasted back.

    Args:
        images: (frames, S, S, 3) in 0..1.
        onto: (frames, height, width, 3) in 0..1, to paste into instead of the untouched portrait; the last one stands on where
            it is the shorter clip.
        even_size: leave out an odd last row or column of the portrait, which H.264 cannot hold.

    Returns:
        (frames, height, width, 3) and the mask (1, height, width), both float32 in 0..1.

    Raises:
        OptionError: ``onto`` is of another size than the portrait.
    """
    import torch

    from hp_core.image import from_float, to_float

    full = portrait.portrait.shape[:2]
    height, width = (side - side % 2 if even_size else side for side in full)
    if onto is not None and (full[0] - onto.shape[1], full[1] - onto.shape[2]) not in {(0, 0), (full[0] - height, full[1] - width)}:
        raise OptionError(
            f"onto is {onto.shape[2]}x{onto.shape[1]} pixels, the portrait {full[1]}x{full[0]}. Connect frames of the same picture."
        )
    pasted = torch.empty(len(images), height, width, 3)
    for index, image in enumerate(images):
        under = portrait.portrait
        if onto is not None:
            under = under.copy()
            under[: onto.shape[1], : onto.shape[2]] = from_float(onto[min(index, len(onto) - 1)][None])[0]
        whole = paste_back(from_float(image[None])[0], under, portrait.square)
        pasted[index] = to_float(whole[:height, :width])
        yield Progress("paste", index + 1, len(images))
    return pasted, square_mask(portrait.portrait, portrait.square)[:, :height, :width]
