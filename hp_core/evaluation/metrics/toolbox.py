"""What several metrics share: where network files lie, the device, the face reader, each opened once and only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hp_core.errors import WeightsError
from hp_core.face.model_files import default_places
from hp_core.weights.catalog import CATALOG

if TYPE_CHECKING:
    import torch

    from hp_core.evaluation.metrics.lpips import Lpips
    from hp_core.evaluation.metrics.smirk import SmirkEncoder
    from hp_core.evaluation.readings import MotionReader
    from hp_core.face.analyzer import FaceAnalyzer

BY_HAND = {
    "resnet3d": (
        "evaluation/resnet-50-kinetics.pth",
        "It is in the Google Drive folder of the repository kenshohara/3D-ResNets-PyTorch; put it there by hand.",
    )
}
"""Files that no plain address gives."""
LPIPS_FILES = {"alex": "alexnet", "vgg": "vgg16"}


class Toolbox:
    """See the module; a context manager.

    Args:
        folders: weights folders to look into, before `hp_core.face.model_files.default_places`.
        files: files by their name in the catalog, in place of what lies in the folders.
        against: what the distances of sets and of neighbouring frames compare with, `truth` or `driving`.
        device: of the networks.
        fvd: settings of `hp_core.evaluation.metrics.fvd.Fvd`.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        against: str,
        device: torch.device,
        files: dict[str, Path] | None = None,
        fvd: dict[str, Any] | None = None,
    ) -> None:
        self.folders, self.files, self.against, self.device, self.fvd = tuple(folders), files or {}, against, device, fvd or {}
        self._open = ExitStack()
        self._lpips: dict[str, Lpips] = {}

    def __enter__(self) -> Toolbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def find(self, name: str) -> Path | None:
        """The file ``name`` of the catalog or of `BY_HAND`, None where it is nowhere."""
        if name in self.files:
            return self.files[name]
        inside = BY_HAND[name][0] if name in BY_HAND else CATALOG[name].path
        places = [folder / inside for folder in self.folders] + default_places(inside)
        return next((place for place in places if place.is_file()), None)

    def file(self, name: str) -> Path:
        """See `find`.

        Raises:
            WeightsError: it is nowhere; the message names the file, the places and the remedy.
        """
        path = self.find(name)
        if path is not None and path.is_file():
            return path
        inside = BY_HAND[name][0] if name in BY_HAND else CATALOG[name].path
        looked = ", ".join(map(str, [path] if path else [*self.folders, *default_places("")]))
        group = "identity" if name == "arcface" else "evaluation"
        remedy = (
            BY_HAND[name][1] if name in BY_HAND else f"Run `hp-portrait download DIR --for {group}` and name DIR with --metric-weights."
        )
        raise WeightsError(f"{inside} is not there (looked in {looked}). {remedy}")

    @cached_property
    def reader(self) -> MotionReader:
        """Faces by MediaPipe.

        Raises:
            FaceError: the package or its model is absent.
        """
        from hp_core.evaluation.readings import MotionReader

        return self._open.enter_context(MotionReader(model=self.find("face_landmarker")))

    @cached_property
    def analyzer(self) -> FaceAnalyzer:
        """A detector for whole portraits, as Face Crop uses it.

        Raises:
            FaceError: the package or its model is absent.
        """
        from hp_core.face.analyzer import create_analyzer

        analyzer = create_analyzer(model=self.find("face_landmarker"))
        self._open.callback(analyzer.close)
        return analyzer

    @cached_property
    def smirk(self) -> SmirkEncoder:
        """SMIRK's encoder.

        Raises:
            WeightsError: the checkpoint is absent or of another model.
        """
        from hp_core.evaluation.metrics.smirk import SmirkEncoder

        return SmirkEncoder.load(self.file("smirk"), self.device)

    def lpips(self, kind: str) -> Lpips:
        """LPIPS on `alex` or `vgg`.

        Raises:
            WeightsError: the backbone or the heads are absent.
        """
        from hp_core.evaluation.metrics.lpips import Lpips

        if kind not in self._lpips:
            self._lpips[kind] = Lpips(self.file(LPIPS_FILES[kind]), kind, self.device)
        return self._lpips[kind]
