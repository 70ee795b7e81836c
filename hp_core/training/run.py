"""From a configuration to a running stage: its networks, its clips and where its weights go.

A run's folder holds ``weights/`` in the released layout, complete from the first step on and rewritten module by module as the
stages go on; ``pixels-*`` and ``features``, the cached clips; and a folder with checkpoints and curves for each stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hp_core.checks import check_choice
from hp_core.config import PortraitConfig
from hp_core.config_files import read_config
from hp_core.errors import OptionError, PortraitError
from hp_core.pipeline import default_device
from hp_core.progress import Notice, Stage
from hp_core.training.begun import check_frozen, mark_trained
from hp_core.training.features import ClipEncoder
from hp_core.training.processes import first_process_first
from hp_core.training.settings import STAGES, DataConfig, TrainConfig
from hp_core.training.sharing import launch
from hp_core.training.sources import clip_source
from hp_core.training.start import prepare_weights
from hp_core.training.store import Store, build_store, pixels
from hp_core.training.stylize import AnimeGan
from hp_core.training.trainer import Outcome, Task, train
from hp_core.weights.catalog import CATALOG, MODULES
from hp_core.weights.load import file_fingerprint, first_line, load_models, load_module, sign_fingerprint
from hp_core.weights.tools import save_module, write_config


def run_stage(stage: str, config: TrainConfig, folder: Path, *, minutes: float | None = None, clips: Path | None = None) -> Stage[Outcome]:
    """Train one stage in ``folder``, from its newest checkpoint where there is one.

    Args:
        stage: `vae`, `identity`, `motion`, `animation` or `decoder`; each takes the weights the earlier ones left in ``folder/weights``.
        minutes: save and stop after so long, at a step; caching the clips is not interrupted.
        clips: where the cached clips are, which runs with the same frozen networks may share; None: in ``folder``.

    Raises:
        PortraitError: see `train`.
    """
    check_choice("stage", stage, STAGES)
    part = getattr(config, stage)
    if part.optim.gradient_checkpointing and stage != "animation":
        raise OptionError(
            f"{stage}.optim.gradient_checkpointing is true; the animation stage alone has it. A higher accumulate saves memory."
        )
    ends = None if minutes is None else time.monotonic() + 60 * minutes
    with first_process_first():
        yield from prepare_weights(config, folder / "weights")
    launched = launch(part.optim)  # what it cannot do is said before hours of caching
    if stage == "motion":
        from hp_core.training.motion import check_share

        check_share(part, part.optim.batch // launched[1])
    if stage == "animation":
        part.check_device(launched[0].device.type)
    try:
        task = yield from _TASKS[stage](config, folder, clips or folder)
    except torch.OutOfMemoryError as error:
        raise PortraitError(
            f"{default_device()} has too little memory to cache the clips ({first_line(error)}). What is cached is kept: free the card of "
            "other programs, or run the stage on one with more memory."
        ) from error
    seen = {"clips": task.store.facts, "lost": task.store.lost}
    facts = {"preset": config.preset, "stage": stage, "without": config.without, **asdict(part), **seen}
    for name in ("shards", "stylizer"):  # they may move; what is in them is told by the clips
        del facts["data"][name]
    assumed = asdict(type(part)()) | {"without": "", **seen}  # by a checkpoint that is older than a setting
    # A run may be made longer, and helped on where it is unstable or short of memory.
    free = {"log": facts.pop("log")} | {name: facts["optim"].pop(name) for name in ("steps", "lr", "precision", "accumulate")}
    free |= {"gradient_checkpointing": facts["optim"].pop("gradient_checkpointing")}
    free |= {name: facts.pop(name) for name in ("validation_steps", "validation_frames") if name in facts}
    left = None if ends is None else (ends - time.monotonic()) / 60
    told: dict[str, Any] = {"facts": facts, "free": free, "assumed": assumed}
    return (yield from train(task, part.optim, part.log, folder / stage, **told, minutes=left, launched=launched))


def _vae(config: TrainConfig, folder: Path, clips: Path) -> Stage[Task]:
    from hp_core.training.vae import VaeTask

    model = read_config(folder / "weights")
    store, held_out = yield from pixel_stores(config.vae.data, model, clips)
    vae: Any = load_module("vae", folder / "weights", model).requires_grad_(True).train()
    return VaeTask(vae, config.vae, store, held_out, partial(_save, folder / "weights", "vae"))


def _identity(config: TrainConfig, folder: Path, clips: Path) -> Stage[Task]:
    from hp_core.training.identity import IdentityTask

    store, held_out = yield from pixel_stores(config.identity.data, read_config(folder / "weights"), clips)
    return IdentityTask(config.identity, store, held_out, folder / "weights" / CATALOG["arcface"].path)


def _motion(config: TrainConfig, folder: Path, clips: Path) -> Stage[Task]:
    from hp_core.training.motion import MotionTask

    weights = folder / "weights"
    model = read_config(weights)
    store, held_out = yield from pixel_stores(config.motion.data, model, clips)
    expression, head_pose = (load_module(name, weights, model).float().requires_grad_(True).train() for name in ("expression", "headpose"))
    return MotionTask(expression, head_pose, config.motion, store, held_out, partial(_save, weights))  # type: ignore[arg-type]


def _animation(config: TrainConfig, folder: Path, clips: Path) -> Stage[Task]:
    from hp_core.training.animation import TRAINED, AnimationTask

    weights = folder / "weights"
    model, part = read_config(weights), config.animation
    held_out = yield from feature_store(config, weights, clips, held_out=True)
    store = yield from feature_store(config, weights, clips, held_out=False)
    if part.pose and "keypoints" not in store.read(0, ("keypoints",), slice(0, 1)):
        seen = "black but for head_only" if part.head_only else "black alone"
        yield Notice(f"pose is {part.pose:g}, and the clips have no body points: the guider sees {seen}. See `prepare --dwpose`.")
    names = (*TRAINED, "vae", *(["expression"] if part.perceptual else []))
    modules: dict[str, nn.Module] = {name: load_module(name, weights, model).float() for name in names}
    if part.optim.gradient_checkpointing:
        modules["unet"].enable_gradient_checkpointing()  # type: ignore[operator]
    return AnimationTask(modules, part, model, store, held_out, partial(_save, weights))


def _decoder(config: TrainConfig, folder: Path, clips: Path) -> Stage[Task]:
    from hp_core.training.decoder import DecoderTask

    weights = folder / "weights"
    model = read_config(weights)
    held_out = yield from prediction_store(config, weights, clips, held_out=True)
    store = yield from prediction_store(config, weights, clips, held_out=False)
    vae: Any = load_module("vae", weights, model).float().train()
    expression: Any = load_module("expression", weights, model).float()
    return DecoderTask(vae, expression, config.decoder, model, store, held_out, partial(_save, weights, "vae"))


_TASKS: dict[str, Callable[[TrainConfig, Path, Path], Stage[Any]]] = {
    "vae": _vae,
    "identity": _identity,
    "motion": _motion,
    "animation": _animation,
    "decoder": _decoder,
}


def pixel_stores(data: DataConfig, model: PortraitConfig, folder: Path) -> Stage[tuple[Store, Store]]:
    """The clips of ``data`` as pixels, for training and for validation."""
    stores = []
    for held_out in (True, False):  # the few first: of other settings they are refused at once
        part = yield from clip_source(data, model, held_out=held_out)
        place = folder / f"pixels{'-held-out' if held_out else ''}-{len(part.keys)}x{data.frames}"  # stages may want other ones
        stores.append((yield from build_store(part.source, part.keys, place, pixels, part.facts)))
    return stores[1], stores[0]


def feature_store(config: TrainConfig, weights: Path, folder: Path, *, held_out: bool) -> Stage[Store]:
    """The clips of the animation stage as the frozen networks in ``weights`` see them, in ``folder``."""
    data = config.animation.data
    part = yield from clip_source(data, read_config(weights), held_out=held_out)
    place = folder / ("features-held-out" if held_out else "features")
    check_frozen(weights, ("vae", "expression", "headpose", *(["dino"] if config.animation.freeze_vit else [])))
    device = default_device()
    models = yield from load_models(weights, device=device, dtype=torch.float32, to_be_trained=True)
    # Of the VAE the encoder alone: the decoder stage rewrites the rest, and the clips still serve.
    seen_by = (
        {"vae": models.vae.encoder, "quant": models.vae.quant_conv},
        {"expression": models.expression},
        {"headpose": models.headpose},
    )
    seen_with = [*map(sign_fingerprint, seen_by), _digest(weights, "arcface")]
    variants = 1 if held_out else data.motion_variants
    facts = part.facts | {"weights": seen_with, "jitter": config.motion.jitter, "motion_variants": variants}
    encode = ClipEncoder(
        models,
        device=device,
        variants=variants,
        jitter=config.motion.jitter,
        stylizer=AnimeGan(Path(data.stylizer)) if data.stylizer and data.style_share and not held_out else None,
        style_share=data.style_share,
        seed=data.seed,
    )
    return (yield from build_store(part.source, part.keys, place, encode, facts))


def prediction_store(config: TrainConfig, weights: Path, folder: Path, *, held_out: bool) -> Stage[Store]:
    """The clips of the decoder stage, and what the UNet in ``weights`` draws of them, in ``folder``."""
    from hp_core.training.animation import TRAINED, AnimationLoss
    from hp_core.training.decoder import PredictionEncoder

    stage, device = config.decoder, default_device()
    check_frozen(weights, MODULES)
    models = yield from load_models(weights, device=device, dtype=torch.float32, to_be_trained=True)
    part = yield from clip_source(stage.data, models.config, held_out=held_out)
    # Not the VAE's file, which this stage writes: its encoder stays as it is.
    made_by = ("unet", "motion_proj", "dino", "image_proj", "expression", "headpose", "arcface")
    facts = part.facts | {"weights": {name: _digest(weights, name) for name in made_by}, "steps": stage.steps}
    trained = {name: getattr(models, name) for name in TRAINED}
    loss = AnimationLoss(trained, replace(config.animation, perceptual=0.0, colour=0.0), models.config).to(device)
    features = ClipEncoder(models, device=device, variants=1, jitter=0.0, seed=stage.data.seed)
    encode = PredictionEncoder(features, loss, models.config, steps=stage.steps, device=device)
    place = folder / f"predicted{'-held-out' if held_out else ''}"
    return (yield from build_store(part.source, part.keys, place, encode, facts))


def _digest(weights: Path, name: str) -> str:
    """Tells one state of a file from another."""
    path = CATALOG[name].find(weights)
    return "absent" if path is None else file_fingerprint(path)


def _save(weights: Path, name: str, state: dict[str, Tensor]) -> None:
    """Write one module; with the first trained UNet the set says that it is trained."""
    save_module(weights, name, state, torch.float32)
    mark_trained(weights, name)
    config = read_config(weights)
    if name == "unet" and not config.trained:
        write_config(weights, replace(config, trained=True))
