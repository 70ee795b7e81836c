"""What a run's weights were begun with, and which of their modules nobody has trained since: a record beside them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hp_core.config_files import read_config
from hp_core.errors import OptionError, PortraitError
from hp_core.files import written_beside
from hp_core.training.settings import TrainConfig
from hp_core.weights.catalog import CATALOG

RECORD = "begun.json"
_TRAINED_BY = {"vae": "vae", "expression": "motion", "headpose": "motion"} | dict.fromkeys(
    ("unet", "motion_proj", "image_proj", "pose_guider"), "animation"
)  # module -> stage; DINOv2 is trained by the animation stage where it is not frozen


@dataclass(frozen=True)
class Begun:
    """The record.

    Attributes:
        settings: the part of `TrainConfig` that chose the weights.
        untrained: modules that began at random and that no stage has written since, by their published files' names.
    """

    settings: dict[str, Any]
    untrained: tuple[str, ...]


def chosen_by(config: TrainConfig) -> dict[str, Any]:
    """The settings that say what a run begins with, as JSON takes them."""
    return {"preset": config.preset, "start": config.start, "take": list(config.take), "without": config.without}


def read_begun(weights: Path) -> Begun | None:
    """The record of a run's weights; None of weights that no run has begun.

    Raises:
        PortraitError: it is damaged.
    """
    path = weights / RECORD
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Begun(dict(facts["settings"]), tuple(facts["untrained"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PortraitError(f"{path} is damaged ({error}). Restore it, or train in another folder.") from error


def write_begun(weights: Path, begun: Begun) -> None:
    """Write the record."""
    with written_beside(weights / RECORD) as temporary:
        temporary.write_text(json.dumps(asdict(begun)), encoding="utf-8")


def mark_trained(weights: Path, name: str) -> None:
    """Record that a module is no longer as it began."""
    begun = read_begun(weights)
    if begun is not None and name in begun.untrained:
        write_begun(weights, replace(begun, untrained=tuple(other for other in begun.untrained if other != name)))


def check_frozen(weights: Path, names: Iterable[str]) -> None:
    """What a stage takes as it is, is not as it began at random; nor would ID embeddings be zeros.

    Raises:
        OptionError: a module that nobody has trained, no ID encoder where one is looked through, or nothing that runs it.
    """
    begun = read_begun(weights)
    for name in names:
        if begun is not None and name in begun.untrained:
            first = f"Run `hp-portrait train {_TRAINED_BY[name]}` first" if name in _TRAINED_BY else "Train it (`freeze_vit: false`)"
            raise OptionError(
                f"The {CATALOG[name].purpose} in {weights} is as it began, at random, and this stage takes it as it is. {first}, or put a "
                f"trained one into the folder that `start` names ({begun.settings.get('start') or 'none'})."
            )
    if not read_config(weights).appearance.id_features:
        return
    if CATALOG["arcface"].find(weights) is None:
        raise OptionError(
            f"{weights} holds no {CATALOG['arcface'].path}, and ID embeddings of zeros teach nothing. Run `hp-portrait train identity` "
            "first, fetch ArcFace with `hp-portrait download FOLDER --for identity` into the folder that `start` names, or leave it out "
            "(`without: id_features`)."
        )
    if importlib.util.find_spec("onnxruntime") is None:
        raise OptionError("The ID encoder needs onnxruntime, without which embeddings are zeros: pip install onnxruntime")
