"""Painters of the features of a face: each draws over ``picture`` in place. Side -1 is the image left, 1 the right."""

from __future__ import annotations

import numpy as np

from hp_core.demo.colour import Colour, Ramp, mix, scale
from hp_core.demo.drawing import compose, fill, ribbon, ring
from hp_core.demo.geometry import NOSE, Head


def paint_ear(head: Head, picture: np.ndarray, side: int, skin: Ramp) -> None:
    angle = np.linspace(0, 2 * np.pi, 24)
    for size, part in ((1.0, 0.62 if side < 0 else 0.42), (0.6, 0.25)):
        out, down = 0.085 * size * (1 + 0.9 * np.cos(angle)), size * (0.29 * np.sin(angle) + 0.04 * np.cos(angle))
        fill(picture, head.place(np.stack([side * (0.97 + out), 0.2 + down, -0.12 - 0.8 * out], axis=1)), mix(*skin, part))


def paint_nose(head: Head, picture: np.ndarray, skin: Ramp) -> None:
    k, t, (tip, out) = head.identity.nose_size, np.linspace(0, 1, 9), NOSE
    for side in (-1, 1):
        fill(picture, head.on_face(*ring(0.085 * k * side, tip + 0.08, 0.048 * k, 0.021), 0.17 * k), mix(*skin, -0.25))
        wing = head.on_face(side * k * (0.15 + 0.05 * np.sin(np.pi * t)), tip - 0.05 + 0.13 * t, 0.09)
        fill(picture, ribbon(wing, 0.03 * head.unit * np.sin(np.pi * (0.1 + 0.8 * t))), mix(*skin, 0.22 if side < 0 else 0.1))
    shine = head.on_face(*ring(-0.035 * k, tip - 0.04, 0.035 * k, 0.028), out * k)
    fill(picture, shine, mix(skin[1], (255, 252, 244), 0.12))


def paint_mouth(head: Head, picture: np.ndarray, skin: Ramp) -> None:
    who, u, opening = head.identity, np.linspace(-1, 1, 25), 0.37 * head.now["jaw"]
    arch, (x, line) = (1 - u * u) ** 0.72, head.mouth(u)
    thick, upper, lower = who.lip_thickness * (1 - 0.15 * head.now["smile"]), line - 0.06 * opening * arch, line + opening * arch

    def between(top: np.ndarray, bottom: np.ndarray, colour: Colour, part: slice = slice(None)) -> None:
        edges = head.on_face(x, top, 0.05 * arch)[part], head.on_face(x, bottom, 0.05 * arch)[part][::-1]
        fill(picture, np.concatenate(edges), colour)

    if opening > 0.012:
        between(upper, lower, (66, 20, 26))
        between(lower - 0.4 * opening * arch, lower, (186, 82, 84), slice(6, 19))  # tongue
        between(upper, upper + min(0.1, 0.6 * opening) * arch, (246, 242, 234), slice(2, 23))  # teeth
    between(lower, lower + 0.12 * thick * arch, who.lip)
    between(lower + 0.035 * thick * arch, lower + 0.062 * thick * arch, mix(who.lip, (255, 236, 230), 0.3), slice(8, 15))
    between(upper - 0.095 * thick * arch * (1 - 0.3 * np.exp(-((u / 0.13) ** 2))), upper, scale(who.lip, 0.82))
    seam = ribbon(head.on_face(x, upper, 0.05 * arch), head.unit * (0.012 + 0.014 * arch))
    fill(picture, seam, mix(scale(who.lip, 0.42), skin[0], 0.2))


def paint_eye(head: Head, picture: np.ndarray, side: int, skin: Ramp) -> None:
    now, (ex, ey), k = head.now, head.eye(side), head.identity.eye_size
    blink, u = now["blink_left" if side < 0 else "blink_right"], np.linspace(-1, 1, 21)
    arch, x, level = (1 - np.abs(u) ** 2.3) ** 0.85, ex + 0.235 * k * u, ey - 0.03 * side * u
    lower = level + k * arch * (0.08 - 0.018 * max(now["smile"], 0) - 0.01 * blink)
    raised = level - 0.125 * k * arch * (1 + 0.12 * now["brows"] - 0.22 * now["gaze_y"])
    rim, low = head.on_face(x, raised + blink * (lower - raised)), head.on_face(x, lower)
    crease = head.on_face(ex + 0.25 * k * u, raised - 0.045 * k + 0.03 * blink)
    fill(picture, np.concatenate([crease, low[::-1]]), mix(*skin, 0.58))
    fill(picture, ribbon(crease, 0.024 * head.unit * arch), mix(*skin, 0.12))
    if blink < 0.95:
        pupil = ex + 0.085 * now["gaze_x"], ey - 0.02 + 0.05 * now["gaze_y"]
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
    for dx, dy, radius, colour in (
        (0, 0, 0.125, scale(eye, 0.45)), (0, 0, 0.11, scale(eye, 0.85)), (0.012, 0.035, 0.068, mix(eye, (255, 240, 210), 0.25)),
        (0, 0, 0.055, (18, 14, 16)), (-0.042, -0.045, 0.027, (255, 255, 255)), (0.04, 0.045, 0.013, (226, 230, 236)),
    ):  # fmt: skip
        fill(ball, head.on_face(*ring(pupil[0] + dx, pupil[1] + dy, radius * k, radius * k)) - low, colour)
    fill(mask, opening - low, 255)
    compose(window, ball, mask)


def paint_brow(head: Head, picture: np.ndarray, side: int, colour: Colour) -> None:
    t = np.linspace(0, 1, 15)
    x = head.eye(side)[0] + side * (-0.24 + 0.54 * t)
    y = -0.215 - 0.1 * head.now["brows"] - 0.06 * np.sin(np.pi * t) + 0.02 * t
    width = 0.095 * head.identity.brow_thickness * np.interp(t, (0, 0.12, 0.55, 1), (0.45, 0.9, 0.85, 0.12))
    fill(picture, ribbon(head.on_face(x, y, 0.03), width * head.unit), colour)
