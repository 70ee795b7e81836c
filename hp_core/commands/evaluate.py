"""The command `evaluate`: weights on the drawn world, or any results a manifest names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hp_core.commands.options import Device, Json, Pose, TranslationRule
from hp_core.errors import OptionError
from hp_core.terminal import Bars, figures, table

if TYPE_CHECKING:
    from hp_core.evaluation.demo_report import Evaluation
    from hp_core.evaluation.judgement import Judgement
    from hp_core.progress import Stage

_FILES = "Results in files"


def evaluate(
    context: typer.Context,
    preset: Annotated[Literal["demo"], typer.Option(help="demo: held-out pairs of the procedural world, with the exact truth.")] = "demo",
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder that holds hyportrait/. Default: the preset's own; with --manifest none. none: baselines alone."),
    ] = None,
    pairs: Annotated[int, typer.Option(help="Pairs of a portrait and somebody else's clip, 1 or more.")] = 64,
    frames: Annotated[int, typer.Option(help="Frames of each clip at 12.5 frames/s, 3 or more.")] = 24,
    steps: Annotated[int | None, typer.Option(help="Denoising steps, 1..1000. Default: the weights' own.")] = None,
    device: Device = None,
    pose: Annotated[Pose, typer.Option(help="What the pose guider is shown: released is black.")] = "released",
    translation: Annotated[
        TranslationRule, typer.Option(help="The head's place in the motion: released is zero, so that the pose alone tells it.")
    ] = "as it is",
    only: Annotated[
        list[str] | None, typer.Option(help="Of still, warp, model, vae, staring, truth, one to judge. Repeatable. Default: all.")
    ] = None,
    swap: Annotated[
        bool,
        typer.Option(help="Instead: expression of one driver, head of the next; what comes through?"),
    ] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Instead: CSV or JSON of pairs with the columns pair, system, portrait, driving, result, truth, truth_square. "
            "Rows without a result are made with --weights.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    protocol: Annotated[
        Literal["self", "cross"],
        typer.Option(help="self: the first frame drives the rest of its clip. cross: another's clip does.", rich_help_panel=_FILES),
    ] = "cross",
    metrics: Annotated[
        str | None,
        typer.Option(help="Names with commas between; all for every one. Default: all but lpips_vgg.", rich_help_panel=_FILES),
    ] = None,
    metric_weights: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `hp-portrait download DIR --for evaluation --for identity`. Default: --weights.", rich_help_panel=_FILES
        ),
    ] = None,
    fit: Annotated[
        bool,
        typer.Option(help="Cut clips of unequal length to the shortest, resize truths to the result's size.", rich_help_panel=_FILES),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the results that are made, 0 or more.", rich_help_panel=_FILES)] = 0,
    crop: Annotated[
        Literal["face", "whole"],
        typer.Option(
            help="Of the results that are made: a square around the face, or pictures that are crops already.", rich_help_panel=_FILES
        ),
    ] = "face",
    fvd_frames: Annotated[int, typer.Option(help="Of FVD: frames of a window, 10 or more.", rich_help_panel=_FILES)] = 16,
    fvd_stride: Annotated[int, typer.Option(help="Of FVD: frames from window to window, 1 or more.", rich_help_panel=_FILES)] = 16,
    fvd_resize: Annotated[
        Literal["network", "squash", "crop"],
        typer.Option(help="Of FVD: by I3D itself (StyleGAN-V), bicubic (DisCo), or bilinear and the middle.", rich_help_panel=_FILES),
    ] = "network",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for report.json, report.csv, report.md and pictures; with --manifest, report.html and what resumes a stopped run.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge weights by cross-reenactment of held-out pairs, or anybody's results in files.

    Held-out pairs stand beside a still portrait, a warped one and the ceilings. With --manifest, what is in the files is judged in
    the layout of the paper's tables; a run that was stopped goes on with the same line.
    """
    from hp_core.weights.catalog import weights_folder

    if manifest is None:
        _refuse_of_files(context)
        if swap and output is not None:
            raise OptionError("--swap prints its table and writes no report; leave -o out, or take --json.")
    named = weights or (None if manifest is not None else Path(preset))
    folder = None if named is None or str(named) == "none" else weights_folder(named)
    if translation != "as it is" and (swap or manifest is not None):
        raise OptionError(f"--translation {translation} is of the held-out pairs alone; leave it, or --swap and --manifest, out.")
    if only and (swap or manifest is not None):
        raise OptionError("--only is of the held-out pairs alone; leave it, or --swap and --manifest, out.")
    if pose != "released" and swap:
        raise OptionError(f"--pose {pose} shows one driver's skeleton, and --swap has two drivers; leave one of them out.")
    if manifest is not None:
        if swap:
            raise OptionError("--swap is of the drawn world; leave it or --manifest out.")
        if output is None:
            raise OptionError("A manifest needs a folder for the report, from which a stopped run goes on. Add -o FOLDER.")
        from hp_core.evaluation.from_manifest import evaluate_manifest
        from hp_core.evaluation.metrics.registry import DEFAULT

        run = evaluate_manifest(
            manifest,
            output,
            protocol=protocol,
            metrics=DEFAULT if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()],
            weights=folder,
            metric_weights=metric_weights,
            fvd={"length": fvd_frames, "stride": fvd_stride, "resize": fvd_resize},
            fit=fit,
            steps=steps,
            seed=seed,
            device=device,
            crop=crop,
            pose=pose,
        )
        _from_files(run, output, as_json)
    elif swap:
        from hp_core.evaluation.swap import evaluate_swap

        _swapped(evaluate_swap(folder, pairs=pairs, frames=frames, steps=steps, device=device), pairs, as_json)
    else:
        from hp_core.evaluation.demo import evaluate_demo

        judged = evaluate_demo(
            folder,
            pairs=pairs,
            frames=frames,
            steps=steps,
            device=device,
            pose=pose,
            translation=translation,
            only=only or (),
            report=output,
        )
        _on_drawn_people(judged, f"{pairs} held-out pairs, {frames} frames each", as_json)


def _refuse_of_files(context: typer.Context) -> None:
    """Options that speak of files are refused where there are none, instead of dropped."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name) if option.name else None
        if getattr(option, "rich_help_panel", None) == _FILES and source is not None and source.name == "COMMANDLINE":
            raise OptionError(f"{option.opts[0]} is of results in files; add --manifest FILE, or leave it out.")


def _from_files(run: Stage[Judgement], output: Path, as_json: bool) -> None:
    import json

    with Bars(quiet=as_json) as bars:
        judgement = bars.run(run)
    if as_json:
        typer.echo(json.dumps(judgement.facts() | {"notices": bars.notices}))
        return
    print_judgement(judgement)
    typer.echo(f"{output / 'report.html'}: the tables, plots, the best, median and worst pairs, what each number depends on")


def print_judgement(judgement: Judgement, against: str | None = None) -> None:
    """Its tables; of the differences those to the system ``against``, None for all."""
    from hp_core.evaluation.tables import difference_table, full_table, paper_tables

    for title, header, rows in (*paper_tables(judgement), full_table(judgement), difference_table(judgement, against)):
        if rows:
            table(title, header, rows)


def _swapped(run: Stage[dict[str, dict[str, dict[str, Any]]]], pairs: int, as_json: bool) -> None:
    from hp_core.evaluation.demo_report import pooled_and_inside

    with Bars(quiet=as_json) as bars:
        follows = bars.run(run)
    rows = [[name, *(pooled_and_inside(value, decimals=3) for value in row.values())] for name, row in follows.items()]
    title = f"{pairs} portraits, expression of one driver, head of the next"
    columns = ["with it", "with the other", "with what it played", "exact pictures with it", "with what it played"]
    figures(title, ["correlation, pooled / per pair", *columns], rows, follows, as_json)


def _on_drawn_people(run: Stage[Evaluation], title: str, as_json: bool) -> None:
    from hp_core.evaluation.demo_report import correlation_table, score_table

    with Bars(quiet=as_json) as bars:
        evaluation = bars.run(run)
    follows = [
        [f"{cells[0]}: correlation with the {of}, pooled / per pair", *cells[1:]]
        for of in ("truth", "driving")
        for cells in correlation_table(evaluation.systems, of)
    ]
    rows = score_table(evaluation.systems) + follows
    figures(title, ["", *evaluation.systems], rows, evaluation.facts(), as_json)
