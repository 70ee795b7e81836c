"""Clothes, neck and collar, which follow the shifts and the scale but not the turns of the head."""

from __future__ import annotations

import numpy as np

from hp_core.demo.colour import Ramp, mix, scale
from hp_core.demo.drawing import compose, fill, mask_of, ribbon
from hp_core.demo.geometry import Head
from hp_core.demo.light import Light, tint

_NECKLINES = {
    "crew": (0.64, 0.3, 1.0),
    "scoop": (0.74, 0.5, 0.85),
    "vee": (0.66, 0.85, 2.0),
    "shirt": (0.5, 0.52, 2.0),
    "turtleneck": (0.62, 0.1, 1.0),
}
"""Half width, depth and pointedness of the opening."""


def paint_body(head: Head, picture: np.ndarray, light: Light, skin: Ramp) -> None:
    """Draw the body over ``picture``, in place."""
    who, t = head.identity, np.linspace(0, 1, 16)
    cloth = scale(who.clothes, 0.62), mix(scale(who.clothes, 1.08), (255, 255, 255), 0.08)
    compose(picture, tint(light.cloth, cloth, head.size), mask_of(shoulders_outline(head), head.size))
    neck = mask_of(neck_outline(head), head.size)
    half, depth, power = _NECKLINES[who.clothing]
    collar = _mirrored(head, half * np.cos(np.pi / 2 * t) ** power, 1.64 + depth * np.sin(np.pi / 2 * t) ** power)
    fill(neck, collar, 255)
    compose(picture, tint(light.neck - 0.08, skin, head.size), neck)
    if who.clothing != "turtleneck":
        fill(picture, ribbon(collar, np.full(len(collar), 0.11 * head.unit)), scale(who.clothes, 0.78))
    if who.clothing == "turtleneck":
        band = _mirrored(head, 0.57 + 0.14 * t**3, 1.22 + 0.55 * t)
        compose(picture, tint(light.cloth - 0.12, cloth, head.size), mask_of(band, head.size))
        fold = _mirrored(head, 0.58 * np.cos(np.pi / 2 * t), 1.4 + 0.14 * np.sin(np.pi / 2 * t))
        fill(picture, ribbon(fold, np.full(len(fold), 0.04 * head.unit)), scale(who.clothes, 0.7))
    if who.clothing == "shirt":
        _paint_shirt(head, picture)


def shoulders_outline(head: Head) -> np.ndarray:
    """Outline (n, 2) in pixels."""
    t = np.linspace(0, 1, 16)
    return _mirrored(head, np.append(0.5 + 1.75 * t**0.8, 2.5), np.append(1.58 + 0.35 * t + 0.75 * t**5, 5.0))


def neck_outline(head: Head) -> np.ndarray:
    """Outline (n, 2) in pixels."""
    t = np.linspace(0, 1, 16)
    return _mirrored(head, 0.5 + 0.14 * t**4, 0.5 + 1.15 * t)


def _paint_shirt(head: Head, picture: np.ndarray) -> None:
    """Collar flaps and buttons."""
    dark, bright = scale(head.identity.clothes, 0.72), mix(head.identity.clothes, (255, 255, 255), 0.2)
    for side in (-1, 1):
        flap = np.array([(0.52, 1.42), (0.66, 1.56), (0.52, 2.22), (0.02, 2.12), (0.34, 1.86)]) * (side, 1)
        fill(picture, head.centre + head.unit * (flap + (0.02 * side, 0.05)), dark)
        fill(picture, head.centre + head.unit * flap, bright)
    for y in (2.35, 2.75):
        fill(picture, head.centre + head.unit * _disc(y), dark)


def _disc(y: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    return np.stack([0.04 * np.cos(angle), y + 0.04 * np.sin(angle)], axis=1)


def _mirrored(head: Head, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pixels of the outline that runs down at the image right and up again at the left."""
    return head.centre + head.unit * np.stack([np.append(x, -x[::-1]), np.append(y, y[::-1])], axis=1)
