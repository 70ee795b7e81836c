"""Run under `accelerate launch` with the shipped FSDP or DeepSpeed configuration: the demo networks train, shared out over processes."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType

from hp_core.config import PortraitConfig
from hp_core.progress import TrainingStep
from hp_core.training.animation import AnimationTask
from hp_core.training.processes import is_first_process
from hp_core.training.settings import LogConfig, OptimConfig, read_settings
from hp_core.training.sharing import launch
from hp_core.training.store import Store
from hp_core.training.trainer import train
from tests.training import tiny


def main(folder: Path, steps: int, precision: str) -> None:
    """Print the curve of ``steps`` steps."""
    settings = read_settings("demo").animation
    optim = OptimConfig(steps=steps, batch=2, lr=1e-3, warmup=1, ema=0.9, grad_norm=1.0, precision=precision)
    settings = replace(settings, optim=optim, pose=1.0, validation_steps=1, perceptual=0.0)
    model, store = PortraitConfig.demo(), Store(folder / "features")
    exported: list[str] = []
    task = AnimationTask(tiny.trained(tiny.networks(model)), settings, model, store, store, lambda name, _: exported.append(name))
    log = LogConfig(metrics_every=1, checkpoint_every=2, validate_every=1000)
    events = list(train(task, optim, log, folder / "run", facts={}, launched=launch(optim)))
    if is_first_process():
        losses = [event.metrics["loss"] for event in events if isinstance(event, TrainingStep) and "loss" in event.metrics]
        sys.stdout.write(f"LOSSES {losses} EXPORTED {len(exported)}\n")
        if any(hasattr(p, "to_local") for p in task.model.parameters()) or PartialState().distributed_type == DistributedType.DEEPSPEED:
            sys.stdout.write(f"{PartialState().num_processes} processes, sharded\n")


if __name__ == "__main__":
    if "--shard" in sys.argv:
        PartialState(cpu=True)
        # accelerate turns its FSDP on for accelerators alone; gloo and torch would do it on a CPU as well. DeepSpeed has no such qualms.
        if os.environ.get("ACCELERATE_USE_DEEPSPEED") != "true":
            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
