"""Procedural cartoon portraits: a face to run the whole system on, without any photograph in the repository.

An `Identity` is what a person looks like and a `Performance` is what the person does; either can be exchanged without the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hp_core.demo.backdrop import backdrop
from hp_core.demo.clothes import paint_body
from hp_core.demo.colour import mix, scale
from hp_core.demo.drawing import compose, fill, mask_of, through_lens
from hp_core.demo.eyes import paint_eye
from hp_core.demo.features import paint_brow, paint_ear, paint_glasses, paint_nose
from hp_core.demo.geometry import Head
from hp_core.demo.hair import Hair
from hp_core.demo.identity import Identity
from hp_core.demo.light import daylight, even_light, tint
from hp_core.demo.mouth import paint_beard, paint_mouth
from hp_core.demo.performance import Performance
from hp_core.demo.styles import STYLES, ink, paint
from hp_core.errors import OptionError

SMALLEST = 64
"""Smallest image side, in pixels, that still shows a face."""


def render(identity: Identity, performance: Performance, *, size: int = 512, style: str = "shaded") -> Iterator[np.ndarray]:
    """Draw ``identity`` giving ``performance``: one (size, size, 3) uint8 RGB picture a frame, each a new array.

    Args:
        size: side of the pictures, pixels.
        style: one of `STYLES`: another look of the same faces in the same places.

    Raises:
        OptionError: ``size`` is below `SMALLEST`, or ``style`` is unknown.
    """
    check_size(size)
    if style not in STYLES:
        raise OptionError(f"Unknown style '{style}'. Choose one of: {', '.join(STYLES)}.")
    lit = style in ("shaded", "painted")
    size *= 2 if style == "line-art" else 1
    behind = backdrop(identity, size) if lit else np.full((size, size, 3), identity.background, np.uint8)
    heads = (Head(identity, performance, index, size) for index in range(len(performance)))
    frames: Iterator[np.ndarray] = (_draw(head, behind.copy(), lit, style != "flat") for head in heads)
    finish = {"line-art": ink, "painted": paint}.get(style)
    frames = map(finish, frames) if finish else frames
    return map(through_lens, frames) if lit else frames  # what is drawn flat or in ink is no photograph


def five_points(identity: Identity, performance: Performance, size: int) -> np.ndarray:
    """Where `render` puts the landmarks, (frames, 5, 2) float32 pixels.

    In order: left eye, right eye, nose tip, left mouth corner, right mouth corner, image left first. The eyes are the middles
    of their openings, whatever the gaze.

    Raises:
        OptionError: ``size`` is below `SMALLEST`.
    """
    check_size(size)
    heads = (Head(identity, performance, index, size) for index in range(len(performance)))
    return np.stack([head.five_points() for head in heads]).astype(np.float32)


def check_size(size: int) -> None:
    """Raise `OptionError` for a ``size`` below `SMALLEST`."""
    if size < SMALLEST:
        raise OptionError(f"A portrait of {size} pixels is too small to show a face. Ask for {SMALLEST} or more.")


def _draw(head: Head, picture: np.ndarray, lit: bool, streaks: bool) -> np.ndarray:
    """Draw over ``picture``, in place: in daylight or without light and shade, the hair with streaks or in one colour."""
    who, hair = head.identity, Hair(head)
    skin = mix(who.skin, (92, 22, 26), 0.44), mix(scale(who.skin, 1.06), (255, 248, 236), 0.14)
    locks = scale(who.hair, 0.5), mix(scale(who.hair, 1.3), (255, 232, 206), 0.13)
    face, fringe = mask_of(head.outline(), head.size), hair.mask()
    light = daylight(head, face, fringe) if lit else even_light(head.size)
    nearer = -1 if head.now["yaw"] > 0 else 1
    fill(picture, hair.behind(), scale(who.hair, 0.6))
    paint_body(head, picture, light, skin)
    paint_ear(head, picture, -nearer, skin)
    compose(picture, tint(light.face, skin, head.size, mix(who.skin, (222, 60, 64), 0.55), light.blush), face)
    paint_ear(head, picture, nearer, skin)
    layer = tint(light.hair, locks, head.size)
    paint_beard(head, picture, layer, face)
    paint_nose(head, picture, skin)
    paint_mouth(head, picture, skin)
    for side in (-1, 1):
        paint_eye(head, picture, side, skin)
    paint_glasses(head, picture)
    if streaks:
        hair.paint_locks(layer, locks)
    compose(picture, layer, fringe)
    for side in (-1, 1):  # over the hair: a fringe must not hide what the brows say
        paint_brow(head, picture, side, mix(locks[0], (70, 46, 36), 0.4))
    return picture
