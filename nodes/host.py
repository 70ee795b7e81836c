"""The only file that imports comfy.*: device, memory, progress, preview and cancel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

import comfy.model_management as mm
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.utils
import torch
from torch import nn

from hp_core.progress import Notice, Progress, Stage

if TYPE_CHECKING:
    from pathlib import Path

    from hp_core.config import FaceConfig
    from hp_core.face.analyzer import FaceAnalyzer
    from hp_core.face.likeness import Likeness
    from hp_core.weights.load import PortraitModels

PRECISIONS = ("auto", "fp16", "bf16", "fp32", "fp8")
MEMORY_MODES = ("auto", "whole", "frugal")
MAX_FACES = 32  # in one picture
log = logging.getLogger("HunyuanPortrait")
_Value = TypeVar("_Value")

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
    from hp_core.weights.catalog import CATALOG
    from hp_core.weights.load import fingerprint, load_models

    dtype, storage = dtype_for(precision), "compute"
    if precision == "fp8":
        from hp_core.weights.fp8 import check_fp8

        storage = "fp8"
        check_fp8(mm.get_torch_device())
    key = (f"{folder} {fingerprint(folder, tuple(CATALOG))} {identity}", dtype, storage)
    loaded = _LOADED.get(key)
    if loaded is None:
        loaded = Loaded(watched(load_models(folder, device="cpu", dtype=dtype, identity=identity, unet_storage=storage)))
        _LOADED[key] = loaded
    return loaded


@dataclass(frozen=True, eq=False)
class PortraitModel:
    """A loaded set, and how it is to be run.

    Attributes:
        memory: one of `MEMORY_MODES`.
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


@dataclass(frozen=True, eq=False)
class Analyzer:
    """A face analyzer that opens a session when it is first asked; crop sizes come with it, as the encoders need them."""

    name: str
    model: Path | None
    face: FaceConfig
    _sessions: dict[float, FaceAnalyzer] = field(default_factory=dict)

    def session(self, threshold: float) -> FaceAnalyzer:
        """The analyzer for this threshold."""
        from hp_core.face.analyzer import create_analyzer

        if threshold not in self._sessions:
            for other in self._sessions.values():
                other.close()
            self._sessions.clear()
            self._sessions[threshold] = create_analyzer(self.name, model=self.model, threshold=threshold, max_faces=MAX_FACES)
        return self._sessions[threshold]


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


def attention_kernels() -> tuple[str, ...]:
    """Choices of the attention's kernel."""
    from hp_core.config import KERNELS

    return KERNELS


@dataclass(frozen=True)
class Clip:
    """Frames to be read one by one, (height, width, 3) uint8, and the sound over them as ComfyUI's AUDIO, if any."""

    frames: Iterable[Any]
    total: int
    fps: Fraction
    audio: dict[str, Any] | None


def open_clip(images: Any, video: Any, *, fps: Fraction = Fraction(25), start: int, frames: int) -> Clip:
    """``video`` if there is one, else ``images``; ``frames`` 0 takes all from ``start`` on.

    Raises:
        PortraitError: neither is connected, the video cannot be read, or nothing is left after ``start``.
    """
    from hp_core.config import frames_from
    from hp_core.errors import OptionError
    from hp_core.image import each_from_float
    from hp_core.video import probe, read_frames, read_waveform
    from hp_core.video.waveform import as_audio, cut_audio

    source = _file_of(video) if video is not None else None
    sound = None
    if source is not None:
        info = probe(source)
        left, rate = info.frames, info.fps
    elif video is not None:
        parts = video.get_components()
        images, rate, left, sound = parts.images, Fraction(parts.frame_rate), len(parts.images), parts.audio
    elif images is not None:
        rate, left = fps, len(images)
    else:
        raise OptionError("This block has nothing to look at. Connect images or a video.")
    total = frames_from(start, frames, left, "the clip")
    if source is not None:
        sound = as_audio(read_waveform(source, start=start / rate, seconds=total / rate))
        return Clip(read_frames(source, start=start, limit=total), total, rate, sound)
    return Clip(each_from_float(images[start : start + total]), total, rate, cut_audio(sound, start / rate, total / rate))


def likeness(picture: Any, analyzer: FaceAnalyzer, model: PortraitModel | None) -> Likeness:
    """The person in ``picture`` (1, height, width, 3), compared by the ArcFace of ``model``.

    Raises:
        PortraitError: either is not connected, the set has no ArcFace, or the picture shows no face.
    """
    from hp_core.errors import OptionError
    from hp_core.face.likeness import Likeness
    from hp_core.image import from_float

    if picture is None or model is None:
        raise OptionError("which is likeness; connect like, a picture of the person meant, and model, whose ArcFace compares.")
    identity = model.models.identity
    if identity is None:
        raise OptionError("which is likeness, and this set has no arcface.onnx. Run Download HunyuanPortrait with what = identity.")
    return Likeness.of(from_float(picture[:1])[0], analyzer, identity)


def _file_of(video: Any) -> Path | None:
    """The file behind a VIDEO, if it is one as a whole: then it can be read frame by frame."""
    from pathlib import Path

    from comfy_api.latest import InputImpl

    if not isinstance(video, InputImpl.VideoFromFile):
        return None
    # A trimmed video, of hosts that can trim: its source is the untrimmed file.
    trimmed = any(getattr(video, f"_VideoFromFile__{name}", 0) for name in ("start_time", "duration"))
    source = video.get_stream_source()
    return Path(source) if isinstance(source, str) and not trimmed else None


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


def check_cancelled() -> None:
    """Raise ComfyUI's interrupt if the user has pressed Cancel."""
    mm.throw_exception_if_processing_interrupted()


def watched(stage: Stage[_Value]) -> _Value:
    """Run a stage of `hp_core` with ComfyUI's progress bar and its Cancel; its value."""
    bar, total = None, 0
    while True:
        check_cancelled()
        try:
            event = next(stage)
        except StopIteration as end:
            return end.value
        if isinstance(event, Notice):
            log.warning(event.text)
        elif isinstance(event, Progress):
            if bar is None or event.total != total:
                bar, total = comfy.utils.ProgressBar(event.total), event.total
            bar.update_absolute(event.done, event.total)


def counted(items: Iterable[_Value], total: int) -> Iterable[_Value]:
    """``items`` with a progress bar and Cancel."""
    bar = comfy.utils.ProgressBar(total)
    for done, item in enumerate(items, 1):
        check_cancelled()
        yield item
        bar.update_absolute(done, total)


class StepPreview:
    """Progress bar of the sampler with a picture of where it stands, if the user has turned previews on."""

    def __init__(self, total: int, reference: torch.Tensor, image: Any) -> None:
        """``reference`` (1, channels, height, width) are the scaled latents of the portrait ``image``."""
        import comfy.latent_formats
        import latent_preview

        from hp_core.preview import rgb_factors

        self.bar, self.total = comfy.utils.ProgressBar(total), total
        known = comfy.latent_formats.SD15()
        if reference.shape[1] != known.latent_channels:  # of another VAE: its colours are learned from the portrait
            known = comfy.latent_formats.LatentFormat()
            known.latent_channels = reference.shape[1]
            known.latent_rgb_factors, known.latent_rgb_factors_bias = rgb_factors(reference, image)
        self.previewer = latent_preview.get_previewer(mm.get_torch_device(), known)

    def show(self, done: int, latents: torch.Tensor) -> None:
        """``latents`` (frames, channels, height, width), scaled; the middle frame is shown."""
        check_cancelled()
        picture = None
        if self.previewer is not None:
            middle = len(latents) // 2
            shown = latents[middle : middle + 1].to(mm.get_torch_device())
            picture = self.previewer.decode_latent_to_preview_image("JPEG", shown)
        self.bar.update_absolute(done, self.total, picture)


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
