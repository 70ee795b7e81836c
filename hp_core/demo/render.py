"""Procedural cartoon portraits: a face to run the whole system on, without any photograph in the repository.

An `Identity` is what a person looks like and a `Performance` is what the person does; either can be exchanged without the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hp_core.demo.colour import Colour, Ramp, mix, scale
from hp_core.demo.drawing import compose, fill, mask_of, ribbon
from hp_core.demo.features import paint_brow, paint_ear, paint_eye, paint_mouth, paint_nose
from hp_core.demo.geometry import Head
from hp_core.demo.hair import Hair
from hp_core.demo.identity import Identity
from hp_core.demo.light import GRID, blush_of, light_on, relief_of, shadow_of, tint
from hp_core.demo.performance import Performance
from hp_core.errors import OptionError

SMALLEST = 64
"""Smallest image side, in pixels, that still shows a face."""


def render(identity: Identity, performance: Performance, *, size: int = 512) -> Iterator[np.ndarray]:
    """Draw ``identity`` giving ``performance``: one (size, size, 3) uint8 RGB picture a frame, each a new array.

    Raises:
        OptionError: ``size`` is below `SMALLEST`.
    """
    _check_size(size)
    backdrop = _backdrop(identity.background, size)
    return (_draw(Head(identity, performance, index, size), backdrop.copy()) for index in range(len(performance)))


def five_points(identity: Identity, performance: Performance, size: int) -> np.ndarray:
    """Where `render` puts the landmarks, (frames, 5, 2) float32 pixels.

    In order: left eye, right eye, nose tip, left mouth corner, right mouth corner, image left first. The eyes are the middles
    of their openings, whatever the gaze.

    Raises:
        OptionError: ``size`` is below `SMALLEST`.
    """
    _check_size(size)
    heads = (Head(identity, performance, index, size) for index in range(len(performance)))
    return np.stack([head.five_points() for head in heads]).astype(np.float32)


def _check_size(size: int) -> None:
    if size < SMALLEST:
        raise OptionError(f"A portrait of {size} pixels is too small to show a face. Ask for {SMALLEST} or more.")


def _draw(head: Head, picture: np.ndarray) -> np.ndarray:
    who, hair = head.identity, Hair(head)
    skin = mix(who.skin, (92, 22, 26), 0.44), mix(scale(who.skin, 1.06), (255, 248, 236), 0.14)
    locks = scale(who.hair, 0.5), mix(scale(who.hair, 1.3), (255, 232, 206), 0.13)
    light, face, fringe = light_on(head), mask_of(head.outline(), head.size), hair.mask()
    nearer = -1 if head.now["yaw"] > 0 else 1
    fill(picture, hair.behind(), scale(who.hair, 0.6))
    _paint_body(head, picture, light - 0.5 * shadow_of(face, 0.3 * head.unit), skin)
    paint_ear(head, picture, -nearer, skin)
    relief = light + relief_of(head) - 0.4 * shadow_of(fringe, 0.1 * head.unit)
    compose(picture, tint(relief, skin, head.size, mix(who.skin, (222, 60, 64), 0.55), blush_of(head)), face)
    paint_ear(head, picture, nearer, skin)
    paint_nose(head, picture, skin)
    paint_mouth(head, picture, skin)
    for side in (-1, 1):
        paint_eye(head, picture, side, skin)
    layer = tint(light, locks, head.size)
    hair.paint_locks(layer, locks)
    compose(picture, layer, fringe)
    for side in (-1, 1):  # over the hair: a fringe must not hide what the brows say
        paint_brow(head, picture, side, mix(locks[0], (70, 46, 36), 0.4))
    return picture


def _backdrop(colour: Colour, size: int) -> np.ndarray:
    """(size, size, 3) uint8: a soft glow behind the head."""
    at = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None]
    distance = np.sqrt((at.T - 0.42) ** 2 + (at - 0.36) ** 2)[..., None]
    return (np.asarray(colour, np.float32) * (1.1 - 0.42 * distance)).clip(0, 255).astype(np.uint8)


def _paint_body(head: Head, picture: np.ndarray, light: np.ndarray, skin: Ramp) -> None:
    """Clothes, neck and collar, which follow the shifts and the scale but not the turns of the head."""
    clothes, t = head.identity.clothes, np.linspace(0, 1, 16)

    def mirrored(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return head.centre + head.unit * np.stack([np.append(x, -x[::-1]), np.append(y, y[::-1])], axis=1)

    shoulders = mirrored(np.append(0.5 + 1.75 * t**0.8, 2.5), np.append(1.58 + 0.35 * t + 0.75 * t**5, 5.0))
    across = np.broadcast_to(1.05 - 0.7 * np.linspace(0, 1, GRID), (GRID, GRID))
    cloth = scale(clothes, 0.62), mix(scale(clothes, 1.08), (255, 255, 255), 0.08)
    compose(picture, tint(across, cloth, head.size), mask_of(shoulders, head.size))
    neck = mask_of(mirrored(0.5 + 0.14 * t**4, 0.5 + 1.15 * t), head.size)
    collar = mirrored(0.64 * np.cos(np.pi / 2 * t), 1.64 + 0.3 * np.sin(np.pi / 2 * t))
    fill(neck, collar, 255)
    compose(picture, tint(light - 0.08, skin, head.size), neck)
    fill(picture, ribbon(collar, np.full(len(collar), 0.11 * head.unit)), scale(clothes, 0.78))
