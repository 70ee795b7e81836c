"""`hp-portrait bench`: the figures behind the claims, counted or measured now, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hp_core.commands.options import Analyzer, Json, Preset
from hp_core.terminal import figures

bench_app = typer.Typer(help="Print the figures behind the claims: counted or measured now, on this machine.", no_args_is_help=True)


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
    from hp_core.bench import count_flops
    from hp_core.config import PortraitConfig

    scales = (appearance_guidance, motion_guidance)
    counts = count_flops(PortraitConfig.preset(preset), size=size, window=window, scales=scales)
    rows = [["one step of one window", f"{counts['step_tflop']:.2f}"]]
    rows += [[f"  a branch with {name}", f"{tflop:.2f}"] for name, tflop in counts["branches_tflop"].items()]
    rows += [["  pose guider", f"{counts['pose_guider_tflop']:.2f}"]]
    rows += [["appearance keys and values, once a video", f"{counts['appearance_projection_once_a_video_tflop']:.3f}"]]
    figures(f"{counts['window']} frames at {counts['size']}x{counts['size']}, scales {scales}", ["part", "TFLOP"], rows, counts, as_json)


@bench_app.command("memory")
def bench_memory(
    frames: Annotated[list[int] | None, typer.Option(help="Clip lengths. Repeatable. Default: 50 and 400.")] = None,
    as_json: Json = False,
) -> None:
    """Peak memory of sampling and decoding against the clip's length, with the small untrained networks."""
    from hp_core.bench import memory_config, peak_memory

    runs = [peak_memory(memory_config(), count) for count in frames or [50, 400]]
    rows = [[f"{r['frames']}", f"{r['peak_bytes'] / 2**20:.1f}", f"{r['latent_bytes'] / 2**20:.2f}"] for r in runs]
    figures("Peak memory", ["frames", "MiB", "of it latents, one copy"], rows, {"runs": runs}, as_json)


@bench_app.command("face")
def bench_face(
    video: Annotated[Path, typer.Argument(help="A video with a face.")],
    analyzer: Annotated[Analyzer, typer.Option(help="Face analyzer.")] = "mediapipe",
    analyzer_model: Annotated[Path | None, typer.Option(help="Its model file. Default: the usual places.")] = None,
    as_json: Json = False,
) -> None:
    """Frames found and frames a second of face detection, decoding aside."""
    from hp_core.bench import face_speed
    from hp_core.face.analyzer import create_analyzer

    facts = face_speed(video, create_analyzer(analyzer, model=analyzer_model))
    row = [f"{facts['frames']}", f"{facts['found']}", f"{facts['frames_per_second']:.1f}"]
    figures(f"{analyzer} on {video}", ["frames", "found", "frames/s"], [row], facts, as_json)


@bench_app.command("faces")
def bench_faces(
    size: Annotated[int, typer.Option(help="Side of the picture, pixels, 64 or more.")] = 128,
    readings: Annotated[int, typer.Option(help="Frames that MediaPipe reads, to compare with the truth. 0: none.")] = 0,
    as_json: Json = False,
) -> None:
    """Frames a second of rendering faces on one core; with --readings, how well MediaPipe reads from them what they do."""
    from hp_core.bench import face_readings, render_speed

    facts = render_speed(size)
    rows = [[f"frames/s a core at {size}x{size}", f"{facts['frames_per_second']:.1f}"]]
    if readings:
        facts |= face_readings(readings)
        rows += [[f"found of {facts['frames_read']} frames", f"{100 * facts['detected']:.1f} %"]]
        rows += [[f"  {name}, correlation with the truth", f"{value:.3f}"] for name, value in facts["correlations"].items()]
    figures("Rendered faces", ["figure", "value"], rows, facts, as_json)


@bench_app.command("import")
def bench_import(as_json: Json = False) -> None:
    """Seconds of `import hp_core` in a fresh interpreter."""
    from hp_core.bench import import_time

    facts = import_time()
    row = [f"{facts['seconds']:.3f}", ", ".join(facts["imported"]) or "none"]
    figures("import hp_core", ["seconds", "heavy libraries imported"], [row], facts, as_json)
