"""Where a loss counts more: the face, and in it the eyes and the mouth, from the five points."""

from __future__ import annotations

import torch
from torch import Tensor


def region_weight(points: Tensor, size: int, side: int, *, face: float, features: float) -> Tensor:
    """Weights (n, 1, side, side): 1, plus ``face`` inside the face, plus ``features`` at the eyes and the mouth; soft borders.

    Args:
        points: (n, 5, 2) left eye, right eye, nose tip, mouth corners in pixels of a picture of ``size`` pixels.
        side: of the grid that is weighted, in cells.
    """
    cell = size / side
    middle, span = face_extent(points)
    mouth = points[:, 3:].mean(1)
    at = (torch.arange(side, device=points.device, dtype=points.dtype) + 0.5) * cell
    weight = torch.ones(len(points), 1, side, side, device=points.device, dtype=points.dtype)

    def add(centre: Tensor, width: float, height: float, amount: float) -> None:
        x = (at[None] - centre[:, :1]).abs() - width * span
        y = (at[None] - centre[:, 1:]).abs() - height * span
        soft = torch.sigmoid(-4 * y / span * 2)[:, :, None] * torch.sigmoid(-4 * x / span * 2)[:, None, :]
        weight.add_(amount * soft[:, None])

    if face:
        add(middle, 1.1, 1.25, face)
    if features:
        for centre, width, height in ((points[:, 0], 0.4, 0.3), (points[:, 1], 0.4, 0.3), (mouth, 0.65, 0.45)):
            add(centre, width, height, features)
    return weight


def face_extent(points: Tensor) -> tuple[Tensor, Tensor]:
    """Where a face is and how large, from its five points (n, 5, 2): its middle (n, 2), and the distance of its eyes (n, 1) as it
    would be of a head that looks ahead."""
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    across = (points[:, 1] - points[:, 0]).norm(dim=-1)
    down = (mouth - eyes).norm(dim=-1)
    return (eyes + mouth) / 2, torch.maximum(across, 0.8 * down)[:, None]  # either shrinks when the head turns
