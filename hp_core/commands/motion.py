"""`hp-portrait motion`: motion as a file, without the video it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hp_core.commands.options import Analyzer, Crop, Intensity, Json, OnMissing, Translation
from hp_core.terminal import Bars, figures

motion_app = typer.Typer(help="Motion templates: made from a video, looked at, edited, reused by `animate`.", no_args_is_help=True)


@motion_app.command("save")
def save(
    driving: Annotated[Path, typer.Argument(help="The video whose motion is taken.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .safetensors.")],
    weights: Annotated[Path | None, typer.Option(help="Folder that holds hyportrait/; the motion fits these weights alone.")] = None,
    start: Annotated[int, typer.Option(help="First driving frame, from 0.")] = 0,
    frames: Annotated[int | None, typer.Option(help="Driving frames to use, 1 or more. Default: all.")] = None,
    crop: Annotated[
        Crop, typer.Option(help="face: a square around it, as released; whole: the video is a portrait crop already.")
    ] = "face",
    on_missing: Annotated[OnMissing, typer.Option(help="Frames without the face: stop, hold the last points, or interpolate.")] = "error",
    intensity: Annotated[Intensity | None, typer.Option(help="Rule of motion intensity. Default: the weights' own.")] = None,
    analyzer: Annotated[Analyzer, typer.Option(help="Face analyzer.")] = "mediapipe",
    device: Annotated[str | None, typer.Option(help="torch device. Default: the accelerator torch reports, else cpu.")] = None,
    as_json: Json = False,
) -> None:
    """Encode the motion of DRIVING into a file."""
    from hp_core.face.analyzer import create_analyzer
    from hp_core.files import check_writable
    from hp_core.pipeline import PortraitPipeline
    from hp_core.weights.catalog import CATALOG, weights_folder

    check_writable(output)
    folder = weights_folder(weights)
    model = CATALOG["face_landmarker"].find(folder) if analyzer == "mediapipe" else None
    with Bars(quiet=as_json) as bars:
        pipeline = bars.run(PortraitPipeline.load(folder, analyzer=create_analyzer(analyzer, model=model), device=device))
        encoded = bars.run(pipeline.motion_of(driving, start=start, frames=frames, crop=crop, on_missing=on_missing, intensity=intensity))
    pipeline.analyzer.close()
    encoded.save(output)
    _describe(output, as_json)


@motion_app.command("show")
def show(
    motion: Annotated[Path, typer.Argument(help="A motion file.")],
    as_json: Json = False,
) -> None:
    """Say what a motion file holds."""
    _describe(motion, as_json)


@motion_app.command("edit")
def edit(
    motion: Annotated[Path, typer.Argument(help="A motion file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .safetensors.")],
    expression: Annotated[float, typer.Option(help="Strength about the neutral frame, -2..4: 0 holds it, 1 as it is.")] = 1.0,
    rotation: Annotated[float, typer.Option(help="The same for the head's rotation.")] = 1.0,
    smooth: Annotated[int, typer.Option(help="Window in frames, odd; 1 smooths nothing.")] = 1,
    smoothing: Annotated[
        Literal["savgol", "one_euro"], typer.Option(help="savgol keeps blinks; one_euro calms what stands still.")
    ] = "savgol",
    frames: Annotated[int, typer.Option(help="Stretch to so many frames; 0 keeps the length.")] = 0,
    end: Annotated[Literal["as it is", "loop", "ping-pong"], typer.Option(help="What the end does.")] = "as it is",
    neutral: Annotated[int, typer.Option(help="Index of the neutral frame; -1 takes the most usual face.")] = -1,
    yaw: Annotated[float, typer.Option(help="Turn of the head added, degrees, -90..90.")] = 0.0,
    pitch: Annotated[float, typer.Option(help="Nod of the head added, degrees, -90..90.")] = 0.0,
    roll: Annotated[float, typer.Option(help="Tilt of the head added, degrees, -90..90.")] = 0.0,
    translation: Annotated[
        Translation, typer.Option(help="The head's place in the motion: released is zero, predicted the encoder's own.")
    ] = "as it is",
    as_json: Json = False,
) -> None:
    """Change a motion: strength, smoothness, length, end, turn of the head."""
    from hp_core.motion.edit import edited
    from hp_core.values import MotionTokens

    changed = edited(
        MotionTokens.load(motion),
        expression=expression,
        rotation=rotation,
        smooth=smooth,
        filter=smoothing,
        frames=frames,
        end=end,
        neutral=neutral,
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        translation=translation,
    )
    changed.save(output)
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
