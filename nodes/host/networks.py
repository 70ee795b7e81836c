"""Networks in ComfyUI's care: loaded once, moved by its rules, patched and decoded with under its memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import comfy.model_management as mm
import comfy.model_patcher
import comfy.ops
import comfy.sd
import torch
from torch import nn

from .progress import watched

if TYPE_CHECKING:
    from pathlib import Path

    from hp_core.weights.load import PortraitModels

PRECISIONS = ("auto", "fp16", "bf16", "fp32", "fp8")
HOST_MEMORY_MODES = ("auto", "whole", "frugal")

# Layers that ComfyUI can leave on the CPU and bring over for the moment they are needed.
_CASTABLE = {layer: layer.__name__ for layer in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.GroupNorm, nn.LayerNorm)}


class _Holder(nn.Module):
    """A model patcher writes `device` on its model, which diffusers' models forbid."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner


class _Patcher(comfy.model_patcher.ModelPatcher):  # type: ignore[misc]
    """A model patcher that keeps lone parameters where the layers run.

    ComfyUI moves layers, and brings the weights of those it knows over for the moment they are needed. Of a parameter in no such
    layer, such as the factor by which a temporal layer is mixed in, it does not know: a partial load leaves it behind, and a partial
    unload, which newer hosts do right before a run, takes it away.
    """

    def load(self, device_to: Any = None, *args: Any, **kwargs: Any) -> None:
        """As ComfyUI does, then the rest."""
        super().load(device_to, *args, **kwargs)
        _bring_the_rest(self.model, device_to)

    def partially_unload(self, *args: Any, **kwargs: Any) -> Any:
        """As ComfyUI does; the rest comes back."""
        freed = super().partially_unload(*args, **kwargs)
        _bring_the_rest(self.model, self.load_device)
        return freed


class Network:
    """One network in ComfyUI's care.

    Args:
        partial: parts of it may stay off the device while it runs (big networks); a small one is loaded whole.
    """

    def __init__(self, module: nn.Module, *, partial: bool) -> None:
        if partial:
            _make_castable(module)
        self.partial = partial
        self.patcher = _Patcher(_Holder(module), mm.get_torch_device(), mm.unet_offload_device())

    def patched(self, patches: Mapping[str, Any], strength: float) -> Network:
        """The same network with ``patches`` of its weights, by name, beside those it has; ComfyUI puts them on and takes them off."""
        other = copy(self)
        other.patcher = self.patcher.clone()
        other.patcher.add_patches({f"inner.{name}": patch for name, patch in patches.items()}, strength)
        return other


class Loaded:
    """A set of weights in ComfyUI's care, as long as somebody holds it."""

    def __init__(self, models: PortraitModels) -> None:
        from hp_core.weights.catalog import MODULES

        self.models = models
        self.networks = {name: Network(getattr(models, name), partial=name == "unet") for name in MODULES if name != "vae"}
        self.vae = wrap_vae(models.vae)


_LOADED: WeakValueDictionary[tuple[str, torch.dtype, str], Loaded] = WeakValueDictionary()  # so that only new files are read


def load(folder: Path, precision: str, *, identity: Path | None) -> Loaded:
    """The set in ``folder``; one that somebody still holds is not read again.

    Args:
        precision: of `PRECISIONS`; `fp8` computes as `auto` does.
        identity: ArcFace's file, wherever it lies.

    Raises:
        PortraitError: the card has no eight-bit numbers, or see `load_models`.
    """
    from hp_core.weights.load import load_models, set_fingerprint

    dtype, storage = dtype_for(precision), "compute"
    if precision == "fp8":
        from hp_core.weights.fp8 import check_fp8

        storage = "fp8"
        check_fp8(mm.get_torch_device())
    key = (f"{folder} {set_fingerprint(folder, [identity])}", dtype, storage)
    loaded = _LOADED.get(key)
    if loaded is None:
        loaded = Loaded(watched(load_models(folder, device="cpu", dtype=dtype, identity=identity, unet_storage=storage)))
        _LOADED[key] = loaded
    return loaded


@dataclass(frozen=True, eq=False)
class PortraitModel:
    """A loaded set, and how it is to be run.

    Attributes:
        memory: one of `HOST_MEMORY_MODES`.
        attention: kernel of the attention, one of `hp_core.config.KERNELS`.
        unet: in the place of the set's own, the same with patches.
    """

    loaded: Loaded
    memory: str
    attention: str
    unet: Network | None = None

    @property
    def models(self) -> PortraitModels:
        """The networks; where they are is ComfyUI's to say."""
        return self.loaded.models

    def network(self, name: str) -> Network:
        """The network called ``name``, with its patches."""
        return self.unet if name == "unet" and self.unet is not None else self.loaded.networks[name]

    @contextmanager
    def on_device(self, *names: str, activations: int = 0) -> Iterator[torch.device]:
        """Networks on the device they run on, while the block runs; others make room if they must.

        Args:
            activations: bytes that will be needed beside the weights.
        """
        networks = [self.network(name) for name in names]
        whole = self.memory == "whole" or not any(network.partial for network in networks)
        mm.load_models_gpu([network.patcher for network in networks], memory_required=activations, force_full_load=whole)
        try:
            yield mm.get_torch_device()
        finally:
            if self.memory == "frugal":
                mm.unload_all_models()
                mm.soft_empty_cache()


def with_lora(model: PortraitModel, path: Path, strength: float) -> PortraitModel:
    """``model`` with a LoRA on its UNet as patches of ComfyUI's: nothing is loaded twice, and ``model`` stays as it is.

    Raises:
        PortraitError: the file does not fit the UNet, or the strength is out of range.
    """
    from comfy.weight_adapter import LoRAAdapter

    from hp_core.unet.temporal import is_temporal, set_spatial_only
    from hp_core.weights.lora import Lora, read_lora

    lora, unet = Lora(path, strength), model.models.unet
    factors = read_lora(lora.path, unet)
    if lora.strength == 0:
        return model
    if any(map(is_temporal, factors)):
        set_spatial_only(unet, False)  # a set of single frames leaves them out as long as they have nothing to say
    patches = {name: LoRAAdapter(set(), (f.up, f.down, f.alpha, None, None, None)) for name, f in factors.items()}
    return replace(model, unet=model.network("unet").patched(patches, lora.strength))


def wrap_vae(vae: Any) -> comfy.sd.VAE:
    """diffusers' temporal-decoder VAE as ComfyUI's VAE, which core blocks take: encode gives the mode, unscaled."""
    from hp_core.vae import HostVae

    with _quiet():
        wrapped = comfy.sd.VAE(sd={})  # all defaults are those of an 8x VAE of images; it only lacks a network
    _make_castable(vae)
    wrapped.first_stage_model = HostVae(vae).eval()
    wrapped.latent_channels = vae.config.latent_channels
    wrapped.device, wrapped.output_device = mm.vae_device(), mm.intermediate_device()
    wrapped.vae_dtype = mm.vae_dtype(wrapped.device, [torch.bfloat16, torch.float32])
    wrapped.first_stage_model.to(wrapped.vae_dtype)
    wrapped.patcher = _Patcher(wrapped.first_stage_model, wrapped.device, mm.vae_offload_device())
    return wrapped


def decoder(vae: Any, chunk: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """``vae.decode`` for ``chunk`` frames as one clip, which the VAE itself would cut up where memory is short.

    Raises, when called:
        PortraitError: the card has not enough memory.
    """
    from hp_core.errors import PortraitError

    def decode(latents: torch.Tensor) -> torch.Tensor:
        needed = vae.memory_used_decode(latents.shape, vae.vae_dtype) * len(latents)
        mm.load_models_gpu([vae.patcher], memory_required=needed)
        try:
            frames = vae.first_stage_model.decode(latents.to(vae.device, vae.vae_dtype))
        except mm.OOM_EXCEPTION as error:
            mm.soft_empty_cache()
            raise PortraitError(f"{chunk} frames do not fit into the card's memory at once. Lower chunk in Portrait Decode.") from error
        return vae.process_output(frames.to(vae.output_device).float()).movedim(1, -1)

    return decode


def dtype_for(precision: str) -> torch.dtype:
    """The dtype to compute in that a choice of `PRECISIONS` means on this machine; `auto` and `fp8` ask ComfyUI, which knows the card."""
    named = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
    if precision in named:
        return named[precision]
    device = mm.get_torch_device()
    if mm.should_use_fp16(device):
        return torch.float16
    return torch.bfloat16 if mm.should_use_bf16(device) else torch.float32


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ComfyUI from warning of what is done on purpose."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _make_castable(module: nn.Module) -> None:
    """Turn plain layers into ComfyUI's, whose weights may lie elsewhere; same state, same numbers.

    Layers in eight bits bring their weights over themselves, so ComfyUI is only told that they may be left behind.
    """
    from hp_core.weights.fp8 import Fp8Layer

    for layer in module.modules():
        name = _CASTABLE.get(type(layer))
        if name is not None:
            layer.__class__ = getattr(comfy.ops.manual_cast, name)
        if isinstance(layer, Fp8Layer):
            layer.comfy_cast_weights = True
        elif name is None:
            continue
        layer.weight_function, layer.bias_function = [], []


def _bring_the_rest(network: nn.Module, device: torch.device) -> None:
    """Parameters and buffers outside castable layers to ``device``."""
    for module in network.modules():
        if hasattr(module, "comfy_cast_weights"):
            continue
        for store in (module._parameters, module._buffers):
            for name, tensor in list(store.items()):
                if tensor is not None and tensor.device != device:
                    moved = tensor.to(device)
                    store[name] = nn.Parameter(moved, requires_grad=False) if store is module._parameters else moved
