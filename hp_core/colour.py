"""A picture brought to another's colours by mean and deviation in Lab (Reinhard et al. 2001), where both show the same."""

from __future__ import annotations

import numpy as np

AGREEING = 0.75
"""Share of the measured pixels that counts, those that agree best: a hand, hair or a shoulder that moves across is no colour cast."""
ROUNDS = 3
"""Of measuring and choosing anew; the choice hardly changes after."""
NOISE = 3.0
"""Lab units: a channel that deviates by this much has half its say on the gain (of its logarithm). A plain border says little about
contrast, and on the demo world smaller values moved the face more from frame to frame and no nearer to its true colour."""
GAIN_LIMITS = (0.8, 1.25)
"""Of the deviations' ratio: what lies 40 units from the measured mean moves 10 at most. Means are shifted without limit."""


class ColourMatcher:
    """Brings pictures to the colours of ``reference``, each by its own gain and offset a Lab channel.

    Measured are the pixels ``where`` both should show the same, of those the `AGREEING`; the whole picture is changed. The less a
    channel varies there, in either of the two, the nearer its gain is to 1: of a plain surface the mean alone is matched.

    Args:
        reference: (height, width, 3) uint8.
        where: (height, width) bool, one pixel or more.
    """

    def __init__(self, reference: np.ndarray, where: np.ndarray) -> None:
        self._where, self._target = where, _lab(reference)[where]

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """``picture`` of the reference's size, uint8 -> float32 in 0..255, not rounded."""
        lab = _lab(picture)
        gain, offset = _fitted(lab[self._where], self._target)
        return _rgb(lab * gain + offset)


# OpenCV's own way from sRGB to Lab and back interpolates in a table and loses up to a grey level, mostly downwards; that from
# linear light is exact.


def _lab(picture: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 sRGB -> float32, L 0..100, a and b about -127..127."""
    import cv2

    level = np.arange(256) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(np.float32)
    lab: np.ndarray = cv2.cvtColor(linear[picture], cv2.COLOR_LRGB2LAB)
    return lab


def _rgb(lab: np.ndarray) -> np.ndarray:
    """What `_lab` gives -> (height, width, 3) float32 in 0..255, clipped to what sRGB can show."""
    import cv2

    linear = cv2.cvtColor(lab, cv2.COLOR_LAB2LRGB).clip(0, 1)
    level: np.ndarray = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** np.float32(1 / 2.4) - 0.055)
    return level * np.float32(255)


def _fitted(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(pixels, 3) Lab of the same places -> gain and offset, (3,) float32 each: ``gain * source + offset`` is like ``target``."""
    count = max(1, round(AGREEING * len(source)))
    gain, offset = np.ones(3, np.float32), np.median(target - source, axis=0)
    for _ in range(ROUNDS):
        distance = np.linalg.norm(gain * source + offset - target, axis=1)
        nearest = np.argpartition(distance, count - 1)[:count]
        gain, offset = _moments_matched(source[nearest], target[nearest])
    return gain, offset


def _moments_matched(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread, wanted = source.std(axis=0), target.std(axis=0)
    shown = np.minimum(spread, wanted) ** 2
    trust = shown / (shown + NOISE**2)
    ratio = np.divide(wanted, spread, out=np.ones_like(wanted), where=spread > 0)
    gain = np.clip(ratio**trust, *GAIN_LIMITS)
    return gain, target.mean(axis=0) - gain * source.mean(axis=0)
