"""The accelerator of a launch, and what its ways to share weights out over processes must be told."""

from __future__ import annotations

from typing import Any

import torch

from hp_core.errors import OptionError
from hp_core.training.settings import OptimConfig

SHARING = ("FSDP", "DEEPSPEED")
"""Kinds of launch in which no process holds all that training needs."""


def launch(optim: OptimConfig) -> tuple[Any, int]:
    """The accelerator of this launch, set up for ``optim``, and in how many parts a batch is done, over processes and accumulated ones.

    Raises:
        OptionError: accelerate is not installed, a batch that the processes cannot share, or settings this kind of launch cannot do.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise OptionError("Training needs accelerate: pip install accelerate.") from error
    AcceleratorState._reset_state()  # else the precision of the process's first run would be that of all
    threads = torch.get_num_threads()
    accelerator: Any = Accelerator(mixed_precision=optim.precision.replace("fp32", "no"))
    if accelerator.num_processes == 1:
        torch.set_num_threads(threads)  # accelerate counts physical cores, of which virtual machines often report one
    parts = accelerator.num_processes * optim.accumulate
    if optim.batch % parts:
        raise OptionError(
            f"optim.batch is {optim.batch}; {accelerator.num_processes} processes with accumulate={optim.accumulate} need a multiple of "
            f"{parts}."
        )
    if optim.optimizer == "muon" and accelerator.distributed_type in SHARING:
        kind = accelerator.distributed_type.value
        raise OptionError(f"optim.optimizer is muon, which needs whole matrices; {kind} shares them out. Set optimizer: adamw.")
    if accelerator.distributed_type == "DEEPSPEED":
        _deepspeed(accelerator, optim, parts)
    elif accelerator.distributed_type == "FSDP":
        _fsdp(accelerator)
    return accelerator, parts


def _deepspeed(accelerator: Any, optim: OptimConfig, parts: int) -> None:
    """What accelerate reads off a data loader, of which there is none; and how far to clip, which DeepSpeed does itself."""
    if optim.accumulate > 1:
        raise OptionError(f"optim.accumulate is {optim.accumulate}; under DeepSpeed every part is a step of its own. Set accumulate: 1.")
    if accelerator.deepspeed_plugin.zero_stage == 3:
        raise OptionError("zero_stage is 3, under which no process can average or write the weights. Set it to 2, or take the FSDP file.")
    if optim.precision == "fp16":
        raise OptionError("optim.precision is fp16; DeepSpeed would cast head angles and noise levels too. Set it to bf16 or fp32.")
    config = accelerator.deepspeed_plugin.deepspeed_config
    config["train_micro_batch_size_per_gpu"] = optim.batch // parts
    config["gradient_clipping"] = optim.grad_norm
    if optim.precision == "bf16":  # as everywhere: weights in float32, products in bfloat16
        config["bf16"] = {"enabled": False}
        config["torch_autocast"] = {"enabled": True, "dtype": "bfloat16"}


def _fsdp(accelerator: Any) -> None:
    """Weights, inputs and sums of gradients in float32, products in ``precision``, as everywhere; its own rule casts noise levels and
    head angles too."""
    from torch.distributed.fsdp import MixedPrecisionPolicy

    plugin = accelerator.state.fsdp_plugin
    if plugin.fsdp_version != 2:
        raise OptionError(f"fsdp_version is {plugin.fsdp_version}; training shares weights out by 2. Take the shipped fsdp.yaml.")
    plugin.mixed_precision_policy = MixedPrecisionPolicy()
