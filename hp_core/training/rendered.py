"""Clips of rendered portraits: a world with ground truth, in which one person can give exactly another's performance."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from fractions import Fraction
from multiprocessing import get_context

import numpy as np
from PIL import Image

from hp_core.config import FaceConfig
from hp_core.demo.geometry import CHIN, Head
from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import five_points, render
from hp_core.demo.styles import STYLES
from hp_core.demo.world import portrait_performance
from hp_core.face.crop import head_crop, motion_crop
from hp_core.training.clips import Clip
from hp_core.training.processes import process_count
from hp_core.training.settings import DataConfig

EXPRESSION = ("jaw", "smile", "pucker", "brows", "blink_left", "blink_right", "gaze_x", "gaze_y")
"""The columns of the label ``expression``, as `Performance` measures them."""

ROTATION = ("yaw", "pitch", "roll")
DRIVING_SCALE = 2
"""Driving frames are larger than what is drawn after them, as driving videos are: a gaze is a matter of two pixels at 128."""

TRANSLATION_UNIT = 0.1
"""The label ``translation`` counts shifts in tenths of the image side, and the logarithm of the scale in tenths."""

_BATCH = 64  # clips

_POINT_NOISE = 0.02  # of a detector's five points, in face widths, as MediaPipe's differ from the truth


class RenderedSource:
    """``config.clips`` clips, the same for the same seed, rendered when they are asked for.

    Clip ``k`` shows person ``seed + k`` in performance ``seed + k``. Its motion crops show, for ``config.cross_share`` of the
    clips, another person of the same range in the same performance.

    Args:
        first: number of the first clip; training and held-out clips take ranges that do not meet (`hp_core.demo.world`).
    """

    def __init__(self, config: DataConfig, face: FaceConfig, *, first: int = 0, clips: int | None = None) -> None:
        self.config, self.face = config, face
        self.seeds = range(first + config.seed, first + config.seed + (config.clips if clips is None else clips))
        self.keys = [f"rendered-{seed:07d}" for seed in self.seeds]
        self.skipped: dict[str, str] = {}

    def read(self, keys: Collection[str]) -> Iterator[Clip]:
        """The clips of these keys, in order."""
        wanted = set(keys)
        indices = [index for index, key in enumerate(self.keys) if key in wanted]
        # Drawing is single-threaded; batches bound what waits for a slower reader.
        workers = max((os.cpu_count() or 1) // process_count(), 1)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for start in range(0, len(indices), _BATCH):
                yield from pool.map(self.__getitem__, indices[start : start + _BATCH])

    def __getitem__(self, index: int) -> Clip:
        seed = self.seeds[index]
        rng = np.random.default_rng([seed, 3])
        size, count = self.face.image_size, self.config.frames
        who, what = Identity.sample(seed), Performance.sample(seed, count, fps=self.config.fps)
        if self.config.rest_frame:
            what = joined(portrait_performance(seed), what)
        frames = np.stack(list(render(who, what, size=size, style=self._style(seed))))
        if rng.random() < self.config.cross_share:
            other = Identity.sample(int(self.seeds[int(rng.integers(len(self.seeds)))]))
        else:
            other = who
        driving = np.stack(list(render(other, what, size=DRIVING_SCALE * size)))
        motion, heads, points = driving_crops(driving, other, what, self.face, rng)
        return Clip(
            key=self.keys[index],
            person=f"{seed:07d}",
            fps=Fraction(self.config.fps).limit_denominator(1000),
            frames=frames,
            motion_crops=motion,
            head_crops=heads,
            five_points=points,
            crop_points=five_points(who, what, size),
            rotation=np.stack([getattr(what, name) for name in ROTATION], axis=1),
            keypoints=np.stack([body_points(Head(who, what, i, size)) for i in range(len(what))]),
            labels={
                "expression": np.stack([getattr(what, name) for name in EXPRESSION], axis=1),
                "translation": np.stack([what.shift_x, what.shift_y, np.log(what.scale)], axis=1) / TRANSLATION_UNIT,
            },
        )

    def _style(self, seed: int) -> str:
        """Of the pictures that are to be drawn; the motion crops keep the usual look (paper 3.5)."""
        rng = np.random.default_rng([seed, 6])
        if self.config.stylizer or rng.random() >= self.config.style_share:
            return STYLES[0]
        return STYLES[int(rng.integers(1, len(STYLES)))]


def joined(*parts: Performance) -> Performance:
    """``parts`` one after another."""
    return Performance(**{item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Performance)})


def driving_crops(
    frames: np.ndarray, who: Identity, what: Performance, face: FaceConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Motion crops (F, M, M, 3), head crops (F, H, H, 3) and noisy five points (F, 5, 2) of driving frames (F, S, S, 3)."""
    size = frames.shape[1]
    box = face_box(Head(who, what, int(rng.integers(len(frames))), size))  # a clip may begin in any pose
    noise = _POINT_NOISE * (box[2] - box[0])
    steady = rng.normal(0, noise, (1, 5, 2))  # a detector errs alike from frame to frame
    points = five_points(who, what, size) + steady + rng.normal(0, noise / 4, (len(frames), 5, 2))
    box = box + rng.normal(0, noise, 4)
    motion = np.stack([motion_crop(frame, at, box, face) for frame, at in zip(frames, points, strict=True)])
    heads = np.stack([head_crop(Image.fromarray(frame).resize((face.image_size,) * 2, Image.Resampling.BICUBIC), face) for frame in frames])
    return motion, heads, points.astype(np.float32)


def face_box(head: Head) -> np.ndarray:
    """(4,) x1, y1, x2, y2 in pixels: the face from the middle of the forehead to the chin, as landmark detectors see it."""
    angle, y = np.meshgrid(np.linspace(-np.pi / 2, np.pi / 2, 30), np.linspace(-0.52, CHIN, 30))
    points = head.place(head.around(angle.ravel(), y.ravel()))
    inset = 0.06 * head.unit
    return np.concatenate([points.min(0) + (inset, 0), points.max(0) - (inset, 0)])


def body_points(head: Head) -> np.ndarray:
    """(18, 3) x, y in pixels and confidence, in OpenPose's order; arms and legs are out of the picture."""
    left_eye, right_eye, nose = head.five_points()[:3]
    body = head.centre + head.unit * np.array([[0.0, 1.62], [-1.75, 1.95], [1.75, 1.95]])
    ears = head.place(np.array([[-1.0, 0.2, -0.2], [1.0, 0.2, -0.2]]))
    points = np.zeros((18, 3), np.float32)
    # A person's right is the image left.
    rows = {0: nose, 1: body[0], 2: body[1], 5: body[2], 14: left_eye, 15: right_eye, 16: ears[0], 17: ears[1]}
    for row, at in rows.items():
        points[row] = (*at, 1.0)
    return points
