"""HunyuanPortrait (CVPR 2025) without ComfyUI: values, stages, pipeline, weights, command line.

Importing this package imports neither torch nor diffusers; the names below load their module when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "PortraitConfig": "hp_core.config",
    "SamplingConfig": "hp_core.config",
    "PortraitError": "hp_core.errors",
    "FaceTrack": "hp_core.values",
    "Intensity": "hp_core.values",
    "MotionTokens": "hp_core.values",
    "Appearance": "hp_core.values",
    "PoseKeypoints": "hp_core.values",
    "PoseMaps": "hp_core.values",
    "PortraitPipeline": "hp_core.pipeline",
    "AlignConfig": "hp_core.config",
    "AnimateOptions": "hp_core.request",
    "Person": "hp_core.request",
    "result": "hp_core.progress",
    "create_analyzer": "hp_core.face.analyzer",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hp_core' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
