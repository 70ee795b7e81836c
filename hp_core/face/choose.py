"""Which of the faces in a picture is meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hp_core.errors import FaceError, OptionError
from hp_core.face.likeness import Likeness

if TYPE_CHECKING:
    from hp_core.face.analyzer import Face

CHOICES = ("largest", "leftmost", "rightmost", "topmost", "bottommost", "center")
FAR = 1.0  # from a point to the box of the face it means, in that one's sides; what is farther is somebody the detector has missed
Which = str | int | tuple[float, float] | Likeness


def choose_face(faces: list[Face], which: Which, image_size: tuple[int, int], image: np.ndarray | None = None) -> Face:
    """The face ``which`` means.

    Args:
        faces: one or more.
        which: `largest`, an edge, or `center`; an index into the faces by falling area; a point (x, y) in pixels, for the face
            nearest to it, at most its own side away; or a `Likeness`, for the face most like it.
        image_size: (height, width).
        image: (height, width, 3) uint8 RGB, the picture the faces are in; a likeness needs it.

    Raises:
        OptionError: unknown name, an index beyond the faces found, a point outside the picture, or a likeness without the picture.
        FaceError: no face is like the likeness, or none is near the point.
    """
    if isinstance(which, Likeness):
        if image is None:
            raise OptionError("A face is chosen by its likeness, but its picture is not given. Pass image as well.")
        return which.choose(faces, image)
    if isinstance(which, int):
        if not 0 <= which < len(faces):
            raise OptionError(f"Face {which} was asked for, {len(faces)} found; choose 0 to {len(faces) - 1} (largest first).")
        return faces[which]
    if isinstance(which, tuple):
        return _nearest(faces, which, image_size)
    height, width = image_size
    order: dict[str, Callable[[Face], float]] = {
        "largest": lambda face: -face.area,
        "leftmost": lambda face: face.center[0],
        "rightmost": lambda face: -face.center[0],
        "topmost": lambda face: face.center[1],
        "bottommost": lambda face: -face.center[1],
        "center": lambda face: _distance(face, (width / 2, height / 2)),
    }
    if which not in order:
        raise OptionError(f"Unknown choice of face '{which}'. Choose one of {', '.join(CHOICES)}, an index from 0, or a point (x, y).")
    return min(faces, key=order[which])


def _nearest(faces: list[Face], point: tuple[float, float], image_size: tuple[int, int]) -> Face:
    """The face whose box holds the point or comes nearest to it; of several, the one whose middle does."""
    height, width = image_size
    if len(point) != 2:
        raise OptionError(f"The point {point} to choose a face by has {len(point)} numbers; give two, x and y in pixels.")
    x, y = point
    if not (0 <= x < width and 0 <= y < height):
        raise OptionError(
            f"The point ({x:g}, {y:g}) to choose a face by is outside the picture; x must be 0 to {width - 1}, y 0 to {height - 1} pixels."
        )

    def outside(face: Face) -> float:
        x1, y1, x2, y2 = (float(side) for side in face.box)
        return float(np.hypot(max(x1 - x, x - x2, 0.0), max(y1 - y, y - y2, 0.0)))

    nearest = min(faces, key=lambda face: (outside(face), _distance(face, (x, y))))
    if outside(nearest) > FAR * nearest.area**0.5:
        raise FaceError(
            f"No face was found at the point ({x:g}, {y:g}); the nearest one's middle is at ({nearest.center[0]:.0f}, "
            f"{nearest.center[1]:.0f}). A face much smaller than another one may be missed: crop the picture about it, or name a point "
            "in the face that is meant."
        )
    return nearest


def _distance(face: Face, point: tuple[float, float]) -> float:
    return float(np.hypot(face.center[0] - point[0], face.center[1] - point[1]))
