"""Faces: how fast they are found and drawn, and how well they are read."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from hp_core.checks import check_range
from hp_core.face.analyzer import FaceAnalyzer


def face_speed(frames: Iterable[np.ndarray], analyzer: FaceAnalyzer) -> dict[str, float]:
    """Frames found, and frames a second of detection alone, whatever ``frames`` (height, width, 3) uint8 come from."""
    found = count = 0
    seconds = 0.0
    for frame in frames:
        start = time.perf_counter()
        found += bool(analyzer.detect(frame))
        seconds += time.perf_counter() - start
        count += 1
    return {"frames": count, "found": found, "frames_per_second": count / seconds}


def render_speed(size: int, frames: int = 200) -> dict[str, Any]:
    """Frames a second of processor time that `hp_core.demo.render.render` takes over several people; best of three."""
    import cv2

    from hp_core.demo.identity import Identity
    from hp_core.demo.performance import Performance
    from hp_core.demo.render import render

    def seconds() -> float:
        start = time.process_time()
        for seed in range(8):
            for _ in render(Identity.sample(seed), Performance.sample(seed, frames // 8), size=size):
                pass
        return time.process_time() - start

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return {"size": size, "frames_per_second": frames // 8 * 8 / min(seconds() for _ in range(3))}
    finally:
        cv2.setNumThreads(threads)


def face_readings(frames: int, size: int = 256) -> dict[str, Any]:
    """How `hp_core.evaluation.readings.MotionReader` reads rendered faces: the share found, and each reading's correlation.

    Args:
        frames: how many, 16 or more for correlations that mean something; eight of each person.
        size: side of the pictures, pixels.

    Frames in which an eye is more than half closed do not count for the gaze: nobody can see it there.

    Raises:
        OptionError: fewer than 16 frames, or ``size`` too small.
        FaceError: MediaPipe or its model is absent.
    """
    check_range("readings", frames, 16)
    from dataclasses import fields

    from hp_core.demo.identity import Identity
    from hp_core.demo.performance import Performance
    from hp_core.demo.render import render
    from hp_core.evaluation.clip_readings import VALUES
    from hp_core.evaluation.readings import MotionReader

    pairs: list[tuple[list[float], list[float]]] = []
    with MotionReader() as reader:
        for seed in range(-(-frames // 8)):
            whole = Performance.sample(1_000_000 + seed, 160)
            chosen = slice(9, None, 20)
            performance = Performance(**{field.name: getattr(whole, field.name)[chosen] for field in fields(whole)})
            for index, frame in zip(range(min(8, frames - 8 * seed)), render(Identity.sample(seed), performance, size=size), strict=False):
                reading = reader.read(frame)
                if reading is not None:
                    truth = [float(getattr(performance, name)[index]) for name in VALUES]
                    pairs.append((truth, [getattr(reading, name) for name in VALUES]))
    true, read = np.array(pairs).transpose(1, 2, 0)
    seen = np.maximum(true[VALUES.index("blink_left")], true[VALUES.index("blink_right")]) < 0.5
    kept = {name: seen if name.startswith("gaze") else slice(None) for name in VALUES}
    correlations = {name: float(np.corrcoef(true[row][kept[name]], read[row][kept[name]])[0, 1]) for row, name in enumerate(VALUES)}
    return {"frames_read": frames, "detected": len(pairs) / frames, "correlations": correlations}
