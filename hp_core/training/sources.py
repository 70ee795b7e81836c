"""Which clips a stage learns from, and which are kept aside to judge it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hp_core.config import FaceConfig, PortraitConfig
from hp_core.errors import OptionError
from hp_core.progress import Notice, Stage
from hp_core.training.clips import ClipSource
from hp_core.training.settings import DataConfig
from hp_core.weights.load import file_fingerprint

VALIDATION_SEED = 900_000
"""First of the rendered clips that training keeps aside; those of the evaluation come after all that training may use."""

SPARED = 0.1
"""Share of the clips that may go unused so that nobody of the held-out clips is trained on."""


@dataclass(frozen=True)
class Part:
    """Some clips of a source.

    Attributes:
        keys: which ones, in order.
        facts: what the clips depend on, as JSON takes it.
    """

    source: ClipSource
    keys: list[str]
    facts: dict[str, Any]


def clip_source(data: DataConfig, model: PortraitConfig, *, held_out: bool) -> Stage[Part]:
    """The clips of ``data`` that a stage trains on, or those that are kept aside.

    Raises:
        OptionError: the shards hold no more clips than are to be kept aside, or cannot be read.
    """
    facts = {"data": asdict(data) | {"clips": 1, "held_out": 0, "motion_variants": 1}, "face": asdict(model.face)}  # which: told beside it
    del facts["data"]["shards"]  # they may move, and so may the stylizer
    facts["data"]["stylizer"] = file_fingerprint(Path(data.stylizer)) if data.stylizer and data.style_share else None
    if data.shards:
        from hp_core.training.shards import ShardSource

        shards = ShardSource(Path(data.shards), head_size=model.face.head_size)
        _check_size(shards, model.face, data.shards)
        people = {key: _folder(person) if data.people == "folder" else person for key, person in shards.people.items()}
        if len(people) <= data.held_out:
            raise OptionError(
                f"{data.shards} has {len(people)} clips and data.held_out is {data.held_out}; prepare more, or hold out fewer."
            )
        training, aside, strangers = split(people, data.held_out)
        if held_out and not strangers:
            yield Notice(
                f"The held-out clips of {data.shards} show people who are trained on: it has {len(set(people.values()))}, and keeping "
                "whole people aside would cost too many clips. Validation does not say how the network does on strangers."
            )
        keys = aside if held_out else training
        return Part(shards, keys, facts | {"clips": _digest(keys), "shards": _digest(shards.files)})
    from hp_core.demo.world import TRAINING_SEEDS
    from hp_core.training.rendered import RenderedSource

    if data.seed + data.clips > VALIDATION_SEED or data.seed + data.held_out > TRAINING_SEEDS.stop - VALIDATION_SEED:
        raise OptionError(
            f"data.seed is {data.seed} with {data.clips} clips and {data.held_out} held out. People from {VALIDATION_SEED:,} on are kept "
            f"for validation, from {TRAINING_SEEDS.stop:,} on for evaluation: set data.seed to at most "
            f"{min(VALIDATION_SEED - data.clips, TRAINING_SEEDS.stop - VALIDATION_SEED - data.held_out):,}."
        )
    first, count = (VALIDATION_SEED, data.held_out) if held_out else (0, data.clips)
    rendered = RenderedSource(data, model.face, first=first, clips=count)
    return Part(rendered, rendered.keys, facts | {"clips": [first, first + count]})


def split(people: Mapping[str, str], held_out: int) -> tuple[list[str], list[str], bool]:
    """Keys of the clips for training and of ``held_out`` clips for validation, in order, and whether they share nobody.

    Whole people are kept aside, those with the fewest clips first; what that leaves unused is at most `SPARED` of all clips.
    Where it would be more, the first clips are held out.

    Args:
        people: key of each clip, in order -> who it shows; more than ``held_out`` of them.
    """
    clips: defaultdict[str, list[str]] = defaultdict(list)
    for key, person in people.items():
        clips[person].append(key)
    aside: list[str] = []
    for person in sorted(clips, key=lambda name: len(clips[name])):  # sorting keeps the order of equals
        if len(aside) >= held_out:
            break
        aside += clips[person]
    strangers = len(aside) < len(people) and len(aside) - held_out <= SPARED * len(people)
    kept = set(aside if strangers else list(people)[:held_out])
    judged = [key for key in people if key in kept][:held_out]
    return [key for key in people if key not in kept], judged, strangers


def _check_size(shards: ClipSource, face: FaceConfig, folder: str) -> None:
    """Raise `OptionError` where the shards' pictures are not of the model's size; the first clip that can be read speaks for all."""
    clip = next(iter(shards.read(shards.keys)), None)
    if clip is None:
        return  # which is told when they are cached
    have, want = (clip.frames.shape[1], clip.motion_crops.shape[1]), (face.image_size, face.motion_size)
    if have != want:
        raise OptionError(
            f"The clips in {folder} are crops of {have[0]} pixels with motion crops of {have[1]}, and the model takes {want[0]} and "
            f"{want[1]}. Make them with `hp-portrait prepare --preset` of the configuration's preset."
        )


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _folder(person: str) -> str:
    """The first folder of a video's name, which `hp-portrait prepare` counts from the folder of all."""
    return person.partition("/")[0]
