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
Noise = Literal["independent", "shared"]
TrainStage = Literal["vae", "identity", "motion", "animation"]
