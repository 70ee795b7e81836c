"""The eyes: lids, lashes and eyeballs."""

from __future__ import annotations

import numpy as np

from hp_core.demo.colour import Ramp, mix, scale
from hp_core.demo.drawing import compose, fill, ribbon, ring
from hp_core.demo.geometry import Head

_ARCH = (1 - np.abs(np.linspace(-1, 1, 21)) ** 2.3) ** 0.85
"""How far a lid stands off the line between the corners of the eye, along it, as a part of the most."""


def is_open(head: Head, side: int) -> bool:
    """Whether any of the eyeball shows."""
    return head.now["blink_left" if side < 0 else "blink_right"] < 0.95


def eye_opening(head: Head, side: int) -> np.ndarray:
    """Outline (n, 2) in pixels of what the lids leave open."""
    rim, low, _ = _lids(head, side)
    return np.concatenate([rim, low[::-1]])


def _lids(head: Head, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edge of the upper lid, of the lower lid, and the crease above: (21, 2) pixels each, from image left to right."""
    now, (ex, ey), k = head.now, head.eye(side), head.identity.eye_size
    blink, u = now["blink_left" if side < 0 else "blink_right"], np.linspace(-1, 1, 21)
    arch, x, level = _ARCH, ex + 0.275 * k * u, ey - 0.03 * side * u
    lower = level + k * arch * (0.09 - 0.018 * max(now["smile"], 0) - 0.01 * blink + 0.045 * now["gaze_y"])
    raised = level - 0.15 * k * arch * (1 + 0.1 * now["brows"] - 0.6 * now["gaze_y"])
    rim, low = head.on_face(x, raised + blink * (lower - raised)), head.on_face(x, lower)
    return rim, low, head.on_face(ex + 0.285 * k * u, raised - 0.045 * k + 0.03 * blink)


def paint_eye(head: Head, picture: np.ndarray, side: int, skin: Ramp) -> None:
    """Draw the eye on ``side`` (-1 image left, 1 right) over ``picture``, in place."""
    now, (ex, ey), k, u = head.now, head.eye(side), head.identity.eye_size, np.linspace(-1, 1, 21)
    (rim, low, crease), arch = _lids(head, side), _ARCH
    fill(picture, np.concatenate([crease, low[::-1]]), mix(*skin, 0.58))
    fill(picture, ribbon(crease, 0.024 * head.unit * arch), mix(*skin, 0.12))
    if is_open(head, side):
        pupil = ex + 0.17 * k * now["gaze_x"], ey - 0.025 + 0.105 * k * now["gaze_y"]
        _paint_eyeball(head, picture, np.concatenate([rim, low[::-1]]), rim, pupil)
    fill(picture, ribbon(low, 0.016 * head.unit * arch), mix(*skin, 0.1))
    lash = np.interp(side * u, (-1, 0.2, 0.85, 1), (0.012, 0.038, 0.046, 0.02))
    fill(picture, ribbon(rim, lash * head.unit), (44, 28, 28))


def _paint_eyeball(head: Head, picture: np.ndarray, opening: np.ndarray, rim: np.ndarray, pupil: tuple[float, float]) -> None:
    """White, iris, pupil and catch lights, cut to the ``opening`` between the lids."""
    eye, k = head.identity.eye, head.identity.eye_size
    low = np.clip(np.floor(opening.min(axis=0)).astype(int) - 2, 0, head.size - 1)
    high = np.clip(np.ceil(opening.max(axis=0)).astype(int) + 3, 1, head.size)
    window = picture[low[1] : high[1], low[0] : high[0]]
    ball, mask = np.full_like(window, (246, 243, 240)), np.zeros(window.shape[:2], np.uint8)
    fill(ball, ribbon(rim - low, np.full(len(rim), 0.09 * head.unit)), (206, 200, 204))
    rings, colours = [], []
    for dx, dy, radius, colour in (
        (0, 0, 0.112, scale(eye, 0.42)), (0, 0, 0.098, scale(eye, 0.85)), (0.01, 0.03, 0.06, mix(eye, (255, 240, 210), 0.25)),
        (0, 0, 0.052, (18, 14, 16)), (-0.036, -0.04, 0.022, (255, 255, 255)), (0.035, 0.04, 0.011, (226, 230, 236)),
    ):  # fmt: skip
        rings.append(ring(pupil[0] + dx, pupil[1] + dy, radius * k, radius * k))
        colours.append(colour)
    outlines = head.on_face(*np.concatenate(rings, axis=1)).reshape(len(rings), -1, 2) - low
    for outline, colour in zip(outlines, colours, strict=True):
        fill(ball, outline, colour)
    fill(mask, opening - low, 255)
    compose(window, ball, mask)
