"""The processes of one launch (`accelerate launch`), of which a run without a launcher is the only one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import nn

from hp_core.errors import OptionError


def process_index() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process is the one that writes and reports."""
    return process_index() == 0


@contextmanager
def first_process_first() -> Iterator[None]:
    """What the block writes is written by the first process; the others wait for it, then run the block and find it there.

    Raises:
        OptionError: accelerate is not installed.
    """
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise OptionError("Training needs accelerate: pip install accelerate.") from error
    # Drawing and encoding a data set takes longer than the half hour that processes wait for each other unless told.
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes") or not torch.accelerator.is_available()
    state = PartialState(cpu=on_cpu, timeout=timedelta(days=2)) if process_count() > 1 else PartialState(cpu=on_cpu)
    with state.main_process_first():
        yield


def wait_for_all() -> None:
    """Wait for the other processes, if there are any."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


def units(module: nn.Module, *kinds: type[nn.Module]) -> list[str]:
    """Names of those of ``kinds`` that ``module`` holds, for its ``_no_split_modules``: by that accelerate shares weights out (FSDP).

    Each is gathered whole for its own forward, so a kind is one that nothing reaches into from outside; lists of blocks are none.
    """
    return sorted({type(part).__name__ for part in module.modules() if isinstance(part, kinds)})
