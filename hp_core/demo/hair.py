"""The hair on a head."""

from __future__ import annotations

import numpy as np

from hp_core.demo.colour import Ramp, mix
from hp_core.demo.drawing import fill, fill_convex, hull, ribbon, ring
from hp_core.demo.geometry import CHIN, Head, facets


class Hair:
    """A shell over the head from the parting down to the hairline, plus what hangs behind."""

    def __init__(self, head: Head) -> None:
        who, self.head = head.identity, head
        self.falls = who.hair_style in ("bob", "long")
        angle, down, top = np.linspace(-np.pi, np.pi, 57), np.linspace(0, 1, 13)[:, None], who.hairline
        degrees = np.degrees(np.abs(angle))
        side = (0.25, 0.95, 1.0, 1.0, 1.0) if self.falls else (-0.12, 0.12, -0.05, 0.4, 0.5)
        line = np.interp(degrees, (0, 28, 46, 60, 70, 92, 122, 180), (top, top + 0.01, 0.7 * top, *side))
        line = line + 0.16 * who.parting * np.sin(angle) * np.clip((70 - degrees) / 30, 0, 1)
        # Locks run from the parting to the hairline along great circles.
        pole, ends = _toward(0.6 * who.parting, -1.26), _toward(angle, line)
        arc = np.arccos(np.clip(ends @ pole, -1, 1))[:, None]
        way = (np.sin(arc * (1 - down[..., None])) * pole + np.sin(arc * down[..., None]) * ends) / np.sin(arc)
        drape = 0.1 * self.falls * np.clip((degrees - 55) / 30, 0, 1) * down**2
        lift = 0.012 + who.hair_volume * (1 - down**3) + drape
        shell = head.around(np.arctan2(way[..., 0], way[..., 2]).ravel(), CHIN * way[..., 1].ravel(), lift.ravel())
        shell[:, 1] += (lift * way[..., 1].clip(None, 0)).ravel()
        self.grid = head.place(shell).reshape(*lift.shape, 2)
        self.quads, self.in_front = facets(self.grid)

    def mask(self) -> np.ndarray:
        """(size, size) uint8: the hair before and above the face."""
        mask = np.zeros((self.head.size,) * 2, np.uint8)
        fill_convex(mask, self.quads[self.in_front], 255)
        if self.head.identity.hair_style == "bun":
            x, y = ring(0, -1.62, 0.42, 0.34)
            fill(mask, self.head.place(np.stack([x, y, np.full_like(x, -0.25)], axis=1)), 255)
        return mask

    def behind(self) -> np.ndarray:
        """Outline (n, 2) of the hair behind head and neck."""
        bottom = {"bob": 1.35, "long": 2.15}.get(self.head.identity.hair_style, 0.4)
        angle, fall = (grid.ravel() for grid in np.meshgrid(np.radians(np.linspace(75, 285, 16)), np.linspace(0, 1, 13) ** 0.6))
        wide = (1.14 if self.falls else 0.98) * (1 - 0.25 * fall**6) * (0.92 + 0.08 * np.minimum(3 * fall, 1))
        back = np.stack([wide * np.sin(angle), -0.5 + (bottom + 0.5) * fall, 1.1 * wide * np.cos(angle)], axis=1)
        return hull(np.concatenate([self.head.place(back), self.grid[:6].reshape(-1, 2)]))

    def paint_locks(self, layer: np.ndarray, ramp: Ramp) -> None:
        """Draw streaks along the hair over ``layer``, in place."""
        locks = self.grid[1:, :-1].swapaxes(0, 1)
        seen = np.append(self.in_front[1:], self.in_front[-1:], axis=0).T
        width = self.head.unit * np.sin(np.linspace(0.3, 2.9, locks.shape[1])) * seen
        strokes = ribbon(locks, width * np.where(np.arange(len(locks)) % 3 == 0, 0.032, 0.012)[:, None])
        for k in np.flatnonzero(seen.sum(axis=1) > 2):
            fill(layer, strokes[k], mix(*ramp, (0.27, 0.53, 0.38, 0.58, 0.33)[k % 5]))


def _toward(angle: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
    """(..., 3) unit directions from the middle of the head to ``angle`` and height ``y``."""
    down = np.clip(np.asarray(y) / CHIN, -1, 1)
    level = np.sqrt(1 - down**2)
    return np.stack(np.broadcast_arrays(level * np.sin(angle), down, level * np.cos(angle)), axis=-1)
