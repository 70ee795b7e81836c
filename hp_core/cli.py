"""`hp-portrait`: the pipeline and its weights from the command line. Heavy libraries load when a command needs them."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hp_core.commands.ablate import ablate
from hp_core.commands.animate import animate
from hp_core.commands.bench import bench_app
from hp_core.commands.evaluate import evaluate
from hp_core.commands.motion import motion_app
from hp_core.commands.options import Dtype, Json, Preset
from hp_core.commands.study import study_app
from hp_core.commands.training import faces, prepare, train
from hp_core.errors import PortraitError
from hp_core.terminal import Bars, table

app = typer.Typer(
    name="hp-portrait",
    help="Animate one portrait with the expressions and head movement of a driving video.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(bench_app, name="bench")
app.add_typer(motion_app, name="motion")
app.add_typer(study_app, name="study")
for command in (animate, faces, prepare, train, evaluate, ablate):
    app.command()(command)


def main() -> None:
    """Entry point: errors made for users are printed without a traceback, exit code 1."""
    # Threads that spin while they wait stop each other where something else keeps the cores busy: ten times slower on two
    # cores beside a second such process. OpenMP reads this once, when torch loads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that temporary files go
    try:
        app()
    except PortraitError as error:
        _fail(str(error))
    except (MemoryError, RuntimeError) as error:
        if type(error).__name__ not in ("MemoryError", "OutOfMemoryError"):  # torch's own is a RuntimeError
            raise
        _fail(
            f"Out of memory: {str(error).splitlines()[0] if str(error) else 'host'}. "
            "Use --memory frugal or --dtype fp16, or lower --window or --decode-chunk."
        )


def _fail(message: str) -> NoReturn:
    typer.secho(f"Error: {message}", fg="red", err=True)
    sys.exit(1)


@app.command()
def download(
    folder: Annotated[Path, typer.Argument(help="Where to: files come in the reference layout.")] = Path("pretrained_weights"),
    what: Annotated[
        list[str] | None,
        typer.Option("--for", help="animate (default), identity, faces, dwpose, evaluation, training, yolo or all. Repeatable."),
    ] = None,
    mirror: Annotated[bool, typer.Option(help="Take gated files (SVD's VAE) from an open mirror.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch weights; what lies there already is kept, and a broken download goes on where it stopped.

    The published weights are for academic and research use only; SVD's, InsightFace's and the detectors' have their own terms.
    """
    from hp_core.progress import Progress
    from hp_core.weights.download import download as fetch

    rows = []
    with Bars(quiet=as_json) as bars:
        for event in fetch(folder, tuple(what or ["animate"]), mirror=mirror):
            if isinstance(event, Progress):
                bars.show(event)
                continue
            entry, path, present = event
            rows.append({"name": entry.name, "path": str(path), "present": present, "licence": entry.licence})
            if not as_json:
                typer.echo(f"{'kept   ' if present else 'fetched'} {path}  ({entry.purpose}; {entry.licence})")
    if as_json:
        typer.echo(json.dumps({"files": rows}))


@app.command()
def inspect(
    folder: Annotated[Path | None, typer.Argument(help="Weights folder. Default: the usual places from here.")] = None,
    as_json: Json = False,
) -> None:
    """Check each file of a weights folder against what is expected; exits with 1 if `animate` could not load it."""
    from dataclasses import asdict

    from hp_core.weights.catalog import weights_folder
    from hp_core.weights.tools import inspect_folder

    place = weights_folder(folder)
    reports = list(inspect_folder(place))
    usable = all(report.usable for report in reports)
    if as_json:
        typer.echo(json.dumps({"folder": str(place), "loads": usable, "files": [asdict(report) for report in reports]}))
    else:
        table(
            str(place),
            ["file", "status", "tensors", "parameters", "dtype", "detail"],
            [[r.path, r.status, _number(r.tensors), _number(r.parameters), r.dtype, r.detail] for r in reports],
        )
    if not usable:
        raise typer.Exit(1)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Weights folder to read.")],
    target: Annotated[Path, typer.Argument(help="Folder to write.")],
    dtype: Annotated[Dtype, typer.Option(help="Number format of the tensors.")] = "fp16",
) -> None:
    """Copy a weights folder as .safetensors in fp16, bf16 or fp32."""
    from hp_core.weights.catalog import weights_folder
    from hp_core.weights.tools import convert_folder

    for path in convert_folder(weights_folder(source), target, dtype):
        typer.echo(path)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write; must not hold weights yet.")],
    preset: Annotated[
        Preset, typer.Option(help="demo: 20 M parameters, 128x128; released: the full 2 G; paper: the same with the paper's choices.")
    ] = "demo",
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    dtype: Annotated[Dtype, typer.Option(help="Number format of the tensors.")] = "fp16",
) -> None:
    """Write an untrained set in the released layout: for tests, and as the start of training."""
    from hp_core.weights.tools import init_folder

    for path in init_folder(folder, preset, seed=seed, dtype=dtype):
        typer.echo(path)


def _number(value: int) -> str:
    return f"{value:,}" if value else ""


if __name__ == "__main__":
    main()
