"""What is known about a rendered clip without looking at it: regions, head rotation and the file that holds them all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from hp_core.demo.clothes import neck_outline, shoulders_outline
from hp_core.demo.drawing import mask_of
from hp_core.demo.eyes import eye_opening, is_open
from hp_core.demo.features import brow_outline, ear_outline
from hp_core.demo.geometry import Head, rotation_of
from hp_core.demo.hair import Hair
from hp_core.demo.identity import Identity
from hp_core.demo.mouth import beard_mask, mouth_outline
from hp_core.demo.performance import Performance
from hp_core.demo.render import check_size, five_points
from hp_core.files import written_beside

MASK_LABELS = ("background", "body", "skin", "hair", "eyes", "mouth", "brows", "beard")
"""What the numbers in `masks` stand for: ``body`` is clothes and neck, ``skin`` that of face and ears, with stubble and behind
glasses; ``eyes`` are what the lids leave open, ``mouth`` the lips and what is between them."""


def masks(identity: Identity, performance: Performance, size: int) -> Iterator[np.ndarray]:
    """Where `render` draws what, in any style: one (size, size) uint8 map of indices into `MASK_LABELS` a frame.

    Raises:
        OptionError: ``size`` is below the smallest portrait.
    """
    check_size(size)
    return (_labels(Head(identity, performance, index, size)) for index in range(len(performance)))


def head_rotation(performance: Performance) -> np.ndarray:
    """(frames, 3, 3) float32: turns points of the head to the picture's axes, which are right, down and towards the viewer."""
    angles = zip(performance.yaw, performance.pitch, performance.roll, strict=True)
    return np.stack([rotation_of(*angle) for angle in angles]).astype(np.float32)


def save_truth(path: Path, identity: Identity, performance: Performance, size: int, *, fps: float = 25.0) -> None:
    """Write all that is known about a clip of ``size`` pixels into one .npz file.

    It holds each array of the performance by its name, ``five_points``, ``head_rotation``, ``masks`` (frames, size, size),
    ``mask_labels``, ``identity`` as a JSON string, and ``fps``.

    Raises:
        OptionError: ``size`` is below the smallest portrait.
        PortraitError: ``path`` cannot be written.
    """
    truth = {
        **{field.name: getattr(performance, field.name) for field in fields(performance)},
        "five_points": five_points(identity, performance, size),
        "head_rotation": head_rotation(performance),
        "masks": np.stack(list(masks(identity, performance, size))),
        "mask_labels": np.array(MASK_LABELS),
        "identity": np.array(json.dumps(asdict(identity))),
        "fps": np.array(fps, np.float64),
    }
    with written_beside(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **truth)


def _labels(head: Head) -> np.ndarray:
    hair, face = Hair(head), mask_of(head.outline(), head.size)
    labels = np.zeros((head.size,) * 2, np.uint8)
    regions = [("hair", hair.behind()), ("body", shoulders_outline(head)), ("body", neck_outline(head)), ("skin", face)]
    regions += [("skin", ear_outline(head, side)) for side in (-1, 1)]
    if head.identity.beard in ("full", "moustache"):
        regions.append(("beard", beard_mask(head, face)))
    regions.append(("mouth", mouth_outline(head)))
    regions += [("eyes", eye_opening(head, side)) for side in (-1, 1) if is_open(head, side)]
    regions.append(("hair", hair.mask()))
    regions += [("brows", brow_outline(head, side)) for side in (-1, 1)]
    for name, shape in regions:
        mask = shape if shape.dtype == np.uint8 else mask_of(shape, head.size)
        labels[mask > 127] = MASK_LABELS.index(name)
    return labels
