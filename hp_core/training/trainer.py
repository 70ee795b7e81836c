"""The loop every stage of training runs in, on `accelerate`.

Whatever is random in a step is a function of the run's seed and the step's number (`step_generator`), and a batch is drawn whole
before the processes share it out. So a run that was stopped goes on exactly as if it had not been, and several processes follow
the curve of one.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from hp_core.errors import OptionError, PortraitError
from hp_core.files import check_space, make_folder, to_disk
from hp_core.progress import Notice, Stage, TrainingStep
from hp_core.training.cpu_attention import WrittenOutAttention
from hp_core.training.curves import curves, means_of
from hp_core.training.ema import Ema, averaged_tensors
from hp_core.training.facts import completed, differences
from hp_core.training.interrupts import interrupts
from hp_core.training.muon import Muon, matrices
from hp_core.training.processes import wait_for_all
from hp_core.training.settings import LogConfig, OptimConfig
from hp_core.training.sharing import SHARING, launch
from hp_core.weights.load import first_line

STATE = "state.json"
LEFT_OUT = 50  # steps in a row that fp16 may leave out: it halves its scale at each, from 65,536
EXPORTED = "exported"  # beside it, once the weights of this checkpoint are where inference looks for them


class Task(Protocol):
    """What is trained: one module whose forward is the loss, its batches, and what becomes of its weights."""

    model: nn.Module
    """Called with a batch; returns scalars by name, of which ``loss`` is minimised and the others are logged."""

    def batch(self, step: int, rows: range) -> dict[str, Tensor]:
        """Rows of the global batch of ``step``, on the CPU; a function of these two alone."""
        ...

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Figures on held-out clips with the weights as they are now; may write pictures into ``folder``."""
        ...

    def export(self, state: dict[str, Tensor]) -> None:
        """Write the weights, ``model.state_dict()``, where the next stage and inference look for them."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the last step done, and whether it was the last one asked for."""

    step: int
    finished: bool


def step_seed(seed: int, step: int) -> int:
    """A seed for everything random in one step: neighbouring steps and seeds share no streams."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def step_generator(seed: int, step: int) -> torch.Generator:
    """torch's generator of one step, on the CPU."""
    return torch.Generator().manual_seed(step_seed(seed, step))


def learning_rate(config: OptimConfig, step: int) -> float:
    """Of ``step`` (from 0): linear warm-up, then constant or a cosine down to ``final_lr`` of ``lr``."""
    rise = min((step + 1) / config.warmup, 1.0) if config.warmup else 1.0
    if config.decay == "constant":
        return config.lr * rise
    part = min(max(step - config.warmup, 0) / max(config.steps - config.warmup, 1), 1.0)
    return config.lr * rise * (config.final_lr + (1 - config.final_lr) * (1 + float(np.cos(np.pi * part))) / 2)


def train(
    task: Task,
    optim: OptimConfig,
    log: LogConfig,
    folder: Path,
    *,
    facts: dict[str, Any],
    free: dict[str, Any] | None = None,
    assumed: dict[str, Any] | None = None,
    minutes: float | None = None,
    launched: tuple[Any, int] | None = None,
) -> Stage[Outcome]:
    """Train ``task`` in ``folder`` from its newest checkpoint, or from the start.

    An interrupt (Ctrl-C, SIGTERM) ends the step that is being done, saves, and returns; so does the end of ``minutes``.

    Args:
        facts: what the weights depend on (configuration), as JSON takes it; a checkpoint of other facts is refused.
        free: settings that may change on the way, as JSON takes them; that they have is said.
        assumed: what holds for a checkpoint that says nothing of a fact.
        launched: what `launch` gave for ``optim``, where it was asked before; a process may ask once.

    Raises:
        OptionError: a batch that the processes cannot share, or a checkpoint of other facts.
        PortraitError: the loss or a gradient is not finite, or nothing can be written.
    """
    run = _Run(task, optim, log, folder, facts, free or {}, assumed or {}, launched or launch(optim))
    yield from run.notices
    ends = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    with interrupts() as interrupted, curves(folder, run.step, silent=not run.accelerator.is_main_process) as board:
        began, first, sums, counted = time.monotonic(), run.step, dict[str, float](), 0
        while run.step < optim.steps:
            with run.memory("step"):
                metrics = run.advance()
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + value
            counted += 1
            # Every process must decide alike, or one waits for the others for ever.
            stop = run.any_process(interrupted.is_set() or time.monotonic() > ends)
            if run.step % log.metrics_every == 0:
                means = means_of(sums, counted) | {"lr": learning_rate(optim, run.step - 1)}
                sums, counted = {}, 0
                board(run.step, means, "train")
                left = (optim.steps - run.step) * (time.monotonic() - began) / (run.step - first)
                yield TrainingStep(run.step, optim.steps, means, left)
            if stop or run.step % log.checkpoint_every == 0 or run.step == optim.steps:
                with run.memory("saving"):
                    run.save()  # before the validation, which takes longer than a launcher waits for a process it has told to end
            if stop and run.step < optim.steps:
                break
            if run.step % log.validate_every == 0 or run.step == optim.steps:
                with run.memory("validation"):
                    figures = run.validate()
                board(run.step, figures, "validation")
                if figures:
                    yield TrainingStep(run.step, optim.steps, figures, None)
    return Outcome(run.step, run.step >= optim.steps)


class _Run:
    """The state of a run: the prepared model, its optimiser and average, and the number of steps done."""

    model: nn.Module
    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        task: Task,
        optim: OptimConfig,
        log: LogConfig,
        folder: Path,
        facts: dict[str, Any],
        free: dict[str, Any],
        assumed: dict[str, Any],
        launched: tuple[Any, int],
    ) -> None:
        self.accelerator, self.parts = launched
        self.task, self.optim, self.log, self.folder = task, optim, log, folder
        self.facts, self.free, self.assumed = json.loads(json.dumps([facts, free, assumed]))
        make_folder(folder)
        if self.accelerator.num_processes > 1 and self.accelerator.device.type != "cpu":
            task.model = nn.SyncBatchNorm.convert_sync_batchnorm(task.model)  # the adapters' norms see the whole batch
        self.model, self.optimizer = self.accelerator.prepare(task.model, self._new_optimizer())
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]  # of a sharded model: others than before
        self.tracked = averaged_tensors(self.model)  # found once: the released model has thousands
        self.ema = Ema(self.tracked, optim.ema) if optim.ema else None
        self.step = self.left_out = 0
        self.notices: list[Notice] = []
        if find_spec("tensorboard") is None:
            self.notices.append(Notice("tensorboard is not installed; figures go to metrics.jsonl alone."))
        if self.shares_weights:
            self.notices.append(Notice("No process holds the whole weights, so there is no validation; judge the exported ones."))
        self._resume()
        self._check_space()

    def _check_space(self) -> None:
        """Raise `PortraitError` where the checkpoints will not fit onto the disk: now rather than hours later."""
        if self.shares_weights or self.step >= self.optim.steps:  # no process knows the whole, or none will be written
            return
        tensors = [*self.model.state_dict().values(), *2 * self.parameters, *(self.tracked if self.ema is not None else ())]
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)  # weights, the optimiser's two moments, the average
        needed = size * (self.log.keep + 1 - len(checkpoints(self.folder)))  # one is written before the oldest goes
        check_space(self.folder, needed, "Checkpoints", f"set log.keep, which is {self.log.keep}, lower")

    def _new_optimizer(self) -> torch.optim.Optimizer:
        optim, model = self.optim, self.task.model
        trained = [p for p in model.parameters() if p.requires_grad]
        betas = (optim.betas[0], optim.betas[1])
        if optim.optimizer == "adamw":
            return torch.optim.AdamW(trained, lr=optim.lr, betas=betas, weight_decay=optim.weight_decay, fused=True)
        hidden = matrices(model)
        taken = {id(p) for p in hidden}
        rest = [p for p in trained if id(p) not in taken]
        work = torch.bfloat16 if optim.precision == "bf16" else torch.float32
        return Muon(hidden, rest, lr=optim.lr, betas=betas, weight_decay=optim.weight_decay, work=work)

    @property
    def shares_weights(self) -> bool:
        """Whether a forward needs all processes, each of which holds a part of the weights."""
        return bool(self.accelerator.distributed_type == "FSDP")

    def advance(self) -> dict[str, float]:
        """One optimiser step; its metrics, averaged over all processes."""
        share = self.optim.batch // self.parts
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.optim, self.step)
        sums: dict[str, Tensor] = {}
        for micro in range(self.optim.accumulate):
            first = (micro * self.accelerator.num_processes + self.accelerator.process_index) * share
            batch = self.task.batch(self.step, range(first, first + share))
            batch = {name: value.to(self.accelerator.device) for name, value in batch.items()}
            # FSDP would keep the gradients whole until the last part.
            joined = micro == self.optim.accumulate - 1 or self.accelerator.distributed_type == "FSDP"
            wait = nullcontext() if joined else self.accelerator.no_sync(self.model)
            with wait, self.accelerator.autocast(), self._attention():
                metrics = self.model(**batch)
                if self.accelerator.distributed_type == "DEEPSPEED":  # whose backward steps too
                    self._check("loss", float(self.accelerator.reduce(metrics["loss"].detach().float(), "mean")))
                self.accelerator.backward(metrics["loss"] / self.optim.accumulate)
            for name, value in metrics.items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach().float() / self.optim.accumulate
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.optim.grad_norm)
        means = {name: float(self.accelerator.reduce(value, "mean")) for name, value in sums.items()}
        self._check("loss", means["loss"])
        if norm is not None and self.optim.precision != "fp16":
            self._check("gradient", float(norm))
        self.optimizer.step()
        # In fp16 a step that overflows is left out, and the next ones are scaled down, which ends. The optimiser's own word does not
        # serve: one that is fused is called and leaves the step out itself.
        self.left_out = self.left_out + 1 if norm is not None and not np.isfinite(float(norm)) else 0
        if self.left_out == LEFT_OUT:
            self._check(f"gradient of {LEFT_OUT} steps in a row", float("nan"))
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(self.tracked, self.step)
        self.step += 1
        return means | {"grad_norm": float(norm) if norm is not None else float("nan")}

    def _check(self, what: str, value: float) -> None:
        if not np.isfinite(value):
            raise PortraitError(
                f"The {what} is {value} at step {self.step + 1}. Run it again with a lower optim.lr (now {self.optim.lr:g}) or precision: "
                f"fp32; it goes on from the newest checkpoint in {self.folder}, which is from before."
            )

    @contextmanager
    def memory(self, phase: str) -> Iterator[None]:
        """Names what to change where a device's memory is too small for the ``phase``: `step`, `saving` or `validation`."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise PortraitError(
                f"{self.accelerator.device} has too little memory for the {phase} after step {self.step} ({first_line(error)}). "
                f"{self._smaller(phase)}"
            ) from error

    def _smaller(self, phase: str) -> str:
        optim, clips = self.optim, self.optim.batch // self.parts
        animation = self.facts.get("stage") == "animation"
        if phase == "validation":
            less = "fewer validation_frames and " if animation else ""
            return f"Set {less}a higher log.validate_every (now {self.log.validate_every}); it goes on from the newest checkpoint."
        if phase == "saving":
            return f"Set optim.ema: 0 (now {optim.ema:g}), which keeps no average, in another folder, or take more cards."
        saved = "optim.gradient_checkpointing: true and " if animation and not optim.gradient_checkpointing else ""
        if clips == 1:
            first = f"Set {saved.removesuffix(' and ')}, or t" if saved else "T"
            shared = self.accelerator.distributed_type in SHARING
            others = "" if shared else ", or share the weights out (the shipped fsdp.yaml)"
            return f"A step is one clip on each card. {first}ake cards with more memory{others}."
        if self.accelerator.distributed_type == "DEEPSPEED":
            return f"Set {saved}a lower optim.batch (now {optim.batch}), in another folder, or take more cards."
        return (
            f"Set {saved}a higher optim.accumulate (now {optim.accumulate}; {clips} clips are done at once), which gives the same steps "
            "but for batch norms; it goes on from the newest checkpoint."
        )

    def _attention(self) -> AbstractContextManager[Any]:
        on_cpu = self.accelerator.device.type == "cpu" and self.optim.precision == "bf16"
        return WrittenOutAttention() if on_cpu else nullcontext()

    def any_process(self, flag: bool) -> bool:
        """Whether ``flag`` is set in any process."""
        if self.accelerator.num_processes == 1:
            return flag
        return bool(self.accelerator.reduce(torch.tensor(float(flag), device=self.accelerator.device), "sum") > 0)

    def validate(self) -> dict[str, float]:
        """The task's figures with the averaged weights; one process draws, the others wait. None where that needs all of them."""
        if self.shares_weights:
            return {}
        with self.averaged():
            figures = self.task.validate(self.step, self.folder) if self.accelerator.is_main_process else {}
        wait_for_all()
        return figures

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in the model's place, in evaluation mode."""
        self.model.eval()
        with self.ema.applied(self.tracked) if self.ema is not None else nullcontext():
            yield
        self.model.train()

    def save(self) -> None:
        """A checkpoint, written beside its place and renamed; then the averaged weights for inference."""
        place = self.folder / "checkpoints" / f"step-{self.step:08d}"
        partial = place.with_name(f".{place.name}.part")
        if self.accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
            make_folder(partial)
        wait_for_all()
        try:
            self.accelerator.save_state(str(partial))
            if self.ema is not None and (self.shares_weights or self.accelerator.is_main_process):
                torch.save(self.ema.state(), partial / f"ema-{self.accelerator.process_index}.pt")
            if self.accelerator.is_main_process:
                state = {"step": self.step, "facts": self.facts, "free": self.free, "processes": self.accelerator.num_processes}
                (partial / STATE).write_text(json.dumps(state), encoding="utf-8")
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have errors of their own for a full disk
            shutil.rmtree(partial, ignore_errors=True)
            raise PortraitError(
                f"The checkpoint {place} cannot be written ({first_line(error)}). Free some space; earlier ones are whole."
            ) from error
        wait_for_all()
        if self.accelerator.is_main_process:
            for path in filter(Path.is_file, partial.rglob("*")):
                to_disk(path)  # before the old ones go
            shutil.rmtree(place, ignore_errors=True)
            os.replace(partial, place)
            for old in checkpoints(self.folder)[: -self.log.keep]:
                shutil.rmtree(old)
        self._export(place)

    def _export(self, place: Path) -> None:
        """The averaged weights of the checkpoint at ``place`` for inference."""
        with self.averaged():
            state_dict = self.accelerator.get_state_dict(self.model)
            if self.accelerator.is_main_process:
                self.task.export(state_dict)
                (place / EXPORTED).touch()
        wait_for_all()

    def _resume(self) -> None:
        if self.accelerator.is_main_process:
            for killed in (self.folder / "checkpoints").glob(".step-*.part"):
                shutil.rmtree(killed)
        for place in reversed(checkpoints(self.folder)):
            try:
                state = json.loads((place / STATE).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise _damaged(place, error) from error
            changed = differences(completed(state["facts"], self.assumed, self.facts), self.facts)
            if changed:
                raise OptionError(
                    f"{place} was trained with other settings: {changed[0]}. Restore them, or train in another folder than {self.folder}."
                )
            if state["processes"] != self.accelerator.num_processes and self.accelerator.distributed_type in SHARING:
                raise OptionError(f"{place} was saved by {state['processes']} processes; resume with as many.")
            try:
                self._load(place)
                if self.ema is not None:
                    average = place / f"ema-{self.accelerator.process_index}.pt"
                    average = average if average.is_file() else place / "ema-0.pt"  # whole weights are saved by the first process
                    self.ema.load(torch.load(average, map_location="cpu", weights_only=True))
            except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
                raise _damaged(place, error) from error
            self.step = state["step"]
            exported = (place / EXPORTED).is_file()
            wait_for_all()  # all have looked, before one of them writes
            if not exported:
                self._export(place)
            others = differences(state["free"], self.free)
            self.notices.append(Notice(f"Going on from {place}{', with other settings: ' + '; '.join(others) if others else ''}."))
            return

    def _load(self, place: Path) -> None:
        """Everything accelerate keeps; a checkpoint of another precision has no loss scale, which then begins anew."""
        scaler = self.accelerator.scaler
        if scaler is not None and not (place / "scaler.pt").is_file():
            self.accelerator.scaler = None
        try:
            self.accelerator.load_state(str(place))
        finally:
            self.accelerator.scaler = scaler


def _damaged(place: Path, error: Exception) -> PortraitError:
    return PortraitError(
        f"{place} does not fit or is damaged ({first_line(error)}). Delete it to go on from an earlier one, or train in another folder."
    )


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in ``folder``, oldest first."""
    return sorted(place for place in (folder / "checkpoints").glob("step-*") if (place / STATE).is_file())
