"""The crops the encoders were trained on (released-model, Preprocessing; paper 3.3, C.1)."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from hp_core.config import FaceConfig
from hp_core.errors import FaceError
from hp_core.values import Square

# ArcFace's five-point template for a 112x112 image (Deng et al. 2019), x and y in pixels.
ARCFACE_SIZE = 112
ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], dtype=np.float64
)


def square_box(box: np.ndarray, image_size: tuple[int, int], *, growth: float = 1.0) -> Square:
    """The square crop around a face.

    The box grows by ``growth`` of its own size on every side and is clamped to the image; in it lies the largest square,
    shifted along the longer axis toward the face's centre by at most half the slack.

    Args:
        box: (4,) x1, y1, x2, y2 in pixels.
        image_size: (height, width).

    Returns:
        x1, y1, x2, y2 in whole pixels; each corner is rounded on its own, so the sides may differ by one.
    """
    left, top, side = _square(box, image_size, growth)
    return round(left), round(top), round(left + side), round(top + side)


def _square(box: np.ndarray, image_size: tuple[int, int], growth: float) -> tuple[float, float, float]:
    """Left, top and side of `square_box`."""
    height, width = image_size
    x1, y1, x2, y2 = (float(v) for v in box)
    sides = []
    for low, high, limit in ((x1, x2, width), (y1, y2, height)):
        grow = (high - low) * growth
        sides.append((max(low - grow, 0.0), min(high + grow, float(limit)), (low + high) / 2))
    side = min(high - low for low, high, _ in sides)
    starts = []
    for low, high, face_centre in sides:
        slack = (high - low) - side
        centre = (low + high) / 2
        shift = min(max(face_centre - centre, -slack / 2), slack / 2)
        starts.append(centre + shift - side / 2)
    left, top = starts
    return left, top, side


def square_following(box: np.ndarray, first_box: np.ndarray, image_size: tuple[int, int], *, growth: float = 1.0) -> Square:
    """The square of the first frame, moved and scaled with the face: at the picture's edge it is pushed inside, not shrunk as
    `square_box` would be, for then the head would grow there.

    Args:
        box, first_box: (4,) x1, y1, x2, y2 in pixels, of this frame and of the first.
        image_size, growth, returns: as of `square_box`, which this is in the first frame.
    """
    first, now = np.asarray(first_box, np.float64), np.asarray(box, np.float64)
    if np.array_equal(first, now):
        return square_box(box, image_size, growth=growth)
    left, top, side = _square(first, image_size, growth)
    about = np.array([left, top]) + side / 2 - (first[:2] + first[2:]) / 2  # of the first square's middle to the face's
    limits = np.array(image_size[::-1], np.float64)
    grown = (now[2:] - now[:2]).min() / (first[2:] - first[:2]).min()
    side = min(side * grown, *limits)
    corner = ((now[:2] + now[2:]) / 2 + about * grown - side / 2).clip(0, limits - side)
    # Halves, within a float32 box's digits, go up: to the even number, a square that moves by them would change its size.
    x1, y1, x2, y2 = (math.floor(round(float(edge), 3) + 0.5) for edge in (*corner, *(corner + side)))
    return x1, y1, x2, y2


def crop_square(image: np.ndarray, square: Square, size: int) -> Image.Image:
    """``image`` (height, width, 3) uint8 cut by ``square`` and resized to ``size`` with PIL's bicubic.

    Raises:
        FaceError: the square is empty.
    """
    x1, y1, x2, y2 = square
    if x2 <= x1 or y2 <= y1:
        raise FaceError(f"The square crop {square} is empty. The face box is too small or outside the picture; use a larger picture.")
    return Image.fromarray(image[y1:y2, x1:x2]).resize((size, size), Image.Resampling.BICUBIC)


def head_crop(crop: Image.Image, config: FaceConfig) -> np.ndarray:
    """The head-pose encoder's image from the square crop: (S, S, 3) uint8."""
    return _resized(crop, config.head_size)


def motion_box(points: np.ndarray, first_box: np.ndarray, *, widening: float = 0.45) -> Square:
    """The motion crop: between the eyebrows and the bottom of the mouth (paper 3.3).

    Each side of the five points' extent moves by ``widening`` of the way to the side of the first frame's face box, so the
    crop does not breathe with the detector; a square around its centre, which may leave the image.

    Args:
        points: (5, 2) pixels.
        first_box: (4,) x1, y1, x2, y2 of the first frame's face.

    Raises:
        FaceError: the square has no pixel.
    """
    extent = np.concatenate([points.min(0), points.max(0)]).astype(np.float64)
    x1, y1, x2, y2 = extent + widening * (np.asarray(first_box, dtype=np.float64) - extent)
    centre_x, centre_y = int((x1 + x2) / 2), int((y1 + y2) / 2)
    half = int(max(x2 - x1, y2 - y1)) // 2
    if half < 1:
        raise FaceError(f"The motion crop around {extent.round(1).tolist()} has no pixel: the face is too small. Use a larger picture.")
    return centre_x - half, centre_y - half, centre_x + half, centre_y + half


def motion_crop(image: np.ndarray, points: np.ndarray, first_box: np.ndarray, config: FaceConfig) -> np.ndarray:
    """The expression encoder's image: `motion_box` cut out, black outside the frame, (S, S, 3) uint8."""
    box = motion_box(points, first_box, widening=config.motion_widening)
    return _resized(Image.fromarray(image).crop(box), config.motion_size)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares rotation, uniform scale and translation from ``source`` to ``target`` (Umeyama 1991).

    Both (points, 2); returns a (2, 3) matrix.

    Raises:
        FaceError: the source points coincide.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    a, b = source - source_mean, target - target_mean
    spread = float((a**2).sum())
    if not spread > 0:
        raise FaceError("The five points coincide, so the face cannot be aligned. Detect the face again in a larger picture.")
    # In the plane the best rotation and scale are one complex number: a conj-weighted mean of target over source.
    real = float((a * b).sum()) / spread
    imaginary = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    linear = np.array([[real, -imaginary], [imaginary, real]])
    return np.concatenate([linear, (target_mean - linear @ source_mean)[:, None]], axis=1)


def arcface_align(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The ArcFace image: (height, width, 3) uint8 and (5, 2) pixels -> (112, 112, 3) float32 RGB in 0..1, zero outside.

    Kept in 0..1 without mean or deviation, as the weights were released.
    """
    import cv2

    matrix = similarity(points, ARCFACE_TEMPLATE)
    inverse = cv2.invertAffineTransform(matrix)
    ys, xs = np.mgrid[0:ARCFACE_SIZE, 0:ARCFACE_SIZE].astype(np.float64)
    map_x = (inverse[0, 0] * xs + inverse[0, 1] * ys + inverse[0, 2]).astype(np.float32)
    map_y = (inverse[1, 0] * xs + inverse[1, 1] * ys + inverse[1, 2]).astype(np.float32)
    warped = cv2.remap(image.astype(np.float32) / 255, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(warped, dtype=np.float32)


def _resized(image: Image.Image, size: int) -> np.ndarray:
    """Shorter side to ``size`` with PIL's antialiased bilinear."""
    width, height = image.size
    scale = size / min(width, height)
    target = (max(size, math.floor(width * scale)), max(size, math.floor(height * scale)))
    return np.asarray(image.resize(target, Image.Resampling.BILINEAR))
