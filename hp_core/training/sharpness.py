"""How much detail a picture shows, wherever in a small neighbourhood it lies."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from hp_core.training.regions import region_weight

_DETAIL = 3
"""Side in pixels of the square whose mean is taken away: what is left of a picture are edges and spots of a pixel or two."""
_NEIGHBOURHOOD = 5
"""Side in pixels of the square over which detail is measured; as far may it lie from where it belongs without counting."""
_FLOOR = 0.01  # of the picture's half range: noise, and where the root has a slope


def sharpness_loss(pictures: Tensor, truth: Tensor, points: Tensor, *, face: float) -> Tensor:
    """Mean absolute difference of `local_contrast` of two pictures (n, 3, S, S) in -1..1, ``face`` more inside the face of five
    ``points`` (n, 5, 2) and once more at its eyes and mouth; a number.

    Where a network is unsure of an edge by part of a pixel, differences of pixels ask for a blurred one: a sharp one a little beside
    its place costs twice. This asks that it be as sharp as the truth's, wherever it is.
    """
    side = pictures.shape[-1]
    weight = region_weight(points, side, side, face=face, features=face)
    return ((local_contrast(pictures) - local_contrast(truth)).abs() * weight).mean()


def local_contrast(pictures: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, h, w): root mean square of the detail about every pixel, in the picture's units."""
    detail = pictures - _mean(pictures, _DETAIL)
    return (_mean(detail.square(), _NEIGHBOURHOOD) + _FLOOR**2).sqrt()


def _mean(x: Tensor, side: int) -> Tensor:
    """The mean over the square about every pixel; pixels beyond the border are those at it."""
    return F.avg_pool2d(F.pad(x, (side // 2,) * 4, mode="replicate"), side, stride=1)
