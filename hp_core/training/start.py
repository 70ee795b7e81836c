"""The weights a run begins with: a complete set in the released layout, from whatever the starting folder holds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from hp_core.config import PortraitConfig
from hp_core.config_files import read_config
from hp_core.errors import OptionError, WeightsError
from hp_core.files import staged_folder
from hp_core.progress import Notice, Progress, Stage
from hp_core.training.initialise import begin
from hp_core.training.settings import TrainConfig
from hp_core.weights.catalog import CATALOG, MODULES, weights_folder
from hp_core.weights.load import build_module, read_state_dict
from hp_core.weights.tools import save_module, write_config

_MADE_FROM = {"unet": "svd_unet", "dino": "dinov2"}


def prepare_weights(config: TrainConfig, weights: Path) -> Stage[None]:
    """Fill ``weights``, unless it holds a set already: each module is taken from ``config.start`` where a file of it lies there, also
    under the name it has in SVD's and DINOv2's own repositories.

    Of such a file every tensor must fit; tensors that the file lacks (the motion attention in SVD's UNet, the adapters in
    DINOv2) begin as training begins them, and so do whole modules; both is said. SVD's UNet takes 4 + 4 channels as this one does.

    Raises:
        OptionError: ``config.start`` does not exist, or holds the published adapters without the ID encoder they know people by.
        WeightsError: a file holds tensors of another model.
    """
    if (weights / "portrait.json").is_file():
        return
    start = Path(config.start) if config.start else None
    if config.start == "demo":
        start = weights_folder(start)
    elif start is not None and not start.is_dir():
        raise OptionError(f"start is {start}, which is no folder. Name one with SVD's or the published weights, or leave it empty.")
    own = start is not None and (start / "portrait.json").is_file()  # a set of this package's, not published files
    model = read_config(start) if start is not None and own else PortraitConfig.preset(config.preset)
    model = model.without(config.without) if config.without else model
    arcface = CATALOG["arcface"].find(start) if start is not None else None
    if start is not None and not own and arcface is None and CATALOG["dino"].find(start) and model.appearance.id_features:
        raise OptionError(
            f"{start} holds the published adapters, which know people by ArcFace, and no {CATALOG['arcface'].path}. Get it with "
            f"`hp-portrait download {start} --for identity`, or train without it (`without: id_features`)."
        )
    begun_whole: dict[str, bool] = {}
    with staged_folder(weights) as stage:
        for done, name in enumerate(MODULES, 1):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                module = build_module(name, model)
                begin(name, module)
            taken = start is not None and (not config.take or name in config.take)
            given = _file_of(name, start) if start is not None and taken else None
            if given is not None:
                begun_whole[name] = yield from _take(module, name, given)
            elif start is not None and taken:
                yield Notice(f"{start} holds no {CATALOG[name].purpose}: it begins untrained.")
            save_module(stage, name, module.state_dict(), torch.float32)
            yield Progress("start", done, len(MODULES))
        if arcface is not None:
            target = stage / CATALOG["arcface"].path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(arcface, target)
        for _ in write_config(stage, replace(model, trained=model.trained and begun_whole.get("unet", False))):
            pass


def _file_of(name: str, start: Path) -> Path | None:
    """The file of a module in ``start``: a published one, or the one that it was made from."""
    own = CATALOG[name].find(start)
    return CATALOG[_MADE_FROM[name]].find(start) if own is None and name in _MADE_FROM else own


def _take(module: nn.Module, name: str, path: Path) -> Stage[bool]:
    """Put the tensors of the file at ``path`` into ``module``; whether it holds all of them."""
    state, found = module.state_dict(), read_state_dict(path)
    strange = [key for key, value in found.items() if key not in state or state[key].shape != value.shape]
    if strange:
        raise WeightsError(f"{path} holds '{strange[0]}', which the {CATALOG[name].purpose} of this preset has not, or in another shape.")
    module.load_state_dict(found, strict=False)
    new = [key for key in state if key not in found]
    if new:
        yield Notice(f"{path}: {len(new)} of {len(state)} tensors are new and begin untrained, the first '{new[0]}'.")
    return not new
