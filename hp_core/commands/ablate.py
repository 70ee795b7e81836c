"""The command `ablate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from hp_core.commands.options import Json
from hp_core.terminal import Bars, table


def ablate(
    preset: Annotated[Literal["demo"], typer.Option(help="demo: on the procedural world, from the frozen networks of the demo.")] = "demo",
    config: Annotated[str | None, typer.Option(help="A YAML file of `hp-portrait train` instead of the preset's.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs; run again to go on.")] = Path("runs/ablation"),
    only: Annotated[
        list[str] | None,
        typer.Option(help="Train this one alone: whole, memory_bank, iame, id_features, im_adapter or again. Repeatable."),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A value in place of the file's, such as animation.optim.steps=400. Repeatable.")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Held-out pairs that are judged, 1 or more.")] = 64,
    frames: Annotated[int, typer.Option(help="Frames of each at 12.5 frames/s, 3 or more.")] = 24,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV or JSON of pairs without results to judge instead; see `evaluate --manifest`.")
    ] = None,
    metric_weights: Annotated[
        Path | None, typer.Option(help="Folder of `hp-portrait download DIR --for evaluation --for identity`; what it lacks is left blank.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Save and stop each training after so long. Default: at the last step.")] = None,
    device: Annotated[str | None, typer.Option(help="torch device of results and metrics. Default: what torch reports, else cpu.")] = None,
    as_json: Json = False,
) -> None:
    """Train the system without each part of the paper's Table 2, and judge them on the same pairs."""
    from hp_core.checks import check_range
    from hp_core.commands.evaluate import print_judgement
    from hp_core.commands.parse import settings_changes
    from hp_core.evaluation.ablate import ablate as stage
    from hp_core.evaluation.ablate import validation_curves
    from hp_core.training.settings import read_settings

    check_range("pairs", pairs, 1)
    check_range("frames", frames, 3)
    settings = read_settings(config or {"demo": "ablation"}[preset], settings_changes(changes))
    with Bars(quiet=as_json) as bars:
        judgement = bars.run(
            stage(
                settings,
                out,
                only=only or (),
                pairs=pairs,
                frames=frames,
                manifest=manifest,
                metric_weights=metric_weights,
                minutes=minutes,
                device=device,
            )
        )
    curves = validation_curves(out)
    if as_json:
        typer.echo(json.dumps((judgement.facts() if judgement else {}) | {"curves": curves, "notices": bars.notices}))
        return
    rows = [[name, f"{points[-1][0]}", f"{points[-1][1]:.2f}"] for name, points in curves.items()]
    table("Validation clips, from their first frame", ["method", "step", "PSNR (dB)"], rows)
    if judgement:
        print_judgement(judgement, against="HunyuanPortrait")
        typer.echo(f"{out / 'report' / 'report.html'} and curve.svg: everything")
