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
from hp_core.files import staged_folder, written_beside
from hp_core.progress import Notice, Progress, Stage
from hp_core.training.begun import Begun, chosen_by, mark_trained, read_begun, write_begun
from hp_core.training.initialise import begin
from hp_core.training.settings import TrainConfig
from hp_core.weights.catalog import CATALOG, MODULES, weights_folder
from hp_core.weights.load import build_module, load_module, read_state_dict
from hp_core.weights.tools import save_module, write_config

_MADE_FROM = {"unet": "svd_unet", "dino": "dinov2"}


def prepare_weights(config: TrainConfig, weights: Path) -> Stage[None]:
    """Fill ``weights``, unless it holds a set already: each module is taken from ``config.start`` where a file of it lies there, also
    under the name it has in SVD's and DINOv2's own repositories.

    Of such a file every tensor must fit; tensors that the file lacks (the motion attention in SVD's UNet, the adapters in
    DINOv2) begin as training begins them, and so do whole modules; both is said. SVD's UNet takes 4 + 4 channels as this one does.
    A set that is there already takes what has come into ``config.start`` since, of modules that are still as they began.

    Raises:
        OptionError: the set was begun with other settings; ``config.start`` does not exist, or holds the published adapters
            without the ID encoder they know people by.
        WeightsError: a file holds tensors of another model.
    """
    if (weights / "portrait.json").is_file():
        yield from _go_on(config, weights)
        return
    start = _folder(config)
    if start is not None and not start.is_dir():
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
    begun_whole, untrained = dict[str, bool](), list[str]()
    theirs = read_begun(start) if start is not None else None  # of another run, whose modules may be as they began too
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
                if theirs is not None and name in theirs.untrained:
                    untrained.append(name)
            else:
                untrained.append(name)
                if start is not None and taken:
                    yield Notice(f"{start} holds no {CATALOG[name].purpose}: it begins untrained.")
            save_module(stage, name, module.state_dict(), torch.float32)
            yield Progress("start", done, len(MODULES))
        if arcface is not None:
            _copy_arcface(arcface, stage)
        write_begun(stage, Begun(chosen_by(config), tuple(untrained)))
        write_config(stage, replace(model, trained=model.trained and begun_whole.get("unet", False)))


def _go_on(config: TrainConfig, weights: Path) -> Stage[None]:
    """What a set that is begun takes from ``config.start``: files that were not there then, of modules nobody has trained since."""
    begun = read_begun(weights)
    if begun is None:
        return
    changed = [
        f"{key} {begun.settings.get(key) or 'empty'} (now {value or 'empty'})"
        for key, value in chosen_by(config).items()
        if value != begun.settings.get(key) and not (key == "start" and _same_place(value, begun.settings.get(key)))
    ]
    if changed:
        raise OptionError(f"{weights} was begun with {', '.join(changed)}. Restore it, or train in another folder.")
    start = _folder(config)
    if start is None:
        return
    model = read_config(weights)
    theirs = read_begun(start)
    for name in begun.untrained:
        if theirs is not None and name in theirs.untrained:
            continue
        given = _file_of(name, start) if not config.take or name in config.take else None
        if given is not None:
            module = load_module(name, weights, model)
            whole = yield from _take(module, name, given)
            save_module(weights, name, module.state_dict(), torch.float32)
            mark_trained(weights, name)
            if name == "unet" and whole and (start / "portrait.json").is_file():
                write_config(weights, replace(model, trained=read_config(start).trained))
            yield Notice(f"{given} was not there when {weights} was begun, and is taken now.")
    arcface = CATALOG["arcface"].find(start)
    if arcface is not None and CATALOG["arcface"].find(weights) is None:
        _copy_arcface(arcface, weights)
        yield Notice(f"{arcface} was not there when {weights} was begun, and is taken now.")


def _same_place(first: str, second: str | None) -> bool:
    """Whether two spellings name one folder."""
    return bool(first and second) and Path(first).resolve() == Path(str(second)).resolve()


def _folder(config: TrainConfig) -> Path | None:
    """The folder that ``start`` names."""
    start = Path(config.start) if config.start else None
    return weights_folder(start) if config.start == "demo" else start


def _copy_arcface(arcface: Path, weights: Path) -> None:
    target = weights / CATALOG["arcface"].path
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(target) as temporary:
        shutil.copyfile(arcface, temporary)


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
