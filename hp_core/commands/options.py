"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Dtype = Literal["fp16", "bf16", "fp32"]
Preset = Literal["demo", "released", "paper"]
Analyzer = Literal["mediapipe", "insightface", "yolo"]
OnMissing = Literal["error", "hold", "interpolate"]
View = Literal["portrait", "crop", "compare"]
Sampler = Literal["euler", "ddim", "dpmpp_2m", "unipc", "lcm"]
Intensity = Literal["released", "paper"]
FaceStyle = Literal["shaded", "line-art", "flat", "painted"]
FaceScript = Literal["nod", "shake", "talk", "wink", "smile", "look-around", "showreel"]
Crop = Literal["face", "whole", "follow"]
Paste = Literal["crop", "face"]
Translation = Literal["as it is", "released", "predicted"]
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
