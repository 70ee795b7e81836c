"""`hp-portrait motion`: motion as a file, without the video it came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hp_core.commands.options import (
    Analyzer,
    AnalyzerModel,
    Crop,
    DetectionThreshold,
    Device,
    DrivingFace,
    End,
    Expression,
    Fps,
    HoldAfter,
    HoldBefore,
    IntensityRule,
    Json,
    Neutral,
    OnMissing,
    Pace,
    Pitch,
    Roll,
    Rotation,
    Smooth,
    Smoothing,
    Stiffness,
    Stretch,
    Translation,
    Turn,
    Yaw,
)
from hp_core.terminal import Bars, figures

if TYPE_CHECKING:
    from hp_core.values import MotionTokens

Output = Annotated[Path, typer.Option("--output", "-o", help="File to write, .safetensors.")]

motion_app = typer.Typer(help="Motion templates: made from a video, looked at, edited, reused by `animate`.", no_args_is_help=True)


@motion_app.command("save")
def save(
    driving: Annotated[Path, typer.Argument(help="The video whose motion is taken, or a picture.")],
    output: Output,
    weights: Annotated[Path | None, typer.Option(help="Folder that holds hyportrait/; the motion fits these weights alone.")] = None,
    start: Annotated[int, typer.Option(help="First driving frame, from 0.")] = 0,
    frames: Annotated[int | None, typer.Option(help="Driving frames to use, 1 or more. Default: all.")] = None,
    driving_face: DrivingFace = "largest",
    crop: Crop = "face",
    stiffness: Stiffness = 12,
    on_missing: OnMissing = "error",
    intensity: IntensityRule = None,
    analyzer: Annotated[Analyzer, typer.Option(help="Face analyzer.")] = "mediapipe",
    analyzer_model: AnalyzerModel = None,
    detection_threshold: DetectionThreshold = 0.5,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Encode the motion of DRIVING into a file."""
    from hp_core.checks import check_part
    from hp_core.commands.parse import face
    from hp_core.pipeline import PortraitPipeline, analyzer_for
    from hp_core.request import AnimateOptions, check_motion_output
    from hp_core.weights.catalog import weights_folder

    which = face(driving_face)
    check_part(start, frames)
    AnimateOptions(driving_face=which, crop=crop, stiffness=stiffness, on_missing=on_missing)  # refuses what cannot be meant
    check_motion_output(output, driving, *([which] if isinstance(which, Path) else []))
    folder = weights_folder(weights)
    detector = analyzer_for(folder, analyzer, model=analyzer_model, threshold=detection_threshold)
    with Bars(quiet=as_json) as bars:
        pipeline = bars.run(PortraitPipeline.load(folder, analyzer=detector, device=device))
        stage = pipeline.motion_of(
            driving,
            start=start,
            frames=frames,
            which=which,
            crop=crop,
            stiffness=stiffness,
            on_missing=on_missing,
            intensity=intensity,
        )
        encoded = bars.run(stage)
    detector.close()
    _keep(encoded, output, as_json)


@motion_app.command("show")
def show(
    motion: Annotated[Path, typer.Argument(help="A motion file.")],
    as_json: Json = False,
) -> None:
    """Say what a motion file holds."""
    _describe(motion, as_json)


@motion_app.command("edit")
def edit(
    context: typer.Context,
    motion: Annotated[Path, typer.Argument(help="A motion file.")],
    output: Output,
    start: Annotated[int, typer.Option(help="First frame kept, from 0.")] = 0,
    frames: Annotated[int | None, typer.Option(help="Frames kept from there on. Default: all.")] = None,
    smooth: Smooth = 1,
    smoothing: Smoothing = "savgol",
    expression: Expression = 1.0,
    rotation: Rotation = 1.0,
    neutral: Neutral = -1,
    turn: Turn = 1.0,
    yaw: Yaw = 0.0,
    pitch: Pitch = 0.0,
    roll: Roll = 0.0,
    translation: Translation = "as it is",
    fps: Fps = 0.0,
    stretch: Stretch = 0,
    hold_before: HoldBefore = 0,
    hold_after: HoldAfter = 0,
    end: End = "as it is",
    as_json: Json = False,
) -> None:
    """Change a motion: its part, smoothness, strength, turn of the head and place, rate, length and end, in this order."""
    from hp_core.commands.parse import motion_edit
    from hp_core.motion.edit import edited, kept

    changes = motion_edit(context.params)
    _keep(edited(kept(_loaded(motion, output), start, frames), changes), output, as_json)


@motion_app.command("mix")
def mix(
    motion: Annotated[Path, typer.Argument(help="A motion file: it gives the expression and the length.")],
    other: Annotated[Path, typer.Argument(help="A motion file: it gives the head.")],
    output: Output,
    head: Annotated[float, typer.Option(help="Share of OTHER's head, 0..1.")] = 1.0,
    expression: Annotated[float, typer.Option(help="Share of OTHER's expression, 0..1.")] = 0.0,
    relative: Annotated[bool, typer.Option(help="Add OTHER's turns to where MOTION looks at rest.")] = False,
    neutral: Annotated[int, typer.Option(help="Frame in which MOTION looks at rest; -1: the most usual face.")] = -1,
    other_neutral: Annotated[int, typer.Option(help="Frame in which OTHER does; -1: the most usual face.")] = -1,
    pace: Annotated[
        Pace, typer.Option(help="keep: OTHER at its own speed, cut off or held at its end. stretch: fitted to MOTION's length.")
    ] = "keep",
    as_json: Json = False,
) -> None:
    """The expression of MOTION with the head of OTHER, or something between the two."""
    from hp_core.errors import OptionError
    from hp_core.motion.edit import mixed

    named = [f"{name} is frame {frame}" for name, frame in (("neutral", neutral), ("other_neutral", other_neutral)) if frame >= 0]
    if named and not relative:
        raise OptionError(f"{' and '.join(named)}, which relative alone asks for. Set relative, or leave that out.")
    first, second = (_loaded(path, output) for path in (motion, other))
    changed = mixed(
        first,
        second,
        head=head,
        expression=expression,
        relative=relative,
        neutral=neutral,
        other_neutral=other_neutral,
        pace=pace,
    )
    _keep(changed, output, as_json)


@motion_app.command("join")
def join(
    motions: Annotated[list[Path], typer.Argument(help="Motion files of one frame rate.")],
    output: Output,
    blend: Annotated[int, typer.Option(help="Frames in which each goes over into the next, which both share.")] = 0,
    as_json: Json = False,
) -> None:
    """MOTIONS one after another."""
    from hp_core.motion.edit import concatenated

    _keep(concatenated([_loaded(path, output) for path in motions], blend=blend), output, as_json)


def _loaded(path: Path, output: Path) -> MotionTokens:
    """A motion that is read; ``output`` is checked first, so that nothing is done for nothing."""
    from hp_core.request import check_motion_output
    from hp_core.values import MotionTokens

    check_motion_output(output, path)
    return MotionTokens.load(path)


def _keep(motion: MotionTokens, output: Path, as_json: bool) -> None:
    motion.save(output)
    _describe(output, as_json)


def _describe(path: Path, as_json: bool) -> None:
    from hp_core.motion.edit import neutral_frame
    from hp_core.values import MotionTokens

    motion = MotionTokens.load(path)
    low, high = motion.rotation.min(0).values.tolist(), motion.rotation.max(0).values.tolist()
    facts = {
        "file": str(path),
        "frames": len(motion),
        "fps": str(motion.fps),
        "seconds": round(len(motion) / float(motion.fps), 3),
        "tokens": list(motion.tokens.shape[1:]),
        "neutral_frame": neutral_frame(motion),
        "rotation_degrees": [[round(a, 1), round(b, 1)] for a, b in zip(low, high, strict=True)],
        "intensity_rule": motion.rule,
        "encoder": motion.encoder or "unknown",
        "source": motion.source or "unknown",
    }
    figures(str(path), ["what", "value"], [[name, str(value)] for name, value in facts.items()], facts, as_json)
