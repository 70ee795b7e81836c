"""What accelerate's ways to share weights out over processes must be told."""

from __future__ import annotations

from typing import Any

from hp_core.errors import OptionError
from hp_core.training.settings import OptimConfig

SHARING = ("FSDP", "DEEPSPEED")
"""Kinds of launch in which no process holds all that training needs."""


def tell(accelerator: Any, optim: OptimConfig, parts: int) -> None:
    """Set ``accelerator`` up for a model that is about to be prepared; nothing where every process holds all.

    Args:
        parts: of a batch, over processes and accumulated ones.

    Raises:
        OptionError: settings that this kind of launch cannot do.
    """
    if accelerator.distributed_type == "DEEPSPEED":
        _deepspeed(accelerator, optim, parts)
    elif accelerator.distributed_type == "FSDP":
        _fsdp(accelerator)


def _deepspeed(accelerator: Any, optim: OptimConfig, parts: int) -> None:
    """What accelerate reads off a data loader, of which there is none; and how far to clip, which DeepSpeed does itself."""
    if optim.accumulate > 1:
        raise OptionError(f"optim.accumulate is {optim.accumulate}; under DeepSpeed every part is a step of its own. Set accumulate: 1.")
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
