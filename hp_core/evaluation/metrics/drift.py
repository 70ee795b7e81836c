"""Border drift: how far pasted pictures wander from the untouched portrait along the border of what was pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hp_core.compose import ring_drift
from hp_core.errors import PortraitError
from hp_core.evaluation.metrics.base import FrameMetric, Part
from hp_core.progress import result as value_of

if TYPE_CHECKING:
    from hp_core.face.analyzer import FaceAnalyzer


def drift(analyzer: FaceAnalyzer) -> FrameMetric:
    """`hp_core.compose.ring_drift` of results in the view portrait, as a metric.

    The square is the one this package cuts around the portrait's largest face. Results of another size than the portrait were
    not pasted into it and are blanks.
    """

    def compute(part: Part) -> np.ndarray:
        from hp_core.config import FaceConfig
        from hp_core.face.track import track_faces

        assert part.portrait is not None
        frames, portrait = part.clips["result"], part.portrait
        try:
            track = part.once_a_pair("portrait track", lambda: value_of(track_faces([portrait], analyzer, FaceConfig(), total=1)))
            return ring_drift(frames, track)
        except PortraitError:  # no face, no ring, or another size: nothing was pasted here
            return np.full(len(frames), np.nan)

    return FrameMetric(
        name="drift",
        title="border drift (grey levels)",
        better="lower",
        inputs=("result", "portrait"),
        settings={"ring": "where the feather of the crop is between 0 and 1/2", "square": "around the portrait's largest face"},
        compute=compute,
        faces=True,
        why="the result is not of the portrait's size, or the portrait has no face with a border around it; drift is for the view portrait",
    )
