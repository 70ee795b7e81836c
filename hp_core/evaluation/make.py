"""Results for the rows of a manifest that have none, made with the weights that are to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hp_core.errors import PortraitError
from hp_core.evaluation.manifest import Row
from hp_core.files import make_folder, written_beside
from hp_core.progress import Notice, Stage, result
from hp_core.values import Square

if TYPE_CHECKING:
    import numpy as np

    from hp_core.animate import Take
    from hp_core.pipeline import PortraitPipeline

CRF = 8
"""H.264 quality of the results: at half the default's number the coding costs little of what is measured."""


@dataclass(frozen=True)
class Maker:
    """Makes results with `PortraitPipeline.animate`, view crop.

    Attributes:
        pipeline: loaded.
        steps, seed: of sampling; None takes the weights' own steps.
        crop: `face` or `whole`, see `AnimateOptions`.
        pose: mode of Pose Align.
    """

    pipeline: PortraitPipeline
    steps: int | None = None
    seed: int = 0
    crop: str = "face"
    pose: str = "released"

    @property
    def settings(self) -> dict[str, Any]:
        """What results depend on, for the report."""
        models, sampling = self.pipeline.models, self._sampling()
        return {
            "weights": models.fingerprint,
            "trained": models.config.trained,
            "steps": sampling.steps,
            "seed": self.seed,
            "crop": self.crop,
            "pose": self.pose,
            "crf": CRF,
            "missing faces of the driver": "hold the last points",
        }

    def make(self, rows: Sequence[Row], folder: Path, system: str) -> Stage[list[Row]]:
        """``rows`` with results in ``folder``; those there already are kept. While a clip is decoded and written, the next one is sampled.

        A made result shows the square that was cut around the portrait's face; where the truth is a clip of that picture, which the
        driving clip of the self protocol is, `truth_square` says so. A row whose result cannot be made is left out, with a notice.

        Raises:
            PortraitError: the folder cannot be written, or no row was left.
        """
        made: list[Row | None] = []
        with ThreadPoolExecutor(1) as behind:
            writing: list[tuple[int, Future[Path]]] = []  # the place in `made` of the clip that is being decoded; one at most
            self.pipeline.placement.settle = lambda: _wait_for(writing)
            for row in rows:
                made.append(row)
                if row.result is not None:
                    continue
                try:
                    made[-1], take = yield from self._sampled(replace(row, system=system), folder)
                    yield from _settled(made, writing)
                    if take is not None:
                        writing.append((len(made) - 1, behind.submit(result, take.write())))
                    if self.pipeline.placement.mode != "resident":  # the networks move about: one clip at a time
                        yield from _settled(made, writing)
                except PortraitError as error:
                    made[-1] = None
                    yield _left_out(row, error)
            yield from _settled(made, writing)
        whole = [row for row in made if row is not None]
        if not whole:
            raise PortraitError("No result could be made; the notices above say why for each pair.")
        return whole

    def _sampled(self, row: Row, folder: Path) -> Stage[tuple[Row, Take | None]]:
        """``row`` with its result's name, and the clip that is still to be written there, if it is not there already."""
        from hp_core.config import AlignConfig
        from hp_core.image import load_image
        from hp_core.request import AnimateOptions

        driving = row.driving or row.truth
        assert driving is not None  # `read_manifest` refuses such rows
        name = f"{''.join(c if c.isalnum() else '_' for c in row.pair)[:40]}-{row.key}"
        make_folder(folder)
        portrait = row.portrait or _first_frame(driving, folder / f"{name}.png")
        target = folder / f"{name}.mp4"
        take = None
        if not target.exists():
            options = AnimateOptions(
                seed=self.seed,
                view="crop",
                crop=self.crop,
                on_missing="hold",
                pose=AlignConfig(mode=self.pose),
                sound=False,
                crf=CRF,
            )
            take = yield from self.pipeline.prepare(portrait, driving, target, sampling=self._sampling(), options=options)
        # In the self protocol without a portrait of its own, and wherever there is a truth, the truth is the portrait's picture moving.
        square = row.truth_square
        if square is None and (row.truth is not None or row.portrait is None):
            square = yield from self._square(load_image(portrait))
        return replace(row, result=target, truth_square=square), take

    def _square(self, portrait: np.ndarray) -> Stage[Square]:
        return (yield from self.pipeline.face_crop([portrait], total=1, crop=self.crop)).square

    def _sampling(self) -> Any:
        from hp_core.pipeline import sampling_for

        return sampling_for(self.pipeline.config, steps=self.steps)


def _settled(made: list[Row | None], writing: list[tuple[int, Future[Path]]]) -> Stage[None]:
    """Wait for the clip that is being written; a row whose clip could not be is taken out."""
    _wait_for(writing)
    for place, future in writing:
        try:
            future.result()
        except PortraitError as error:
            row, made[place] = made[place], None
            assert row is not None
            yield _left_out(row, error)
    writing.clear()


def _wait_for(writing: list[tuple[int, Future[Path]]]) -> None:
    wait([future for _, future in writing])


def _left_out(row: Row, error: PortraitError) -> Notice:
    return Notice(f"The pair '{row.pair}' is left out: {error}")


def _first_frame(clip: Path, picture: Path) -> Path:
    from PIL import Image

    from hp_core.evaluation.media import Clip

    if not picture.exists():
        with written_beside(picture) as temporary:
            Image.fromarray(next(Clip.open(clip).read(0, 1))).save(temporary)
    return picture
