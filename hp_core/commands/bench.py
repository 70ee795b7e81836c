"""`hp-portrait bench`: the figures behind the claims, counted or measured now, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hp_core.commands.options import Analyzer, Device, Dtype, Json, Memory, Preset, UnetStorage
from hp_core.terminal import figures as print_figures
from hp_core.terminal import table

bench_app = typer.Typer(help="Print the figures behind the claims: counted or measured now, on this machine.", no_args_is_help=True)


def figures(title: str, columns: list[str], rows: list[list[str]], facts: dict[str, Any], as_json: bool) -> None:
    """As `hp_core.terminal.figures`, the JSON with what they were measured on."""
    from hp_core.bench.machine import machine

    print_figures(title, columns, rows, facts | {"machine": machine()}, as_json)


@bench_app.command("flops")
def bench_flops(
    preset: Annotated[Preset, typer.Option(help="Which build.")] = "released",
    size: Annotated[int | None, typer.Option(help="Side of the picture, pixels. Released: 512.")] = None,
    window: Annotated[int | None, typer.Option(help="Frames of the window. Released: 25.")] = None,
    appearance_guidance: Annotated[float, typer.Option(help="Scale of the step. Released: 2.")] = 2.0,
    motion_guidance: Annotated[float, typer.Option(help="Scale of the step. Released: 2.")] = 2.0,
    as_json: Json = False,
) -> None:
    """Count the operations of one denoising step of one window (attention as two matrix products)."""
    from hp_core.bench.flops import count_flops
    from hp_core.config import PortraitConfig

    scales = (appearance_guidance, motion_guidance)
    counts = count_flops(PortraitConfig.preset(preset), size=size, window=window, scales=scales)
    rows = [["one step of one window", f"{counts['step_tflop']:.2f}"]]
    rows += [[f"  a branch with {name}", f"{tflop:.2f}"] for name, tflop in counts["branches_tflop"].items()]
    rows += [["  pose guider", f"{counts['pose_guider_tflop']:.2f}"]]
    rows += [["appearance keys and values, once a video", f"{counts['appearance_projection_once_a_video_tflop']:.3f}"]]
    figures(f"{counts['window']} frames at {counts['size']}x{counts['size']}, scales {scales}", ["part", "TFLOP"], rows, counts, as_json)


@bench_app.command("step")
def bench_step(
    preset: Annotated[Preset, typer.Option(help="Which build.")] = "released",
    narrower: Annotated[int, typer.Option(help="Divide the UNet's width by this, 1 to 8; what fits a small machine.")] = 1,
    size: Annotated[int | None, typer.Option(help="Side of the picture, pixels. Released: 512.")] = None,
    window: Annotated[int | None, typer.Option(help="Frames of the window. Released: 25.")] = None,
    runs: Annotated[int, typer.Option(help="Timed runs each way, 1 or more; the median counts.")] = 3,
    device: Device = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Default: fp32 on a CPU, fp16 elsewhere.")] = None,
    unet_storage: UnetStorage = "compute",
    as_json: Json = False,
) -> None:
    """Seconds and memory of a denoising step of one window, beside the reference's way of computing the same in the same process."""
    from hp_core.bench.step import narrowed, step_speed
    from hp_core.config import PortraitConfig
    from hp_core.pipeline import choose_device, default_dtype
    from hp_core.weights.tools import DTYPES

    target = choose_device(device)
    kind = DTYPES[dtype] if dtype else default_dtype(target)
    config = narrowed(PortraitConfig.preset(preset), narrower)
    facts = step_speed(config, size=size, window=window, runs=runs, device=target, dtype=kind, unet_storage=unet_storage)
    rows = [[name, f"{facts['seconds'][name]:.3f}", f"{facts['peak_bytes'][name] / 2**20:.0f}"] for name in ("ours", "reference")]
    title = f"{facts['window']} frames at {facts['size']}x{facts['size']}, width {facts['width']}, {facts['dtype']} on {facts['device']}"
    title += f", weights of {facts['unet_bytes'] / 2**20:.0f} MiB"
    figures(f"{title}: {facts['ratio']:.2f} times as fast", ["way", "seconds", "MiB"], rows, facts, as_json)


@bench_app.command("clip")
def bench_clip(
    weights: Annotated[Path | None, typer.Option(help="Folder that holds hyportrait/, or demo.")] = None,
    frames: Annotated[list[int] | None, typer.Option(help="Clip lengths. Repeatable. Default: 25, 100, 400 and 1600.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps. Default: the weights' own.")] = None,
    device: Device = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Default: fp32 on a CPU, fp16 elsewhere.")] = None,
    unet_storage: UnetStorage = "compute",
    memory: Memory = "resident",
    as_json: Json = False,
) -> None:
    """Seconds of every stage from file to file, one clip after another in one process, and peak memory.

    start is the time of a clip's first denoising step and first decoded chunk over the median of the others; read it off the second
    clip, since the first one also warms the process up. Of a frame: when the first one is there, and what one costs in these two stages.
    """
    from hp_core.bench.clip import clip_speed
    from hp_core.pipeline import PortraitPipeline, sampling_for
    from hp_core.terminal import Bars
    from hp_core.weights.catalog import weights_folder
    from hp_core.weights.tools import DTYPES

    with Bars(quiet=as_json) as bars:
        kind = DTYPES[dtype] if dtype else None
        place = weights_folder(weights)
        pipeline = bars.run(PortraitPipeline.load(place, device=device, dtype=kind, unet_storage=unet_storage, memory=memory))
        sampling = sampling_for(pipeline.config, steps=steps)
        runs = [bars.run(clip_speed(pipeline, count, sampling=sampling)) for count in frames or [25, 100, 400, 1600]]
    pipeline.analyzer.close()
    stages = list(dict.fromkeys(stage for run in runs for stage in run["stages"]))
    rows = [
        [
            f"{run['frames']}",
            f"{run['frames_per_second']:.2f}",
            f"{(run['device_bytes'] or run['host_bytes']) / 2**20:.0f}",
            *(f"{100 * run['stages'].get(stage, 0) / run['seconds']:.1f} %" for stage in stages),
        ]
        for run in runs
    ]
    title = f"Clips on {pipeline.device}, memory {pipeline.placement.mode}"
    figures(title, ["frames", "frames/s", "peak MiB", *stages], rows, {"runs": runs}, as_json)
    if not as_json:
        table(
            "Seconds, first and then the median of the others", ["frames", "frame", "step", "chunk", "start"], [_pace(run) for run in runs]
        )


def _pace(run: dict[str, Any]) -> list[str]:
    def pair(first: float, steady: float | None) -> str:
        return f"{first:.2f}, {'-' if steady is None else f'{steady:.3f}'}"

    parts = (pair(run["first"][part], run["steady"][part]) for part in ("step", "chunk"))
    start = "-" if run["start_ratio"] is None else f"{run['start_ratio']:.2f}"
    return [f"{run['frames']}", pair(run["first_frame_seconds"], run["steady_frame_seconds"]), *parts, start]


@bench_app.command("quality")
def bench_quality(
    weights: Annotated[Path, typer.Option(help="Folder that holds hyportrait/ of drawn people, or demo.")] = Path("demo"),
    pairs: Annotated[int, typer.Option(help="Held-out pairs, 1 or more.")] = 8,
    frames: Annotated[int, typer.Option(help="Frames of each, 3 or more.")] = 24,
    variant: Annotated[list[str] | None, typer.Option(help="Only this one beside exact. Repeatable. Default: all.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """What fewer steps, less guidance and the presets cost on drawn people, whose truth is known, and what they save."""
    from hp_core.bench.quality import FOLLOWED, sampling_quality
    from hp_core.terminal import Bars
    from hp_core.weights.catalog import weights_folder

    with Bars(quiet=as_json) as bars:
        run = sampling_quality(weights_folder(weights), pairs=pairs, frames=frames, names=variant or (), device=device)
        facts = bars.run(run)
    rows = [
        [
            row["name"],
            f"{row['seconds_a_frame']:.3f}",
            f"{facts[0]['seconds_a_frame'] / row['seconds_a_frame']:.1f}",
            f"{row['evaluated']:.0f}",
            "-" if row["psnr_to_exact"] is None else f"{row['psnr_to_exact']:.1f}",
            f"{row['psnr']:.2f}",
            *("-" if row[name] is None else f"{row[name]:.2f}" for name in ("landmarks", *FOLLOWED)),
        ]
        for row in facts
    ]
    columns = ["sampling", "s/frame", "times", "UNet frames", "dB to exact", "dB to truth", "landmarks %", *FOLLOWED]
    figures(f"{pairs} held-out pairs, {frames} frames each", columns, rows, {"pairs": pairs, "frames": frames, "rows": facts}, as_json)


@bench_app.command("io")
def bench_io(
    video: Annotated[Path, typer.Argument(help="A video with a face.")],
    analyzer: Annotated[Analyzer, typer.Option(help="Face analyzer.")] = "mediapipe",
    frames: Annotated[int | None, typer.Option(help="Most frames to use. Default: all, kept in memory.")] = 200,
    as_json: Json = False,
) -> None:
    """Frames a second of decoding, finding faces and encoding, each alone."""
    from hp_core.bench.io import io_speed
    from hp_core.face.analyzer import create_analyzer

    facts = io_speed(video, create_analyzer(analyzer), limit=frames)
    rows = [[name, f"{rate:.1f}"] for name, rate in facts["frames_per_second"].items()]
    figures(f"{facts['frames']} frames of {video}", ["what", "frames/s"], rows, facts, as_json)


@bench_app.command("memory")
def bench_memory(
    frames: Annotated[list[int] | None, typer.Option(help="Clip lengths. Repeatable. Default: 50 and 400.")] = None,
    as_json: Json = False,
) -> None:
    """Peak memory of sampling and decoding against the clip's length, with the small untrained networks."""
    from hp_core.bench.memory import memory_config, peak_memory

    runs = [peak_memory(memory_config(), count) for count in frames or [50, 400]]
    rows = [[f"{r['frames']}", f"{r['peak_bytes'] / 2**20:.1f}", f"{r['latent_bytes'] / 2**20:.2f}"] for r in runs]
    figures("Peak memory", ["frames", "MiB", "of it latents, one copy"], rows, {"runs": runs}, as_json)


@bench_app.command("host")
def bench_host(
    frames: Annotated[list[int] | None, typer.Option(help="Clip lengths, 1 or more. Repeatable. Default: 100 and 200.")] = None,
    long: Annotated[int, typer.Option(help="Length for which the growth between the shortest and the longest is estimated.")] = 1600,
    as_json: Json = False,
) -> None:
    """Host memory against the clip's length, at the released sizes with thin untrained networks, which take seconds a frame."""
    from hp_core.bench.host import host_memory

    runs = host_memory(frames or [100, 200])  # the video encoder looks some 60 frames ahead
    short, longest = (pick(runs, key=lambda run: run["frames"]) for pick in (min, max))
    growth = (longest["bytes"] - short["bytes"]) / max(longest["frames"] - short["frames"], 1)
    rows = [[f"{run['frames']}", f"{run['bytes'] / 2**20:.0f}"] for run in runs]
    rows += [["a frame more", f"{growth / 2**20:.2f}"], [f"growth over {long} frames", f"{long * growth / 2**20:.0f}"]]
    facts = {"runs": runs, "bytes_a_frame": growth, "frames": long, "growth": long * growth}
    figures("Most memory of the process, MiB", ["frames", "MiB"], rows, facts, as_json)


@bench_app.command("card")
def bench_card(
    preset: Annotated[Preset, typer.Option(help="Which build.")] = "released",
    size: Annotated[int | None, typer.Option(help="Side of the picture, pixels. Released: 512.")] = None,
    window: Annotated[int | None, typer.Option(help="Frames of the window. Released: 25.")] = None,
    decode_chunk: Annotated[int | None, typer.Option(help="Frames decoded together. Released: 8.")] = None,
    dtype: Annotated[Dtype, typer.Option(help="Of UNet, appearance network and VAE.")] = "fp16",
    as_json: Json = False,
) -> None:
    """Memory of a card that a clip of any length takes, counted tensor by tensor without one."""
    from hp_core.bench.memory import counted_peaks
    from hp_core.config import UNET_STORAGES, PortraitConfig
    from hp_core.weights.tools import DTYPES

    config, options = PortraitConfig.preset(preset), {"size": size, "window": window, "chunk": decode_chunk}
    runs = [counted_peaks(config, dtype=DTYPES[dtype], unet_storage=storage, **options) for storage in UNET_STORAGES]
    counts = [
        ("weights of the UNet", [run["weights"]["unet"] for run in runs]),
        ("all weights", [sum(run["weights"].values()) for run in runs]),
        ("a step, beside them", [run["step"] for run in runs]),
        ("a decoded chunk, beside them", [run["decode"] for run in runs]),
        ("peak, memory resident", [run["resident"] for run in runs]),
        ("peak, memory frugal", [run["frugal"] for run in runs]),
    ]
    rows = [[name, *(f"{count / 2**30:.2f}" for count in values)] for name, values in counts]
    title = f"{runs[0]['window']} frames at {runs[0]['size']}x{runs[0]['size']}, {dtype}, GiB"
    figures(title, ["", *(f"UNet stored as {run['unet_storage']}" for run in runs)], rows, {"runs": runs}, as_json)


@bench_app.command("face")
def bench_face(
    video: Annotated[Path, typer.Argument(help="A video with a face.")],
    analyzer: Annotated[Analyzer, typer.Option(help="Face analyzer.")] = "mediapipe",
    analyzer_model: Annotated[Path | None, typer.Option(help="Its model file. Default: the usual places.")] = None,
    as_json: Json = False,
) -> None:
    """Frames found and frames a second of face detection, decoding aside."""
    from hp_core.bench.faces import face_speed
    from hp_core.face.analyzer import create_analyzer
    from hp_core.video import read_frames

    facts = face_speed(read_frames(video), create_analyzer(analyzer, model=analyzer_model))
    row = [f"{facts['frames']}", f"{facts['found']}", f"{facts['frames_per_second']:.1f}"]
    figures(f"{analyzer} on {video}", ["frames", "found", "frames/s"], [row], facts, as_json)


@bench_app.command("faces")
def bench_faces(
    size: Annotated[int, typer.Option(help="Side of the pictures, pixels, 64 or more.")] = 128,
    readings: Annotated[int, typer.Option(help="Frames that MediaPipe reads, to compare with the truth. 0: none.")] = 0,
    as_json: Json = False,
) -> None:
    """Frames a second of rendering faces on one core; with --readings, how well MediaPipe reads from them what they do."""
    from hp_core.bench.faces import face_readings, render_speed

    facts = render_speed(size)
    rows = [[f"frames/s a core at {size}x{size}", f"{facts['frames_per_second']:.1f}"]]
    if readings:
        facts |= face_readings(readings, size)
        rows += [[f"found of {facts['frames_read']} frames", f"{100 * facts['detected']:.1f} %"]]
        rows += [[f"  {name}, correlation with the truth", f"{value:.3f}"] for name, value in facts["correlations"].items()]
    figures("Rendered faces", ["figure", "value"], rows, facts, as_json)


@bench_app.command("motion")
def bench_motion(
    frames: Annotated[int, typer.Option(help="Length of the motion, 2 or more.")] = 200,
    preset: Annotated[Preset, typer.Option(help="Whose tokens.")] = "released",
    as_json: Json = False,
) -> None:
    """Milliseconds a frame of editing a motion."""
    from hp_core.bench.edits import edit_speed
    from hp_core.checks import check_range
    from hp_core.config import PortraitConfig

    check_range("frames", frames, 2)
    facts = edit_speed(PortraitConfig.preset(preset), frames)
    rows = [[name, f"{value:.3f}"] for name, value in facts["milliseconds_a_frame"].items()]
    figures(f"{frames} frames of {facts['tokens'][0]} tokens", ["edit", "ms a frame"], rows, facts, as_json)


@bench_app.command("import")
def bench_import(as_json: Json = False) -> None:
    """Seconds of `import hp_core` in a fresh interpreter."""
    from hp_core.bench.start import import_time

    facts = import_time()
    row = [f"{facts['seconds']:.3f}", ", ".join(facts["imported"]) or "none"]
    figures("import hp_core", ["seconds", "heavy libraries imported"], [row], facts, as_json)
