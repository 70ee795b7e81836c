"""Peak memory, counted tensor by tensor."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hp_core.config import PortraitConfig
from hp_core.pose.align import black_pose
from hp_core.sampling.denoise import denoise, start_noise
from hp_core.sampling.schedule import make_schedule
from hp_core.vae import decode_chunks
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


def memory_config() -> PortraitConfig:
    """The demo networks at 64x64 with short windows, so that 400 frames take seconds."""
    demo = PortraitConfig.demo().with_sampling(window=8, overlap=1, shift=1)
    return replace(demo, face=replace(demo.face, image_size=64))
