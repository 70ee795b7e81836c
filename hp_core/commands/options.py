"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Dtype = Literal["fp16", "bf16", "fp32"]
Preset = Literal["demo", "released", "paper"]
Analyzer = Literal["mediapipe", "insightface", "yolo"]
View = Literal["portrait", "crop", "compare"]
Sampler = Literal["euler", "ddim", "dpmpp_2m", "unipc", "lcm"]
FaceStyle = Literal["shaded", "line-art", "flat", "painted"]
FaceScript = Literal["nod", "shake", "talk", "wink", "smile", "look-around", "showreel"]
Paste = Literal["crop", "face"]
Device = Annotated[str | None, typer.Option(help="torch device. Default: the accelerator torch reports, else cpu.")]
AnalyzerModel = Annotated[Path | None, typer.Option(help="Its model file (insightface: folder). Default: the usual places.")]
DetectionThreshold = Annotated[float, typer.Option(help="Lowest confidence that counts as a face, between 0 and 1.")]
FACES = "Faces and pasting"
DrivingFace = Annotated[
    str,
    typer.Option(
        help="Of the driving video's first frame: largest, leftmost, rightmost, topmost, bottommost, center, an index (0 is the "
        "largest), X,Y: the nearest, at most its side away, or like:PICTURE of the person, compared by ArcFace.",
        rich_help_panel=FACES,
    ),
]
Crop = Annotated[
    Literal["face", "whole", "follow"],
    typer.Option(
        help="face: a square around it, fixed, as released; follow: one that moves along with the driver; whole: the picture and the "
        "video are portrait crops already."
    ),
]
Stiffness = Annotated[
    int, typer.Option(help="Of the square that follows: frames its way is smoothed over, each side.", rich_help_panel=FACES)
]
OnMissing = Annotated[
    Literal["error", "hold", "interpolate"],
    typer.Option(help="Driving frames without the face: stop, hold the last points, or interpolate between the frames around."),
]
IntensityRule = Annotated[
    Literal["released", "paper"] | None,
    typer.Option(help="Rule of motion intensity. Released: released. Paper: eq. 2-3. Default: the weights' own."),
]
_MOTION = "Motion"
Expression = Annotated[
    float, typer.Option(help="Strength about the neutral frame, -2..4: 0 holds it, 1 as it is.", rich_help_panel=_MOTION)
]
Rotation = Annotated[float, typer.Option(help="The same for the head's turns.", rich_help_panel=_MOTION)]
Neutral = Annotated[int, typer.Option(help="Index of the neutral frame; -1 takes the most usual face.", rich_help_panel=_MOTION)]
Smooth = Annotated[int, typer.Option(help="Window in frames, odd; 1 smooths nothing.", rich_help_panel=_MOTION)]
Smoothing = Annotated[
    Literal["savgol", "one_euro"],
    typer.Option(help="savgol keeps blinks; one_euro calms what stands still.", rich_help_panel=_MOTION),
]
Turn = Annotated[
    float, typer.Option(help="The head's turns from straight ahead, times this, -2..4: 0 looks straight ahead.", rich_help_panel=_MOTION)
]
Yaw = Annotated[float, typer.Option(help="Turn of the head added, degrees, -90..90.", rich_help_panel=_MOTION)]
Pitch = Annotated[float, typer.Option(help="Nod of the head added, degrees, -90..90.", rich_help_panel=_MOTION)]
Roll = Annotated[float, typer.Option(help="Tilt of the head added, degrees, -90..90.", rich_help_panel=_MOTION)]
TranslationRule = Literal["as it is", "released", "predicted"]
Translation = Annotated[
    TranslationRule,
    typer.Option(help="The head's place in the motion: released is zero, predicted the encoder's own.", rich_help_panel=_MOTION),
]
Fps = Annotated[float, typer.Option(help="The same seconds at so many frames/s; 0 keeps the motion's own.", rich_help_panel=_MOTION)]
Stretch = Annotated[int, typer.Option(help="Stretch or squeeze to so many frames; 0 keeps the length.", rich_help_panel=_MOTION)]
HoldBefore = Annotated[int, typer.Option(help="Hold the first frame for so many extra frames.", rich_help_panel=_MOTION)]
HoldAfter = Annotated[int, typer.Option(help="Hold the last frame for so many extra frames.", rich_help_panel=_MOTION)]
End = Annotated[
    Literal["as it is", "loop", "ping-pong"],
    typer.Option(help="loop: the end goes over into the beginning. ping-pong: forward, then backward.", rich_help_panel=_MOTION),
]
Pace = Literal["keep", "stretch"]
Pose = Literal["released", "paper", "identity"]
PoseMissing = Literal["interpolate", "hold", "error"]
Keypoints = Literal["auto", "dwpose", "face"]
Drawing = Literal["controlnet", "mimicmotion"]
SpeedPreset = Literal["exact", "balanced", "fast", "draft"]
Windows = Literal["ring", "line"]
Branches = Literal["one by one", "together"]
Noise = Literal["independent", "shared"]
UnetStorage = Annotated[
    Literal["compute", "fp8"],
    typer.Option(help="How the UNet's weights are kept. compute: as computed in. fp8: in half of fp16's memory, a slightly other picture."),
]
Memory = Annotated[
    Literal["resident", "frugal", "streamed"],
    typer.Option(
        help="resident: all networks stay on the device. frugal: each is there while its stage runs. streamed: frugal, and the UNet comes "
        "block by block. The picture is the same."
    ),
]
TrainStage = Literal["vae", "identity", "motion", "animation", "decoder"]
