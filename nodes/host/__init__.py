"""The only place that imports comfy.*: device, memory, progress, preview, cancel, and media as ComfyUI hands them over."""

from .media import Analyzer, Clip, likeness, open_clip
from .networks import (
    HOST_MEMORY_MODES,
    PRECISIONS,
    Loaded,
    Network,
    PortraitModel,
    decoder,
    dtype_for,
    load,
    with_lora,
    wrap_vae,
)
from .progress import StepPreview, check_cancelled, counted, log, watched

__all__ = [
    "HOST_MEMORY_MODES",
    "PRECISIONS",
    "Analyzer",
    "Clip",
    "Loaded",
    "Network",
    "PortraitModel",
    "StepPreview",
    "check_cancelled",
    "counted",
    "decoder",
    "dtype_for",
    "likeness",
    "load",
    "log",
    "open_clip",
    "watched",
    "with_lora",
    "wrap_vae",
]
