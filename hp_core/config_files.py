"""Configurations beside the weights: `portrait.json` for this package's own parts and, as in the released layout, diffusers'
`unet/config.json`, `vae/config.json` and `scheduler/scheduler_config.json`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hp_core.config import (
    AppearanceConfig,
    FaceConfig,
    MotionConfig,
    PortraitConfig,
    PoseConfig,
    SamplingConfig,
    svd_scheduler,
    svd_unet,
    svd_vae,
)
from hp_core.errors import OptionError, about

PORTRAIT_FILE = "portrait.json"
UNET_FILE = "unet/config.json"
VAE_FILE = "vae/config.json"
SCHEDULER_FILE = "scheduler/scheduler_config.json"
_PARTS = {"face": FaceConfig, "motion": MotionConfig, "appearance": AppearanceConfig, "pose": PoseConfig, "sampling": SamplingConfig}


def read_config(folder: Path) -> PortraitConfig:
    """The configuration of the weights in ``folder``; a part without a file of its own has its released values.

    Raises:
        OptionError: a file is not JSON, or holds an unknown key or an impossible value.
    """
    own_file = folder / PORTRAIT_FILE
    own = _read_json(own_file)
    parts: dict[str, Any] = {name: _build(cls, own.pop(name), own_file, name) for name, cls in _PARTS.items() if name in own}
    if "trained" in own:
        parts["trained"] = own.pop("trained")
        check_type(own_file, "trained", parts["trained"], bool)
    if own:
        raise OptionError(f"{own_file}: unknown part '{sorted(own)[0]}'. Known: {', '.join(_PARTS)}, trained.")
    models = {"unet": (UNET_FILE, svd_unet()), "vae": (VAE_FILE, svd_vae()), "scheduler": (SCHEDULER_FILE, svd_scheduler())}
    for name, (file, default) in models.items():
        parts[name] = default | _read_model_json(folder / file, default)
    with about(own_file, OptionError):
        return PortraitConfig(**parts)


def config_files(config: PortraitConfig) -> dict[str, str]:
    """The JSON files that describe ``config``, by their path inside a weights folder."""
    own = {name: asdict(getattr(config, name)) for name in _PARTS} | {"trained": config.trained}
    return {
        PORTRAIT_FILE: _dump(own),
        UNET_FILE: _dump({"_class_name": "UNetSpatioTemporalConditionModel"} | config.unet),
        VAE_FILE: _dump({"_class_name": "AutoencoderKLTemporalDecoder"} | config.vae),
        SCHEDULER_FILE: _dump({"_class_name": "EulerDiscreteScheduler"} | config.scheduler),
    }


def _build(cls: type, values: Any, file: Path, part: str) -> Any:
    if not isinstance(values, dict):
        raise OptionError(f"{file}: {part} is {values!r}; it must be an object.")
    known = get_type_hints(cls)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise OptionError(f"{file}: {part}: unknown key '{unknown[0]}'. Known keys: {', '.join(sorted(known))}.")
    for key, value in values.items():
        check_type(file, f"{part}.{key}", value, known[key])
    with about(file, OptionError):
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


_TYPES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def check_type(file: Path, name: str, value: Any, kind: Any) -> None:
    """Raise `OptionError` unless the JSON ``value`` is of the type a field is annotated with."""
    if get_origin(kind) is tuple:
        kind, values, what = get_args(kind)[0], value, "a list, each of them "
    else:
        values, what = [value], ""
    numbers = (int, float) if kind is float else kind
    if not isinstance(values, list) or not all(isinstance(v, numbers) and (kind is bool or not isinstance(v, bool)) for v in values):
        raise OptionError(f"{file}: {name} is {value!r}; it must be {what}{_TYPES[kind]}.")


def _read_model_json(path: Path, default: dict[str, Any]) -> dict[str, Any]:
    """Those keys of diffusers' configuration in ``path`` that ``default`` has, each of a like type; others are diffusers' own."""

    def kind(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, (int, float, list)):
            return _TYPES.get(type(value), "an object")
        return "a number or a list"  # diffusers takes one number for all blocks, or one for each

    content = {key: value for key, value in _read_json(path).items() if key in default}
    for key, value in content.items():
        if default[key] is not None and kind(value) != kind(default[key]):
            raise OptionError(f"{path}: {key} is {value!r}; it must be {kind(default[key])}.")
    return content


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} is not JSON ({error}). Fetch it again or delete it to use the released values.") from error
    if not isinstance(content, dict):
        raise OptionError(f"{path} holds a {type(content).__name__}; it must be a JSON object.")
    return content


def _dump(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
