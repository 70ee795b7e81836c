"""The command `animate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hp_core.commands.options import (
    FACES,
    Analyzer,
    AnalyzerModel,
    Branches,
    Crop,
    DetectionThreshold,
    Device,
    Drawing,
    DrivingFace,
    Dtype,
    End,
    Expression,
    Fps,
    HoldAfter,
    HoldBefore,
    IntensityRule,
    Json,
    Keypoints,
    Memory,
    Neutral,
    Noise,
    OnMissing,
    Pace,
    Paste,
    Pitch,
    Pose,
    PoseMissing,
    Roll,
    Rotation,
    Sampler,
    Smooth,
    Smoothing,
    SpeedPreset,
    Stiffness,
    Stretch,
    Translation,
    Turn,
    UnetStorage,
    View,
    Windows,
    Yaw,
)
from hp_core.commands.parse import face, lora, motion_edit, person, ramp, switches
from hp_core.terminal import Bars

_POSE = "Pose"


def animate(
    context: typer.Context,
    portrait: Annotated[Path, typer.Argument(help="The picture to animate.")],
    driving: Annotated[Path, typer.Argument(help="Video whose motion it takes on, a picture, or a file of `hp-portrait motion save`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Video to write: .mp4, .mov or .mkv.")],
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder that holds hyportrait/. Default: pretrained_weights/ or models/HunyuanPortrait/ from here."),
    ] = None,
    loras: Annotated[
        list[str] | None,
        typer.Option("--lora", help="FILE or FILE:STRENGTH, -10..10, default 1: a .safetensors LoRA of SVD's UNet. Repeatable."),
    ] = None,
    view: Annotated[
        View, typer.Option(help="portrait: pasted back into the picture; crop: the square alone; compare: side by side.")
    ] = "portrait",
    seed: Annotated[int, typer.Option(help="Of the starting noise, 0 to 2^63 - 1.")] = 0,
    start: Annotated[int, typer.Option(help="First driving frame, from 0.")] = 0,
    frames: Annotated[int | None, typer.Option(help="Driving frames to use, 1 or more. Default: all.")] = None,
    preset: Annotated[
        SpeedPreset,
        typer.Option(help="Speed against likeness to the released way: see docs/speed.md. Options given explicitly override it."),
    ] = "exact",
    steps: Annotated[int | None, typer.Option(help="Denoising steps, 1..1000. Released: 25.")] = None,
    sampler: Annotated[
        Sampler | None, typer.Option(help="Released: euler. Paper: ddim. dpmpp_2m and unipc need fewer steps; lcm is for an LCM-LoRA.")
    ] = None,
    noise: Annotated[Noise | None, typer.Option(help="Starting noise of the frames; shared flickers less. Released: independent.")] = None,
    appearance_guidance: Annotated[
        str | None, typer.Option(help="Scale, 0..100, or FIRST:LAST for a ramp over the steps. Released: 2.")
    ] = None,
    motion_guidance: Annotated[
        str | None, typer.Option(help="Scale, 0..100, or FIRST:LAST for a ramp over the steps. Released: 2.")
    ] = None,
    guidance_interval: Annotated[
        str | None, typer.Option(help="LOW:HIGH, sigmas inside which guidance counts; outside it one branch is left. Released: always.")
    ] = None,
    start_step: Annotated[
        int | None, typer.Option(help="First step done, from 0; a later one begins with the portrait under that noise. Released: 0.")
    ] = None,
    reuse_every: Annotated[
        int | None,
        typer.Option(help="Compute the UNet's deep blocks every n-th step, 1..1000; approximate above 1, takes memory. Released: 1."),
    ] = None,
    window: Annotated[int | None, typer.Option(help="Frames the UNet sees together, 1 or more. Released: 25.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Frames shared by neighbouring windows, 0 to below the window. Released: 3.")] = None,
    shift: Annotated[int | None, typer.Option(help="Frames all windows move back at each step, 0 or more. Released: 3.")] = None,
    windows: Annotated[
        Windows | None, typer.Option(help="ring: wrapping around the clip. line: as few as cover it. Released: ring.")
    ] = None,
    branches: Annotated[
        Branches | None, typer.Option(help="Guidance's branches; together takes more memory, the picture is the same. Default: one by one.")
    ] = None,
    pad_frames: Annotated[
        int | None, typer.Option(help="Warm-up frames before and after the clip, cut off later, 0 or more. Released: 15.")
    ] = None,
    decode_chunk: Annotated[
        int | None, typer.Option(help="Frames the VAE decodes together, 1 or more; changes the picture. Released: 8.")
    ] = None,
    decode_overlap: Annotated[
        int | None, typer.Option(help="Frames that two chunks share, blended, 0 to below the chunk. Released: 0.")
    ] = None,
    conditioning_fps: Annotated[
        float | None, typer.Option(help="Frames/s told to the UNet, 0 or more; the clip keeps its own rate. Released: 12.5.")
    ] = None,
    motion_bucket_id: Annotated[float | None, typer.Option(help="SVD's motion bucket told to the UNet, 0 or more. Released: 0.")] = None,
    noise_aug: Annotated[float | None, typer.Option(help="SVD's noise augmentation told to the UNet, 0 or more. Released: 0.")] = None,
    intensity: IntensityRule = None,
    analyzer: Annotated[
        Analyzer, typer.Option(help="Face analyzer. The weights were released with yolo; mediapipe needs no extra licence.")
    ] = "mediapipe",
    analyzer_model: AnalyzerModel = None,
    detection_threshold: DetectionThreshold = 0.5,
    driving_face: DrivingFace = "largest",
    portrait_face: Annotated[
        str, typer.Option(help="Face of the portrait; the same choices as for --driving-face.", rich_help_panel=FACES)
    ] = "largest",
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="FACE=DRIVING, or FACE=DRIVING=FACE of the driver: another face of the portrait, and who drives it. Repeatable.",
            rich_help_panel=FACES,
        ),
    ] = None,
    crop: Crop = "face",
    stiffness: Stiffness = 12,
    paste: Annotated[
        Paste | None,
        typer.Option(
            help="What is pasted back: the whole crop, as released, or the region of the face. Default: crop; face with --also.",
            rich_help_panel=FACES,
        ),
    ] = None,
    match_colour: Annotated[
        bool, typer.Option(help="Bring each pasted frame to the colours of the portrait's own border.", rich_help_panel=FACES)
    ] = False,
    mask: Annotated[
        Path | None, typer.Option(help="A .png to write too: where the picture is changed, white wholly, black not.", rich_help_panel=FACES)
    ] = None,
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
    head_from: Annotated[
        Path | None,
        typer.Option(help="Video, picture or motion file whose head is taken; DRIVING gives the expression.", rich_help_panel="Motion"),
    ] = None,
    head_face: Annotated[
        str, typer.Option(help="Whose head it is there, in the words of --driving-face.", rich_help_panel="Motion")
    ] = "largest",
    head_relative: Annotated[
        bool,
        typer.Option(help="Add its turns to where DRIVING looks at rest.", rich_help_panel="Motion"),
    ] = False,
    head_neutral: Annotated[
        int, typer.Option(help="Frame in which it looks at rest, for --head-relative; -1: the most usual face.", rich_help_panel="Motion")
    ] = -1,
    head_pace: Annotated[
        Pace,
        typer.Option(
            help="keep: the head's clip at its own speed, cut off or held at its end. stretch: fitted to the driver's length.",
            rich_help_panel="Motion",
        ),
    ] = "keep",
    pose: Annotated[
        Pose,
        typer.Option(
            help="released: black. paper: the driver's skeleton brought onto the portrait. identity: left where it is.",
            rich_help_panel=_POSE,
        ),
    ] = "released",
    pose_keypoints: Annotated[
        Keypoints, typer.Option(help="Where they come from; auto: DWPose where its files are.", rich_help_panel=_POSE)
    ] = "auto",
    pose_strength: Annotated[
        float, typer.Option(help="Of the head's movement and change of size, -4..4; 0 stands still.", rich_help_panel=_POSE)
    ] = 1.0,
    pose_lock: Annotated[
        list[str] | None,
        typer.Option(help="x, y or scale: the head keeps its place, or its size. Repeatable.", rich_help_panel=_POSE),
    ] = None,
    pose_level: Annotated[
        bool, typer.Option(help="Turn by the angle between the skeletons too, for a tilted camera.", rich_help_panel=_POSE)
    ] = False,
    pose_reference: Annotated[
        int,
        typer.Option(
            help="Frame of the driver that stands for the portrait, of those used; -1: the one held most like it.", rich_help_panel=_POSE
        ),
    ] = -1,
    pose_missing: Annotated[PoseMissing, typer.Option(help="Frames in which nobody is seen.", rich_help_panel=_POSE)] = "interpolate",
    pose_drawing: Annotated[
        Drawing, typer.Option(help="How it is drawn; which of them the released weights saw is not public.", rich_help_panel=_POSE)
    ] = "controlnet",
    pose_part: Annotated[
        list[str] | None,
        typer.Option(help="body, face, hands or eyes (not between different people). Repeatable. Default: body.", rich_help_panel=_POSE),
    ] = None,
    on_missing: OnMissing = "error",
    device: Device = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Default: fp32 on a CPU, fp16 elsewhere.")] = None,
    unet_storage: UnetStorage = "compute",
    memory: Memory = "resident",
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Run the UNet through torch.compile, which takes minutes at first, once a process."),
    ] = False,
    sound: Annotated[bool, typer.Option(help="Pass the driving video's sound through.")] = True,
    provenance: Annotated[bool, typer.Option(help="Write into the file that it is synthetic, by what, from which weights.")] = True,
    crf: Annotated[int, typer.Option(help="H.264 quality, 1 (best) to 51.")] = 18,
    as_json: Json = False,
) -> None:
    """Animate PORTRAIT with the motion of DRIVING.

    Defaults are those of the weights' own configuration; for the published weights these are the released ones.
    """
    from hp_core.config import POSE_PARTS, AlignConfig, PoseStyle
    from hp_core.config_files import read_config
    from hp_core.pipeline import PortraitPipeline, analyzer_for, sampling_for
    from hp_core.request import AnimateOptions, check_request
    from hp_core.video import probe
    from hp_core.weights.catalog import weights_folder
    from hp_core.weights.tools import DTYPES

    options = AnimateOptions(
        seed=seed,
        portrait_face=face(portrait_face),
        driving_face=face(driving_face),
        people=tuple(person(text) for text in also or ()),
        on_missing=on_missing,
        crop=crop,
        stiffness=stiffness,
        view=view,
        paste=paste,
        match_colour=match_colour,
        mask=mask,
        intensity=intensity,
        motion=motion_edit(context.params),
        head_from=head_from,
        head_face=face(head_face),
        head_relative=head_relative,
        head_neutral=head_neutral,
        head_pace=head_pace,
        pose=AlignConfig(
            mode=pose,
            strength=pose_strength,
            **switches("--pose-lock", pose_lock or [], ("x", "y", "scale"), prefix="lock_"),
            level=pose_level,
            reference=pose_reference,
            on_missing=pose_missing,
            style=PoseStyle(pose_drawing, **switches("--pose-part", pose_part or ["body"], POSE_PARTS)),
        ),
        keypoints=pose_keypoints,
        start=start,
        frames=frames,
        sound=sound,
        provenance=provenance,
        crf=crf,
    )
    check_request(portrait, driving, output, options)  # here, before the weights take minutes to load
    added = tuple(lora(text) for text in loras or ())
    folder = weights_folder(weights)
    sampling = sampling_for(
        read_config(folder),
        preset=preset,
        steps=steps,
        sampler=sampler,
        noise=noise,
        appearance_guidance=ramp("--appearance-guidance", appearance_guidance),
        motion_guidance=ramp("--motion-guidance", motion_guidance),
        guidance_interval=ramp("--guidance-interval", guidance_interval),
        start_step=start_step,
        reuse_every=reuse_every,
        window=window,
        overlap=overlap,
        shift=shift,
        pad_frames=pad_frames,
        windows=windows,
        branches=branches,
        decode_chunk=decode_chunk,
        decode_overlap=decode_overlap,
        fps=conditioning_fps,
        motion_bucket_id=motion_bucket_id,
        noise_aug=noise_aug,
    )
    detector = analyzer_for(folder, analyzer, model=analyzer_model, threshold=detection_threshold)
    with Bars(quiet=as_json) as bars:
        kind = DTYPES[dtype] if dtype else None
        loading = PortraitPipeline.load(
            folder,
            analyzer=detector,
            device=device,
            dtype=kind,
            unet_storage=unet_storage,
            memory=memory,
            loras=added,
            compiled=compiled,
        )
        pipeline = bars.run(loading)
        bars.run(pipeline.animate(portrait, driving, output, sampling=sampling, options=options))
    detector.close()
    info = probe(output)
    facts = {
        "output": str(output),
        **({"mask": str(mask)} if mask is not None else {}),
        "frames": info.frames,
        "fps": str(info.fps),
        "size": [info.width, info.height],
        "sound": info.has_audio,
        "weights": pipeline.models.fingerprint,
        "seconds": {stage: round(seconds, 2) for stage, seconds in bars.seconds.items()},
        "notices": bars.notices,
    }
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        sound_text = "with sound" if info.has_audio else "without sound"
        typer.echo(f"{output}: {info.frames} frames of {info.width}x{info.height} at {float(info.fps):g} frames/s, {sound_text}")
