"""The commands around training: rendered people, training data, training itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hp_core.commands.options import Analyzer, AnalyzerModel, DetectionThreshold, FaceScript, FaceStyle, Json, Preset, TrainStage
from hp_core.terminal import Bars, figures


def faces(
    output: Annotated[Path, typer.Option("--output", "-o", help="Video to write: .mp4, .mov or .mkv; the truth goes beside it as .npz.")],
    seed: Annotated[int, typer.Option(help="Number of the person, from 0.")] = 0,
    frames: Annotated[int, typer.Option(help="Length, 1 or more.")] = 96,
    performance_seed: Annotated[int | None, typer.Option(help="Number of the performance, from 0. Default: that of the person.")] = None,
    script: Annotated[FaceScript | None, typer.Option(help="A scripted performance instead of a numbered one.")] = None,
    size: Annotated[int, typer.Option(help="Side of the picture, pixels, 64 or more.")] = 512,
    fps: Annotated[float, typer.Option(help="Frames/s, above 0.")] = 25.0,
    style: Annotated[FaceStyle, typer.Option(help="Look of the picture; the truth is the same in each.")] = "shaded",
    as_json: Json = False,
) -> None:
    """Render a drawn person and write what is known about each frame beside the video."""
    from fractions import Fraction

    from hp_core.demo.clip import choose_performance, write_clip
    from hp_core.demo.identity import Identity

    number = seed if performance_seed is None and script is None else performance_seed
    performance = choose_performance(frames, fps, seed=number, script=script)
    truth = write_clip(output, Identity.sample(seed), performance, size=size, fps=Fraction(str(fps)), style=style)
    facts = {"output": str(output), "truth": str(truth), "frames": frames, "fps": fps, "size": [size, size], "style": style}
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        typer.echo(f"{output}: {frames} frames of {size}x{size} at {fps:g} frames/s; truth in {truth}")


def prepare(
    videos: Annotated[Path, typer.Argument(help="Folder of videos, searched with the folders below it; or one video.")],
    out: Annotated[Path, typer.Argument(help="Folder to write shards, journal and report into; run again to go on.")],
    preset: Annotated[Preset, typer.Option(help="Whose crop sizes: released and paper 512 pixels, demo 128.")] = "released",
    frames: Annotated[int, typer.Option(help="Of a clip, --min-frames or more; longer videos are cut into consecutive clips.")] = 100,
    min_frames: Annotated[int, typer.Option(help="Shorter videos and rests are dropped, 1 or more.")] = 16,
    one_face: Annotated[bool, typer.Option(help="Drop clips that show a second face of at least half the area.")] = True,
    min_face: Annotated[
        int, typer.Option(help="Shorter side of the face's box, pixels of the video, median of the clip, 1 or more.")
    ] = 128,
    min_found: Annotated[float, typer.Option(help="Share of the frames that show the face, 0..1.")] = 0.9,
    max_yaw: Annotated[float, typer.Option(help="Median turn of the head to either side, degrees, 0..180.")] = 60.0,
    crf: Annotated[int, typer.Option(help="H.264 quality of the crops, 1 (best) to 51.")] = 12,
    clips_per_shard: Annotated[int, typer.Option(help="1 or more.")] = 32,
    keypoints: Annotated[
        Path | None, typer.Option(help="Folder of STEM.dwpose.npz, body points of the videos. Default: beside each video, if at all.")
    ] = None,
    dwpose: Annotated[
        Path | None,
        typer.Option(help="Folder of `hp-portrait download DIR --for dwpose`, which finds them where no file has them. Default: none are."),
    ] = None,
    analyzer: Annotated[Analyzer, typer.Option(help="Face analyzer; only mediapipe tells how the head is turned.")] = "mediapipe",
    analyzer_model: AnalyzerModel = None,
    detection_threshold: DetectionThreshold = 0.5,
    as_json: Json = False,
) -> None:
    """Cut, check and crop real VIDEOS into training shards (webdataset) in OUT."""
    from dataclasses import asdict

    from hp_core.config import PortraitConfig
    from hp_core.face.analyzer import create_analyzer
    from hp_core.training.prepare import PrepareOptions
    from hp_core.training.prepare import prepare as stage

    options = PrepareOptions(
        frames=frames,
        min_frames=min_frames,
        one_face=one_face,
        min_face=min_face,
        min_found=min_found,
        max_yaw=max_yaw,
        crf=crf,
        clips_per_shard=clips_per_shard,
        keypoints=keypoints,
    )
    estimator = None
    if dwpose is not None:
        from hp_core.pose.dwpose import DETECTOR_FILE, ESTIMATOR_FILE, DwposeEstimator

        estimator = DwposeEstimator(dwpose / DETECTOR_FILE, dwpose / ESTIMATOR_FILE)
    detector = create_analyzer(analyzer, model=analyzer_model, threshold=detection_threshold)
    face = PortraitConfig.preset(preset).face
    with Bars(quiet=as_json) as bars:
        report = bars.run(stage(videos, out, analyzer=detector, config=face, options=options, estimator=estimator))
    detector.close()
    figures(str(out), ["what", "clips", "example"], report.rows(), asdict(report) | {"notices": bars.notices}, as_json)


def train(
    stage: Annotated[
        TrainStage, typer.Argument(help="vae, identity and decoder make the small helpers of the demo; motion, then animation, the system.")
    ],
    config: Annotated[str, typer.Option(help="demo, released, finetune, or a YAML file.")] = "demo",
    out: Annotated[Path, typer.Option(help="Folder of the run; run again to go on from its newest checkpoint.")] = Path("runs/demo"),
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A value in place of the file's, such as animation.optim.lr=1e-4. Repeatable.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Save and stop after so long. Default: at the last step.")] = None,
    as_json: Json = False,
) -> None:
    """Train one stage. Ctrl-C saves; the weights in OUT/weights can be used at any time.

    On several devices or processes: `accelerate launch -m hp_core.cli train ...`.
    """
    from hp_core.commands.parse import settings_changes
    from hp_core.training.processes import is_first_process
    from hp_core.training.run import run_stage
    from hp_core.training.settings import read_settings

    settings = read_settings(config, settings_changes(changes), stage=stage)
    with Bars(quiet=as_json or not is_first_process()) as bars:
        outcome = bars.run(run_stage(stage, settings, out, minutes=minutes))
    if not is_first_process():
        return
    facts = {"stage": stage, "step": outcome.step, "finished": outcome.finished, "weights": str(out / "weights"), "notices": bars.notices}
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        rest = "finished" if outcome.finished else "stopped; the same command goes on from here"
        typer.echo(f"{stage}: {outcome.step} steps, {rest}. Weights in {out / 'weights'}")
