"""The loop: a run that was stopped goes on as if it had not been, and several processes follow the curve of one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hp_core.errors import OptionError, PortraitError
from hp_core.progress import Notice, TrainingStep, result
from hp_core.training.curves import means_of
from hp_core.training.settings import LogConfig, OptimConfig
from hp_core.training.trainer import checkpoints, learning_rate, step_generator, train

LOG = LogConfig(metrics_every=1, checkpoint_every=100, validate_every=100)


class Fit(nn.Module):
    """Mean squared error of a small network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        hidden = [layer for _ in range(2) for layer in (nn.Linear(width, width), nn.SiLU())]
        self.net = nn.Sequential(nn.Linear(4, width), nn.SiLU(), *hidden, nn.Linear(width, 2))

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"loss": (self.net(x) - y).square().mean()}


class FitTask:
    """Fits a linear map; ``hooks`` run before the batch of their step."""

    def __init__(self, hooks: dict[int, Any] | None = None, *, width: int = 16) -> None:
        self.model: nn.Module = Fit(width)
        self.hooks, self.exported, self.validated = hooks or {}, [], []

    def batch(self, step: int, rows: range) -> dict[str, Tensor]:
        if step in self.hooks:
            self.hooks[step]()
        x = torch.randn(8, 4, generator=step_generator(1, step))[rows.start : rows.stop]
        return {"x": x, "y": x[:, :2] * 2 - x[:, 2:]}

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        self.validated.append((step, self.model.training))
        return {"weight": float(next(self.model.parameters()).detach().sum())}

    def export(self, state: dict[str, Tensor]) -> None:
        self.exported.append({name: value.clone() for name, value in state.items()})


def optim(**changes: Any) -> OptimConfig:
    settings = {"steps": 12, "batch": 8, "lr": 1e-2, "warmup": 3, "decay": "cosine", "ema": 0.9, "grad_norm": 1.0}
    return OptimConfig(**{**settings, **changes})  # type: ignore[arg-type]


def run(
    folder: Path, task: FitTask | None = None, *, log: LogConfig = LOG, facts: Any = None, **changes: Any
) -> tuple[list[float], FitTask]:
    """Loss of every step taken."""
    task = task or FitTask()
    events = list(train(task, optim(**changes), log, folder, facts=facts or {"a": 1}))
    return [event.metrics["loss"] for event in events if isinstance(event, TrainingStep) and "loss" in event.metrics], task


def test_it_learns_and_exports_the_average(tmp_path: Path) -> None:
    losses, task = run(tmp_path, steps=150)
    assert losses[-1] < losses[0] / 5
    last = task.model.state_dict()
    assert any(not torch.equal(last[name], value) for name, value in task.exported[-1].items()), "the average is exported, not the weights"
    assert task.validated == [(100, False), (150, False)]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(1, 151))
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, optimizer: str) -> None:
    whole, one = run(tmp_path / "whole", FitTask(width=64), optimizer=optimizer)
    stop = {5: lambda: os.kill(os.getpid(), signal.SIGINT)}
    first, _ = run(tmp_path / "parts", FitTask(stop, width=64), optimizer=optimizer)
    rest, two = run(tmp_path / "parts", FitTask(width=64), optimizer=optimizer)
    assert len(first) == 6, "the step that was being done is finished"
    assert first + rest == whole
    for name, value in one.exported[-1].items():
        assert torch.equal(value, two.exported[-1][name])


def test_a_line_that_a_kill_cut_off_is_taken_away(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    run(tmp_path, steps=3)
    with metrics.open("a") as lines:
        lines.write('{"step": 4, "kind": "tr')
    run(tmp_path, steps=6)
    kinds = [(line["step"], line["kind"]) for line in map(json.loads, metrics.read_text().splitlines())]
    assert [step for step, kind in kinds if kind == "train"] == list(range(1, 7))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_curves_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    metrics, events = tmp_path / "metrics.jsonl", train(FitTask(), optim(), LOG, tmp_path, facts={})
    next(event for event in events if isinstance(event, TrainingStep))
    metrics.unlink()
    metrics.symlink_to("/dev/full")
    with pytest.raises(PortraitError, match=r"curves beside .*metrics.jsonl cannot be written .*No space left.*Free some space"):
        list(events)


def test_interrupting_says_that_it_is_not_finished(tmp_path: Path) -> None:
    outcome = result(train(FitTask({2: lambda: os.kill(os.getpid(), signal.SIGTERM)}), optim(), LOG, tmp_path, facts={}))
    assert (outcome.step, outcome.finished) == (3, False)
    events = list(train(FitTask(), optim(), LOG, tmp_path, facts={}))
    assert any(isinstance(event, Notice) and "step-00000003" in event.text for event in events)


def test_a_run_that_dies_in_its_validation_has_lost_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(self: FitTask, step: int, folder: Path) -> dict[str, float]:
        raise PortraitError("killed")

    log = LogConfig(metrics_every=1, checkpoint_every=5, validate_every=5)
    whole, _ = run(tmp_path / "whole", log=log)
    with monkeypatch.context() as patch:
        patch.setattr(FitTask, "validate", dies)
        with pytest.raises(PortraitError, match="killed"):
            run(tmp_path / "parts", log=log)
    rest, _ = run(tmp_path / "parts", log=log)
    assert rest == whole[5:]


def test_weights_that_could_not_be_written_are_written_when_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the last step, when nothing is left to train."""

    def full(self: FitTask, state: dict[str, Tensor]) -> None:
        raise PortraitError("no space left")

    _, whole = run(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(FitTask, "export", full)
        with pytest.raises(PortraitError, match="no space left"):
            run(tmp_path / "parts")
    rest, task = run(tmp_path / "parts")
    assert (rest, len(task.exported)) == ([], 1)
    assert all(torch.equal(value, whole.exported[-1][name]) for name, value in task.exported[0].items())
    assert not run(tmp_path / "parts")[1].exported, "once is enough"


def test_statistics_of_batch_norms_are_averaged_with_the_weights(tmp_path: Path) -> None:
    task = FitTask()
    task.model.net.insert(1, nn.BatchNorm1d(16))  # type: ignore[union-attr, operator]
    _, task = run(tmp_path, task)
    last, exported = task.model.state_dict()["net.1.running_mean"], task.exported[-1]["net.1.running_mean"]
    assert float(last.abs().max()) > 0
    assert not torch.equal(last, exported)


def test_an_interrupt_does_not_wait_for_a_validation(tmp_path: Path) -> None:
    stop = FitTask({4: lambda: os.kill(os.getpid(), signal.SIGINT)})
    _, task = run(tmp_path, stop, log=LogConfig(metrics_every=1, checkpoint_every=5, validate_every=5))
    assert (task.validated, [path.name for path in checkpoints(tmp_path)]) == ([], ["step-00000005"])


def test_what_a_launcher_passes_on_is_one_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal's SIGINT reaches every process, and the launcher sends them SIGTERM on top of it; a later one means it."""

    def both() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)

    outcome = result(train(FitTask({2: both}), optim(), LOG, tmp_path / "a", facts={}))
    assert not outcome.finished
    assert checkpoints(tmp_path / "a")
    monkeypatch.setattr("hp_core.training.interrupts._ONE_SIGNAL", 0.0)
    with pytest.raises(KeyboardInterrupt):
        result(train(FitTask({2: both}), optim(), LOG, tmp_path / "b", facts={}))


def test_accumulated_parts_give_the_step_of_the_whole_batch(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "one", grad_norm=1e9)
    parts, _ = run(tmp_path / "four", accumulate=4, grad_norm=1e9)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    run(tmp_path, log=LogConfig(metrics_every=5, checkpoint_every=2, validate_every=50, keep=3))
    assert [place.name for place in checkpoints(tmp_path)] == ["step-00000008", "step-00000010", "step-00000012"]


def test_a_checkpoint_that_was_being_written_is_ignored(tmp_path: Path) -> None:
    run(tmp_path, steps=4)
    (tmp_path / "checkpoints" / ".step-00000099.part").mkdir()
    (tmp_path / "checkpoints" / "step-00000098").mkdir()
    assert run(tmp_path, steps=4)[0] == []


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    run(tmp_path, facts={"optim": {"lr": 1}})
    with pytest.raises(OptionError, match=r"optim.lr was 1, is 2. Restore them, or train in another folder"):
        run(tmp_path, facts={"optim": {"lr": 2}})


def test_a_checkpoint_of_another_network_or_a_damaged_one_is_named(tmp_path: Path) -> None:
    run(tmp_path, steps=4)
    other = FitTask()
    other.model = nn.Sequential()
    other.model.net = nn.Linear(3, 2)  # type: ignore[assignment]
    with pytest.raises(PortraitError, match=r"step-00000004 does not fit or is damaged"):
        run(tmp_path, other)
    (file,) = (tmp_path / "checkpoints" / "step-00000004").glob("model*")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(PortraitError, match=r"Delete it to go on from an earlier one"):
        run(tmp_path)


@pytest.mark.parametrize("name", ["state.json", "optimizer.bin", "ema-0.pt"])
def test_a_checkpoint_that_a_power_cut_emptied_is_named(tmp_path: Path, name: str) -> None:
    run(tmp_path, steps=4)
    (tmp_path / "checkpoints" / "step-00000004" / name).write_bytes(b"")
    with pytest.raises(PortraitError, match=r"step-00000004 does not fit or is damaged"):
        run(tmp_path)


def test_a_checkpoint_older_than_a_setting_is_taken_at_what_was_done_then(tmp_path: Path) -> None:
    old = {"data": {"seed": 1, "place": "/of/another/time"}, "depth": 2, "gone": 3}
    list(train(FitTask(), optim(steps=4), LOG, tmp_path, facts=old))
    known = {"data": {"seed": 1, "blur": 0}, "depth": 2, "width": 8}
    assumed = {"data": {"seed": 0, "blur": 0}, "width": 8, "nobody": 1}
    for changed, message in (({"data": {"seed": 1, "blur": 3}}, "data.blur was 0, is 3"), ({"width": 9}, "width was 8, is 9")):
        with pytest.raises(OptionError, match=message):
            list(train(FitTask(), optim(steps=8), LOG, tmp_path, facts=known | changed, assumed=assumed))
    assert result(train(FitTask(), optim(steps=8), LOG, tmp_path, facts=known, assumed=assumed)).step == 8


def test_settings_that_may_change_on_the_way_are_told(tmp_path: Path) -> None:
    list(train(FitTask(), optim(steps=4), LOG, tmp_path, facts={}, free={"lr": 1e-2}))
    events = list(train(FitTask(), optim(steps=8, lr=5e-3), LOG, tmp_path, facts={}, free={"lr": 5e-3}))
    assert any("lr was 0.01, is 0.005" in event.text for event in events if isinstance(event, Notice))
    assert [event.step for event in events if isinstance(event, TrainingStep)][-1] == 8


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """No file may grow beyond 3,000 bytes: torch and safetensors meet that in the middle of a checkpoint."""
    import resource

    run(tmp_path, steps=4)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(PortraitError, match=r"step-00000008 cannot be written .*Free some space"):
            run(tmp_path, steps=8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "checkpoints").glob(".*")), "what was written of it takes no room"
    assert [place.name for place in checkpoints(tmp_path)] == ["step-00000004"]
    assert len(run(tmp_path, steps=8)[0]) == 4


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="need a multiple of 3"):
        run(tmp_path, accumulate=3)


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(tmp_path: Path) -> None:
    task = FitTask()
    good = task.batch

    def batch(step: int, rows: range) -> dict[str, Tensor]:
        return {name: value * (float("nan") if step == 4 else 1) for name, value in good(step, rows).items()}

    task.batch = batch  # type: ignore[method-assign]
    with pytest.raises(PortraitError, match="loss is nan at step 5"):
        run(tmp_path, task)
    assert all(torch.isfinite(p).all() for p in task.model.parameters())


def test_a_gradient_that_is_not_finite_stops_before_it_is_saved(tmp_path: Path) -> None:
    task = FitTask()
    task.hooks[4] = lambda: task.model.net[0].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(PortraitError, match=r"gradient is (inf|nan) at step 5.*goes on from the newest checkpoint"):
        run(tmp_path, task)
    assert all(torch.isfinite(p).all() for p in task.model.parameters())


def test_half_precision_that_never_becomes_finite_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fused optimiser leaves such steps out by itself and says nothing of it."""
    from accelerate import Accelerator

    begin = Accelerator.__init__

    def scaled(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, mixed_precision="no")
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

    monkeypatch.setattr(Accelerator, "__init__", scaled)
    monkeypatch.setattr("hp_core.training.trainer.LEFT_OUT", 5)
    task = FitTask()
    task.model.net[0].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(PortraitError, match="gradient of 5 steps in a row is nan at step 5"):
        run(tmp_path, task, precision="fp16")
    assert all(torch.isfinite(p).all() for p in task.model.parameters())


def test_a_disk_too_small_for_the_checkpoints_is_told_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "big"
    run(place, steps=4)
    size = sum(path.stat().st_size for path in checkpoints(place)[0].rglob("*") if path.is_file())
    steps: list[int] = []
    for free, fits in ((8 * size, True), (size // 4, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        task = FitTask({0: lambda: steps.append(0)})
        if fits:
            run(tmp_path / "fits", task, steps=4)
        else:
            with pytest.raises(PortraitError, match=r"Checkpoints in .* GB are free there. Train in a folder with more space"):
                run(tmp_path / "full", task, steps=4)
    assert steps == [0], "of the second run no step was begun"


def test_a_metric_with_a_count_is_a_mean_over_what_was_counted() -> None:
    sums = {"loss": 6.0, "high": 8.0, "high/count": 2.0, "low": 0.0, "low/count": 0.0}
    assert means_of(sums, 3) == {"loss": 2.0, "high": 4.0}


def test_the_rate_rises_then_falls() -> None:
    settings = optim(steps=103, warmup=3, lr=1.0, final_lr=0.1)
    rates = [learning_rate(settings, step) for step in range(103)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[3] == pytest.approx(1)
    assert rates[53] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=0.001)
    assert learning_rate(optim(decay="constant", warmup=0, lr=0.5), 10**6) == 0.5


SCRIPT = """
import sys
from pathlib import Path
from tests.training.test_trainer import FitTask, run
losses, task = run(Path(sys.argv[1]), FitTask(width=64), steps=int(sys.argv[2]), grad_norm=0.5, optimizer=sys.argv[3])
import os
if os.environ.get("RANK", "0") == "0":
    print("LOSSES", losses, "PROCESSES", os.environ.get("WORLD_SIZE"))
"""


def environment() -> dict[str, str]:
    """Of processes that train on the CPU, as `accelerate launch` starts them one beside the other (gloo)."""
    root = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}


def launched(folder: Path, optimizer: str, *options: str) -> list[float]:
    """The curve of a run under `accelerate launch` with two processes."""
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", *options]
    command = [*launcher, str(script), str(folder / "run"), "12", optimizer]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("PROCESSES")[1].split()[0] == "2"
    return [float(x) for x in done.stdout.split("LOSSES [")[1].split("]")[0].split(",")]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_processes_follow_the_curve_of_one(tmp_path: Path, optimizer: str) -> None:
    one, _ = run(tmp_path / "one", FitTask(width=64), grad_norm=0.5, optimizer=optimizer)
    np.testing.assert_allclose(launched(tmp_path, optimizer, "--multi_gpu"), one, rtol=1e-4)


def test_memory_that_does_not_suffice_names_what_does(tmp_path: Path) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    with pytest.raises(
        PortraitError, match=r"for the step after step 4 \(tried to allocate 9 GiB\)\. Set a higher optim.accumulate \(now 2"
    ):
        run(tmp_path / "step", FitTask({4: full}), accumulate=2)
    animation = {"stage": "animation"}
    with pytest.raises(PortraitError, match=r"Set optim.gradient_checkpointing: true and a higher optim.accumulate \(now 1; 8 clips"):
        run(tmp_path / "animation", FitTask({4: full}), facts=animation)
    task = FitTask()
    task.validate = full  # type: ignore[method-assign]
    with pytest.raises(PortraitError, match=r"for the validation after step 12 .* fewer validation_frames and a higher log.validate_every"):
        run(tmp_path / "validation", task, facts=animation)
    assert checkpoints(tmp_path / "validation"), "saved before"


def test_a_checkpoint_of_another_precision_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision has a loss scale, of which a checkpoint of float32 knows nothing."""
    from accelerate import Accelerator

    whole, _ = run(tmp_path / "whole")
    first, _ = run(tmp_path / "parts", steps=6, decay="cosine")
    begin = Accelerator.__init__

    def scaled(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

    monkeypatch.setattr(Accelerator, "__init__", scaled)
    rest, _ = run(tmp_path / "parts")
    assert len(first) == 6
    np.testing.assert_allclose(rest, whole[6:], rtol=0.2)
    assert len(rest) == 6


def test_bfloat16_follows_the_curve_and_leaves_torchs_settings(tmp_path: Path) -> None:
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    exact, _ = run(tmp_path / "exact", FitTask(width=64), optimizer="muon")
    rough, _ = run(tmp_path / "rough", FitTask(width=64), optimizer="muon", precision="bf16")
    assert rough != exact
    np.testing.assert_allclose(rough, exact, rtol=0.1)
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == before


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "precision"), [("fsdp", "fp32"), ("fsdp", "bf16"), ("deepspeed", "fp32"), ("deepspeed", "bf16")])
def test_the_shipped_configurations_train_the_demo_networks_on_two_processes(tmp_path: Path, kind: str, precision: str) -> None:
    """What is shared out follows the curve of one process, is saved, exported and resumed."""
    if kind == "deepspeed":
        pytest.importorskip("deepspeed")
        pytest.importorskip("transformers")  # accelerate asks for its version
    from hp_core.config import PortraitConfig
    from hp_core.training.settings import SHIPPED

    from . import tiny

    model = PortraitConfig.demo()
    tiny.features(model, tiny.networks(model), tmp_path / "features")
    script = Path(__file__).parent / "sharded.py"

    def curve(folder: Path, steps: int, *launcher: str) -> list[float]:
        folder.mkdir(exist_ok=True)
        (folder / "features").exists() or (folder / "features").symlink_to(tmp_path / "features")
        shard = ["--shard"] if launcher else []
        command = [sys.executable, *launcher, str(script), str(folder), str(steps), precision, *shard]
        variables = environment() | {"DS_ACCELERATOR": "cpu"}
        if launcher and kind == "deepspeed":
            del variables["ACCELERATE_USE_CPU"]  # which turns it off
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr[-3000:]
        assert ("2 processes, sharded" in done.stdout) == bool(launcher)
        assert int(done.stdout.split("EXPORTED ")[1].split()[0]) >= 5
        return [float(x) for x in done.stdout.split("LOSSES [")[1].split("]")[0].split(",")]

    config = SHIPPED / "accelerate" / f"{kind}.yaml"
    launcher = ("-m", "accelerate.commands.launch", "--config_file", str(config), "--num_processes", "2")
    launcher += ("--mixed_precision", precision.replace("fp32", "no"))
    whole = curve(tmp_path / "whole", 4)
    first = curve(tmp_path / "parts", 2, *launcher)
    rest = curve(tmp_path / "parts", 4, *launcher)
    np.testing.assert_allclose(first + rest, whole, rtol=2e-3 if precision == "fp32" else 2e-2)
