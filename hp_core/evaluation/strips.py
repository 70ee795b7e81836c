"""Pictures to look at: portrait, driving frame, result and truth side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hp_core.evaluation.case import Answer, Case

COLUMNS = ("portrait", "driving", "result", "truth")
ROWS = 6
"""Frames shown of a clip, evenly spaced, the first and the last among them."""
_HEAD = 16  # pixels above the pictures, for the columns' names


def draw_strip(case: Case, answer: Answer) -> np.ndarray:
    """(`ROWS` * S + 16, 4 * S, 3) uint8, one row a frame; fewer rows of a shorter clip."""
    from PIL import Image, ImageDraw

    size = case.portrait.shape[0]
    shown = np.unique(np.linspace(0, len(case.truth) - 1, ROWS).round().astype(int))
    head = Image.new("RGB", (len(COLUMNS) * size, _HEAD), "white")
    for column, name in enumerate(COLUMNS):
        ImageDraw.Draw(head).text((column * size + 4, 2), name, fill="black")
    driving = [np.asarray(Image.fromarray(case.driving[i]).resize((size, size), Image.Resampling.LANCZOS)) for i in shown]
    rows = [np.hstack([case.portrait, drive, answer.frames[i], case.truth[i]]) for i, drive in zip(shown, driving, strict=True)]
    return np.vstack([np.asarray(head), *rows])


class StripFolder:
    """A strip of every answer on disk, of which `keep` leaves the best, the median and the worst of each system.

    Which one is the median is known only at the end; on disk the strips take no memory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scores: dict[str, dict[int, float]] = {}

    def add(self, system: str, case: Case, answer: Answer, score: float) -> None:
        """Write the strip of one answer; ``score`` ranks it among the system's, the higher the better."""
        from PIL import Image

        from hp_core.files import make_folder

        make_folder(self.folder)
        self.scores.setdefault(system, {})[case.index] = score
        Image.fromarray(draw_strip(case, answer)).save(self._path(system, case.index))

    def keep(self) -> dict[str, str]:
        """Rename the three strips of each system, delete the others; captions by the names of those kept."""
        captions = {}
        for system, scores in self.scores.items():
            ranking = sorted(scores, key=lambda index: scores[index], reverse=True)
            chosen = {"best": ranking[0], "median": ranking[len(ranking) // 2], "worst": ranking[-1]}
            for rank, index in chosen.items():
                picture = self.folder / f"{system}-{rank}.png"
                picture.write_bytes(self._path(system, index).read_bytes())
                captions[picture.name] = f"{system}, {rank}: pair {index}, {scores[index]:.2f} dB"
            for index in ranking:
                self._path(system, index).unlink()
        return captions

    def _path(self, system: str, index: int) -> Path:
        return self.folder / f"{system}-{index:06d}.png"
