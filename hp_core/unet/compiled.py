"""The UNet through torch.compile: once for each guidance branch, whatever the clip's length."""

from __future__ import annotations

import torch
from torch import nn

from hp_core.errors import OptionError


def compile_unet(unet: nn.Module, device: torch.device | str, *, backend: str = "inductor") -> None:
    """Let calls of ``unet`` run compiled, from the first one on, which takes minutes.

    Shapes are compiled as they are: a window always has the same number of frames, so clips of any length share what was compiled;
    another size of the picture or of the window is compiled anew.

    Raises:
        OptionError: torch cannot compile for ``device`` here; found out by a trial, not by the first evaluation.
    """
    try:
        torch.compile(lambda x: x * 2 + 1, backend=backend, dynamic=False)(torch.ones(8, device=device))
    except (RuntimeError, OSError, ImportError) as error:  # torch's own errors of the compiler are RuntimeErrors
        reason = str(getattr(error, "inner_exception", error)).strip().split("\n", 1)[0]
        raise OptionError(
            f"compile is on, and torch cannot compile for '{device}' here ({reason}). Leave it off, or install what is missing: "
            "a C++ compiler for a CPU, Triton for a GPU."
        ) from error
    unet.compile(backend=backend, dynamic=False)


def is_compiled(unet: nn.Module) -> bool:
    """Whether `compile_unet` was called on it."""
    return unet._compiled_call_impl is not None
