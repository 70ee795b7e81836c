"""Painters of ears, nose, brows and glasses: each draws over ``picture`` in place. Side -1 is the image left, 1 the right."""

from __future__ import annotations

import numpy as np

from hp_core.demo.colour import Colour, Ramp, mix
from hp_core.demo.drawing import fill, ribbon, ring
from hp_core.demo.geometry import Head


def paint_ear(head: Head, picture: np.ndarray, side: int, skin: Ramp) -> None:
    for size, part in ((1.0, 0.62 if side < 0 else 0.42), (0.6, 0.25)):
        fill(picture, ear_outline(head, side, size), mix(*skin, part))


def ear_outline(head: Head, side: int, part: float = 1.0) -> np.ndarray:
    """Outline (n, 2) in pixels, shrunk to ``part`` of the size of the ear."""
    who, angle, size = head.identity, np.linspace(0, 2 * np.pi, 24), part * head.identity.ear_size
    out, down = (0.05 + 0.07 * who.ear_stand) * size * (1 + 0.9 * np.cos(angle)), size * (0.29 * np.sin(angle) + 0.04 * np.cos(angle))
    return head.place(np.stack([side * (0.97 + out), 0.2 + down, -0.12 - 0.8 * out], axis=1))


def paint_nose(head: Head, picture: np.ndarray, skin: Ramp) -> None:
    k, t, (tip, out) = head.identity.nose_width, np.linspace(0, 1, 9), head.nose
    for side in (-1, 1):
        fill(picture, head.on_face(*ring(0.085 * k * side, tip + 0.085, 0.048 * k, 0.021), 0.55 * out), mix(*skin, -0.25))
        wing = head.on_face(side * k * (0.15 + 0.05 * np.sin(np.pi * t)), tip - 0.05 + 0.13 * t, 0.09)
        fill(picture, ribbon(wing, 0.03 * head.unit * np.sin(np.pi * (0.1 + 0.8 * t))), mix(*skin, 0.22 if side < 0 else 0.1))
    shine = head.on_face(*ring(-0.035 * k, tip - 0.04, 0.035 * k, 0.028), out)
    fill(picture, shine, mix(skin[1], (255, 252, 244), 0.12))


def paint_brow(head: Head, picture: np.ndarray, side: int, colour: Colour) -> None:
    fill(picture, brow_outline(head, side), colour)


def brow_outline(head: Head, side: int) -> np.ndarray:
    """Outline (n, 2) in pixels."""
    t = np.linspace(0, 1, 15)
    x = head.eye(side)[0] + side * (-0.24 + 0.54 * t)
    y = -0.215 - 0.125 * head.now["brows"] - 0.06 * np.sin(np.pi * t) + 0.02 * t
    width = 0.095 * head.identity.brow_thickness * np.interp(t, (0, 0.12, 0.55, 1), (0.45, 0.9, 0.85, 0.12))
    return ribbon(head.on_face(x, y, 0.03), width * head.unit)


def paint_glasses(head: Head, picture: np.ndarray) -> None:
    """Thin frames before the eyes, if the person wears any."""
    who, angle = head.identity, np.linspace(0, 2 * np.pi, 33)
    if who.glasses == "none":
        return
    power, colour = (1.0, (92, 70, 52)) if who.glasses == "round" else (0.6, (48, 44, 54))

    def wire(x: np.ndarray, y: np.ndarray, width: float, back: np.ndarray | float = 0.0) -> None:
        line = head.place(np.stack([x, y, 1.14 - 0.35 * x * x - back], axis=1))
        fill(picture, ribbon(line, np.full(len(line), width * head.unit)), colour)

    for side in (-1, 1):
        x, y = head.eye(side)
        round_x, round_y = (np.sign(wave) * np.abs(wave) ** power for wave in (np.cos(angle), np.sin(angle)))
        wire(x + 0.345 * round_x, y + 0.02 + 0.265 * round_y, 0.028)
        seen = float(np.clip(1.25 - side * head.now["yaw"] / 8, 0, 1))  # the far temple goes behind the face
        if seen > 0:
            wire(side * np.linspace(abs(x) + 0.345, 1.0, 6), np.linspace(y, y + 0.06, 6), 0.024 * seen, np.linspace(0, 1, 6) ** 0.7)
    inner = abs(head.eye(1)[0]) - 0.345
    wire(np.linspace(-inner, inner, 5), 0.03 - 0.03 * np.cos(np.linspace(-1.5, 1.5, 5)), 0.028)
