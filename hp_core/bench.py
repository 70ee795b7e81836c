"""The figures behind the claims, each counted or measured when asked for: `hp-portrait bench`."""

from __future__ import annotations

import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from hp_core.config import PortraitConfig, check_range
from hp_core.pose.align import black_pose
from hp_core.sampling.denoise import branch_velocities, denoise, pose_features, start_noise
from hp_core.sampling.guidance import branch_weights
from hp_core.sampling.schedule import make_schedule
from hp_core.vae import decode_chunks
from hp_core.weights.load import build_module


def count_flops(
    config: PortraitConfig, *, size: int | None = None, window: int | None = None, scales: tuple[float, float] = (2.0, 2.0)
) -> dict[str, Any]:
    """Floating-point operations of one denoising step of one window, counted on the meta device (attention as two products).

    Args:
        size: side of the picture, pixels; None takes the configuration's.
        window: frames; None takes the configuration's.
        scales: appearance and motion guidance of the step.

    Raises:
        OptionError: a size the networks cannot halve as often as they do, or a window without frames.
    """
    if size is not None:
        config = replace(config, face=replace(config.face, image_size=size))
    size, frames = config.face.image_size, config.sampling.window if window is None else window
    check_range("window", frames, 1)
    side = size // 8
    meta = torch.device("meta")
    with meta:
        unet, guider = (build_module(name, config) for name in ("unet", "pose_guider"))
    unet.to(meta).requires_grad_(False)  # diffusers' mix factors ignore the default device
    width, channels = config.motion.token_dim, config.vae["latent_channels"]
    black = black_pose(frames, (size, size))
    inputs: dict[str, Any] = {
        "condition": torch.zeros(1, channels, side, side, device=meta),
        "motion": torch.zeros(frames, config.motion.memories, width, device=meta),
        "time_ids": torch.zeros(1, 3, device=meta),
    }
    tokens = torch.zeros(1, config.appearance.tokens, width, device=meta)

    def counted(run: Callable[[], Any]) -> tuple[float, Any]:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            value = run()
        return counter.get_total_flops() / 1e12, value

    once, projected = counted(lambda: unet.project_appearance(tokens))
    pose_cost, features = counted(lambda: pose_features(guider, black, list(range(frames)), meta))
    scaled, time_step = torch.zeros(frames, channels, side, side, device=meta), torch.zeros((), device=meta)

    def velocities(weights: tuple[float, float, float]) -> list[torch.Tensor]:
        return list(branch_velocities(unet, scaled, time_step, weights, appearance=projected, pose=features, **inputs))

    single = {"nothing": (1.0, 0.0, 0.0), "appearance": (0.0, 1.0, 0.0), "appearance+motion": (0.0, 0.0, 1.0)}
    branches = {name: counted(partial(velocities, weights))[0] for name, weights in single.items()}
    step, _ = counted(lambda: velocities(branch_weights(*scales)))
    return {
        "size": size,
        "window": frames,
        "guidance": list(scales),
        "step_tflop": step + pose_cost,
        "branches_tflop": branches,
        "pose_guider_tflop": pose_cost,
        "appearance_projection_once_a_video_tflop": once,
    }


class PeakMemory(TorchDispatchMode):
    """Peak bytes of tensors made on ``device`` inside the block, counted storage by storage, so it is exact on a CPU too.

    Tensors that existed before the block do not count.
    """

    def __init__(self, device: torch.device | str = "cpu"):
        super().__init__()
        self.device_type = torch.device(device).type
        self.live = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # A view or an in-place operation returns a storage that came in with the arguments.
        known = {id(s) for s in map(_storage, tree_leaves((args, kwargs))) if s is not None}
        out = func(*args, **kwargs)
        for leaf in tree_leaves(out):
            storage = _storage(leaf)
            if storage is not None and leaf.device.type == self.device_type and id(storage) not in known | self._seen:
                self._count(storage)
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        size, key = storage.nbytes(), id(storage)
        self._seen.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)

        def freed() -> None:
            self._seen.discard(key)
            self.live -= size

        weakref.finalize(storage, freed)


def _storage(leaf: Any) -> torch.UntypedStorage | None:
    return leaf.untyped_storage() if isinstance(leaf, torch.Tensor) and leaf.device.type != "meta" else None


def peak_memory(config: PortraitConfig, frames: int, *, device: torch.device | str = "cpu") -> dict[str, float]:
    """Peak bytes of sampling and decoding a clip of ``frames`` with untrained networks of ``config``, latents aside.

    One step stands for all: every step makes and frees the same tensors. Frames are dropped as they are decoded.
    """
    unet, guider, vae = (build_module(name, config).to(device).eval().requires_grad_(False) for name in ("unet", "pose_guider", "vae"))
    side, width = config.face.image_size // 8, config.motion.token_dim
    channels = config.vae["latent_channels"]
    noise = start_noise(frames, (channels, side, side), 0)
    inputs: dict[str, Any] = {
        "reference_latent": torch.zeros(1, channels, side, side),
        "appearance": torch.zeros(1, config.appearance.tokens, width),
        "motion": torch.zeros(frames, config.motion.memories, width),
        "pose": black_pose(frames, (config.face.image_size, config.face.image_size)),
    }
    schedule = make_schedule(config.scheduler, 1)
    with PeakMemory(device) as memory:
        states = denoise(unet, guider, noise=noise, config=config.sampling, schedule=schedule, scaling_factor=1.0, device=device, **inputs)
        for state in states:
            latents = state.latents
        del state
        for _ in decode_chunks(vae, latents, chunk=config.sampling.decode_chunk):
            pass
    latent_bytes = 4 * latents.numel()
    return {"frames": frames, "peak_bytes": memory.peak, "latent_bytes": latent_bytes, "window": config.sampling.window}


def face_speed(video: Path, analyzer: Any) -> dict[str, float]:
    """Frames found, and frames a second of detection alone, decoding aside."""
    from hp_core.video import read_frames

    found = count = 0
    seconds = 0.0
    for frame in read_frames(video):
        start = time.perf_counter()
        found += bool(analyzer.detect(frame))
        seconds += time.perf_counter() - start
        count += 1
    return {"frames": count, "found": found, "frames_per_second": count / seconds}


def render_speed(size: int, frames: int = 200) -> dict[str, Any]:
    """Frames a second of processor time that `hp_core.demo.render.render` takes over several people; best of three."""
    import cv2

    from hp_core.demo.identity import Identity
    from hp_core.demo.performance import Performance
    from hp_core.demo.render import render

    def seconds() -> float:
        start = time.process_time()
        for seed in range(8):
            for _ in render(Identity.sample(seed), Performance.sample(seed, frames // 8), size=size):
                pass
        return time.process_time() - start

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return {"size": size, "frames_per_second": frames // 8 * 8 / min(seconds() for _ in range(3))}
    finally:
        cv2.setNumThreads(threads)


def face_readings(frames: int, size: int = 256) -> dict[str, Any]:
    """How `hp_core.evaluation.readings.MotionReader` reads rendered faces: the share found, and each reading's correlation.

    Args:
        frames: how many, 16 or more for correlations that mean something; eight of each person.
        size: side of the pictures, pixels.

    Frames in which an eye is more than half closed do not count for the gaze: nobody can see it there.

    Raises:
        OptionError: fewer than 16 frames, or ``size`` too small.
        FaceError: MediaPipe or its model is absent.
    """
    check_range("readings", frames, 16)
    from dataclasses import fields

    import numpy as np

    from hp_core.demo.identity import Identity
    from hp_core.demo.performance import Performance
    from hp_core.demo.render import render
    from hp_core.evaluation.readings import MotionReader, Reading

    names = [field.name for field in fields(Reading) if field.name != "landmarks"]
    pairs: list[tuple[list[float], list[float]]] = []
    with MotionReader() as reader:
        for seed in range(-(-frames // 8)):
            whole = Performance.sample(1_000_000 + seed, 160)
            chosen = slice(9, None, 20)
            performance = Performance(**{field.name: getattr(whole, field.name)[chosen] for field in fields(whole)})
            for index, frame in zip(range(min(8, frames - 8 * seed)), render(Identity.sample(seed), performance, size=size), strict=False):
                reading = reader.read(frame)
                if reading is not None:
                    truth = [float(getattr(performance, name)[index]) for name in names]
                    pairs.append((truth, [getattr(reading, name) for name in names]))
    true, read = np.array(pairs).transpose(1, 2, 0)
    seen = np.maximum(true[names.index("blink_left")], true[names.index("blink_right")]) < 0.5
    kept = {name: seen if name.startswith("gaze") else slice(None) for name in names}
    correlations = {name: float(np.corrcoef(true[row][kept[name]], read[row][kept[name]])[0, 1]) for row, name in enumerate(names)}
    return {"frames_read": frames, "detected": len(pairs) / frames, "correlations": correlations}


def import_time() -> dict[str, Any]:
    """Seconds that `import hp_core` takes in a fresh interpreter, best of five, and the heavy libraries it brought in."""
    code = (
        "import sys, time; t = time.perf_counter(); import hp_core; s = time.perf_counter() - t; "
        "print(s, *[m for m in ('torch', 'diffusers', 'numpy', 'cv2', 'mediapipe') if m in sys.modules])"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() for _ in range(5)]
    return {"seconds": min(float(run[0]) for run in runs), "imported": sorted({name for run in runs for name in run[1:]})}


def memory_config() -> PortraitConfig:
    """The demo networks at 64x64 with short windows, so that 400 frames take seconds."""
    demo = PortraitConfig.demo().with_sampling(window=8, overlap=1, shift=1)
    return replace(demo, face=replace(demo.face, image_size=64))
