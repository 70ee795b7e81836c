"""What a person does, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from hp_core.demo import motion
from hp_core.demo.identity import check_seed
from hp_core.errors import OptionError


@dataclass(frozen=True, eq=False)
class Performance:
    """What a person does: one float32 value a frame in each array (frames,).

    Directions are those of the image: positive yaw turns the nose to the right, positive pitch lowers it, positive roll tilts the
    head clockwise, all in degrees. The shifts are fractions of the image side (right, down); scale 1 is the usual size. ``jaw``
    0..1 opens the mouth, ``smile`` -1..1 lifts its corners, ``pucker`` 0..1 rounds and narrows the lips, ``brows`` -1..1 lifts the
    brows, the blinks 0..1 close the eye at the image left and right, ``gaze_x`` and ``gaze_y`` -1..1 point right and down.

    Raises:
        OptionError: the arrays are not of one length, or have no frame.
    """

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    shift_x: np.ndarray
    shift_y: np.ndarray
    scale: np.ndarray
    jaw: np.ndarray
    smile: np.ndarray
    pucker: np.ndarray
    brows: np.ndarray
    blink_left: np.ndarray
    blink_right: np.ndarray
    gaze_x: np.ndarray
    gaze_y: np.ndarray

    def __post_init__(self) -> None:
        shapes = {np.shape(getattr(self, field.name)) for field in fields(self)}
        if len(shapes) > 1 or len(min(shapes)) != 1 or min(shapes) == (0,):
            raise OptionError(f"A performance has arrays of shape {sorted(shapes)}. Give every array the same length, at least 1.")

    def __len__(self) -> int:
        return len(self.yaw)

    @staticmethod
    def sample(seed: int, frames: int, fps: float = 25.0) -> Performance:
        """Lifelike motion number ``seed`` (0 or more): drifting head, blinks, speech and glances.

        Args:
            frames: how many frames; a longer performance of one seed begins with the shorter one.
            fps: frames a second.

        Raises:
            OptionError: ``frames`` or ``fps`` is not positive, or ``seed`` is negative.
        """
        check_seed(seed)
        time = timeline(frames, fps)

        def stream(channel: int) -> np.random.Generator:
            return np.random.default_rng([seed, 2, channel])

        def drift(channel: int, amplitude: float, fastest: float = 0.45) -> np.ndarray:
            return amplitude * motion.drift(stream(channel), time, fastest)

        (jaw, pucker), (left, right), (gaze_x, gaze_y) = (
            make(stream(20 + index), time) for index, make in enumerate((motion.speech, motion.blinks, motion.glances))
        )
        values = {
            "yaw": drift(0, 34), "pitch": drift(1, 22) + 2 * jaw * drift(2, 1, 3), "roll": drift(3, 14),
            "shift_x": drift(4, 0.08, 0.3), "shift_y": drift(5, 0.05, 0.3), "scale": 1 + drift(6, 0.07, 0.2),
            "jaw": jaw, "smile": np.clip(0.3 + drift(7, 1.5, 0.35), -1, 1), "pucker": pucker,
            "brows": np.clip(drift(8, 1.5, 0.6), -1, 1), "blink_left": left, "blink_right": right, "gaze_x": gaze_x, "gaze_y": gaze_y,
        }  # fmt: skip
        return Performance(**{name: value.astype(np.float32) for name, value in values.items()})


def timeline(frames: int, fps: float) -> np.ndarray:
    """(frames,) seconds from the first frame; `OptionError` where ``frames`` or ``fps`` is not positive."""
    if frames < 1 or not 0 < fps < np.inf:
        raise OptionError(f"A performance of {frames} frames at {fps} frames a second is empty. Give positive numbers.")
    return np.arange(frames) / fps
