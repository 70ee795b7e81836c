"""Peak memory, counted tensor by tensor."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hp_core.config import PortraitConfig
from hp_core.pose.align import black_pose
from hp_core.sampling.denoise import branch_velocities, denoise, start_noise
from hp_core.sampling.guidance import branch_weights
from hp_core.sampling.schedule import make_schedule
from hp_core.vae import decode_chunks
from hp_core.weights.catalog import MODULES
from hp_core.weights.load import build_module


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
        known = {id(s) for s in map(self._storage, tree_leaves((args, kwargs))) if s is not None}
        out = func(*args, **kwargs)
        for leaf in tree_leaves(out):
            storage = self._storage(leaf)
            if storage is not None and id(storage) not in known | self._seen:
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

    def _storage(self, leaf: Any) -> torch.UntypedStorage | None:
        return leaf.untyped_storage() if isinstance(leaf, torch.Tensor) and leaf.device.type == self.device_type else None


def peak_memory(config: PortraitConfig, frames: int, *, device: torch.device | str = "cpu") -> dict[str, float]:
    """Peak bytes of sampling and decoding a clip of ``frames`` with untrained networks of ``config``, latents aside.

    One step stands for all: every step makes and frees the same tensors. Frames are dropped as they are decoded.
    """
    unet, guider, vae = (build_module(name, config).to(device).eval().requires_grad_(False) for name in ("unet", "pose_guider", "vae"))
    side, width = config.face.image_size // config.vae_scale_factor, config.motion.token_dim
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


@torch.no_grad()
def counted_peaks(
    config: PortraitConfig,
    *,
    dtype: torch.dtype = torch.float16,
    unet_storage: str = "compute",
    size: int | None = None,
    window: int | None = None,
    chunk: int | None = None,
) -> dict[str, Any]:
    """What a device holds at most while a clip of any length is sampled and decoded, counted tensor by tensor without one.

    Attention counts as fused kernels do it, which never hold its matrix of weights. Left out is what only a real device shows: the
    workspaces of its kernels, and what its allocator keeps for later.

    Args:
        size, window, chunk: pixels of a side, frames of a window and of a decoded chunk; None takes the configuration's.

    Returns:
        Bytes: ``weights`` by module, ``step`` and ``decode``, what one evaluation of the UNet and one chunk need beside them, and the
        peak of ``resident`` and of ``frugal`` memory (`hp_core.memory`).
    """
    from hp_core.weights.fp8 import store_in_fp8
    from hp_core.weights.load import FLOAT32_MODULES

    side = (size or config.face.image_size) // config.vae_scale_factor
    frames, together = window or config.sampling.window, chunk or config.sampling.decode_chunk
    channels, width = config.vae["latent_channels"], config.motion.token_dim
    meta = torch.device("meta")
    modules: dict[str, nn.Module] = {}
    for name in MODULES:
        with meta:
            module = build_module(name, config).requires_grad_(False).eval()
        if name == "unet" and unet_storage == "fp8":
            store_in_fp8(module)
        modules[name] = nn.Module.to(module, meta, torch.float32 if name in FLOAT32_MODULES else dtype)
    weights = {name: sum(p.nbytes for p in (*module.parameters(), *module.buffers())) for name, module in modules.items()}

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(shape, device=meta, dtype=dtype)

    unet: Any = modules["unet"]
    vae: Any = modules["vae"]
    shared: dict[str, Any] = {
        "condition": empty(1, channels, side, side),
        "appearance": unet.project_appearance(empty(1, config.appearance.tokens, width)),
        "motion": empty(frames, config.motion.memories, width),
        "pose": empty(1, frames, config.unet["block_out_channels"][0], side, side),
        "time_ids": torch.empty(1, 3, device=meta),
    }
    scaled = empty(frames, channels, side, side)
    with _fused_attention():
        with PeakMemory(meta) as step:
            for _ in branch_velocities(unet, scaled, torch.empty((), device=meta), branch_weights(2.0, 2.0), **shared):
                pass
        with PeakMemory(meta) as decode:
            vae.decode(empty(together, channels, side, side), num_frames=together)
    sampling, decoding = weights["unet"] + weights["pose_guider"] + step.peak, weights["vae"] + decode.peak
    encoding = max(sum(weights[name] for name in names) for names in (FLOAT32_MODULES, ("dino", "image_proj", "vae")))
    return {
        "size": config.vae_scale_factor * side,
        "window": frames,
        "chunk": together,
        "dtype": str(dtype).removeprefix("torch."),
        "unet_storage": unet_storage,
        "weights": weights,
        "step": step.peak,
        "decode": decode.peak,
        "resident": sum(weights.values()) + max(step.peak, decode.peak),
        "frugal": max(sampling, decoding, encoding),
    }


@contextmanager
def _fused_attention() -> Iterator[None]:
    """On the meta device torch takes attention apart, and would count its matrix of weights."""
    whole = functional.scaled_dot_product_attention

    def fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return query.new_empty(*query.shape[:-1], value.shape[-1])

    functional.scaled_dot_product_attention = fused  # type: ignore[assignment]
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = whole


def memory_config() -> PortraitConfig:
    """The demo networks at 64x64 with short windows, so that 400 frames take seconds."""
    demo = PortraitConfig.demo().with_sampling(window=8, overlap=1, shift=1)
    return replace(demo, face=replace(demo.face, image_size=64))
