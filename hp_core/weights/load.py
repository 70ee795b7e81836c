"""From files to modules: built on the meta device, checked name by name, then filled without a second copy."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from hp_core.checks import check_choice
from hp_core.config import UNET_STORAGES, PortraitConfig
from hp_core.config_files import PORTRAIT_FILE, read_config
from hp_core.errors import OptionError, WeightsError
from hp_core.progress import Notice, Progress, Stage
from hp_core.weights.catalog import CATALOG, MODULES

if TYPE_CHECKING:
    from diffusers import AutoencoderKLTemporalDecoder

    from hp_core.appearance.vit import AppearanceViT, TokenProjector
    from hp_core.face.likeness import IdentityEncoder
    from hp_core.motion.encoders import ExpressionEncoder, HeadPoseEncoder
    from hp_core.motion.refiner import MotionRefiner
    from hp_core.pose.guider import PoseGuider
    from hp_core.unet.model import PortraitUNet
    from hp_core.weights.lora import Lora


# Rotations are degrees up to 180, where float16 has steps of 0.1 and bfloat16 of one; squared ReLU overflows float16 at 256.
FLOAT32_MODULES = ("expression", "headpose", "motion_proj")


@dataclass(frozen=True)
class PortraitModels:
    """Every network of the system, on one device, by the published files' names.

    ``identity`` is None where no ArcFace lies beside them; ``fingerprint`` tells these weights from others, and
    ``motion_fingerprint`` those that make motion tokens.
    """

    config: PortraitConfig
    expression: ExpressionEncoder
    headpose: HeadPoseEncoder
    motion_proj: MotionRefiner
    dino: AppearanceViT
    image_proj: TokenProjector
    pose_guider: PoseGuider
    unet: PortraitUNet
    vae: AutoencoderKLTemporalDecoder
    identity: IdentityEncoder | None
    fingerprint: str
    motion_fingerprint: str = ""


def build_module(name: str, config: PortraitConfig) -> Any:
    """One of the eight modules, on the current default device (`meta` to load, `cpu` to initialise).

    Raises:
        OptionError: its numbers contradict each other.
    """
    try:
        return _build(name, config)
    except (ValueError, TypeError, ArithmeticError, AssertionError, IndexError, RuntimeError) as error:
        raise OptionError(f"The configuration of {name} is impossible ({first_line(error)}). Correct it or fetch it again.") from error


def _build(name: str, config: PortraitConfig) -> nn.Module:
    if name in ("expression", "headpose"):
        from hp_core.motion.encoders import ExpressionEncoder, HeadPoseEncoder

        return ExpressionEncoder(config.motion) if name == "expression" else HeadPoseEncoder(config.motion)
    if name == "motion_proj":
        from hp_core.motion.refiner import MotionRefiner

        return MotionRefiner(config.motion)
    if name in ("dino", "image_proj"):
        from hp_core.appearance.vit import AppearanceViT, TokenProjector

        return AppearanceViT(config.appearance) if name == "dino" else TokenProjector(config.appearance)
    if name == "pose_guider":
        from hp_core.pose.guider import PoseGuider

        return PoseGuider(config.pose, out_channels=config.unet["block_out_channels"][0])
    if name == "unet":
        from hp_core.unet.model import PortraitUNet

        return PortraitUNet.from_config(config.unet)
    if name == "vae":
        from diffusers import AutoencoderKLTemporalDecoder

        return AutoencoderKLTemporalDecoder.from_config(config.vae)
    raise KeyError(name)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or `.pth` file, memory-mapped; nothing in the file is executed.

    Raises:
        WeightsError: the file is absent, truncated, holds anything but tensors, or asks to run code.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsError(f"{path} is {'a folder' if path.is_dir() else 'not there'}. Fetch it with `hp-portrait download`.")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else load_pth(path)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        what = f"'{asked[1]}'" if asked else "an operation that tensors do not need"
        raise WeightsError(f"{path} is refused: it asks for {what}, which could run code. Fetch the published file.") from error
    except (*DAMAGE, SafetensorError) as error:
        raise WeightsError(f"{path} is damaged or truncated ({first_line(error)}). Delete it and fetch it again.") from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a plain dict of tensors. Fetch the published file.")
    return content


DAMAGE = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""What torch's unpickler raises where bytes are missing or changed."""


def load_pth(path: Path) -> Any:
    """What a `.pth` file holds, memory-mapped where its format allows; nothing in it is executed.

    Raises `DAMAGE` where it is damaged, `pickle.UnpicklingError` where it asks to run code.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if not start.startswith((b"PK\x03\x04", b"\x80")):  # a zip, or a pickle from before torch 1.6
        raise ValueError(f"it begins with {start!r}, as no .pth does; was a web page saved in its place?" if start else "it is empty")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)  # the format before torch 1.6 cannot be mapped


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its kind where it has none."""
    return str(error).strip().split("\n", 1)[0][:200] or type(error).__name__


def mismatches(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """What keeps ``found`` from filling a module: the first missing, unexpected and mis-shaped keys; empty where it fits."""
    problems = []
    missing, unexpected = [k for k in expected if k not in found], [k for k in found if k not in expected]
    shapes = [k for k in expected if k in found and expected[k].shape != found[k].shape]
    if missing:
        problems.append(f"{len(missing)} missing, first '{missing[0]}'")
    if unexpected:
        problems.append(f"{len(unexpected)} unexpected, first '{unexpected[0]}'")
    if shapes:
        name = shapes[0]
        problems.append(f"{len(shapes)} of another shape, first '{name}': {list(found[name].shape)}, expected {list(expected[name].shape)}")
    return problems


def non_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The first tensor that holds NaN or infinity."""
    return next((k for k, v in tensors.items() if v.is_floating_point() and not torch.isfinite(v).all()), None)


def read_module(name: str, folder: Path, config: PortraitConfig) -> tuple[Path, nn.Module, dict[str, Tensor]]:
    """The file of one module in ``folder``, the empty module on the meta device, and the tensors that fit it.

    Raises:
        WeightsError: the file is absent, damaged or of another model.
    """
    entry = CATALOG[name]
    path = entry.find(folder)
    if path is None:
        state = "a folder, not a file" if (folder / entry.path).is_dir() else "missing"
        raise WeightsError(
            f"{folder / entry.path} is {state} ({entry.purpose}). Fetch it with `hp-portrait download {folder}`, "
            "or in ComfyUI with the block Download HunyuanPortrait."
        )
    with torch.device("meta"):
        module = build_module(name, config)
    tensors = read_state_dict(path)
    problems = mismatches(module.state_dict(), tensors)
    if problems:
        raise WeightsError(f"{path} does not fit the {entry.purpose}: {'; '.join(problems)}. It belongs to another model or configuration.")
    return path, module, tensors


def load_module(name: str, folder: Path, config: PortraitConfig) -> nn.Module:
    """One module from its file in ``folder``, on the CPU in the file's dtype, frozen and in evaluation mode.

    Raises:
        WeightsError: see `read_module`, or the file holds NaN.
    """
    path, module, tensors = read_module(name, folder, config)
    bad = non_finite(tensors)
    if bad is not None:
        raise WeightsError(f"{path} holds NaN or infinity in '{bad}'. Fetch it again.")
    module.load_state_dict(tensors, assign=True)
    return module.requires_grad_(False).eval()


def load_models(
    folder: Path,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    identity: Path | None = None,
    unet_storage: str = "compute",
    loras: Sequence[Lora] = (),
    to_be_trained: bool = False,
) -> Stage[PortraitModels]:
    """Load everything in ``folder``, one module at a time; the motion networks stay in float32.

    Args:
        dtype: what the other networks compute in.
        identity: ArcFace's file; None looks in ``folder``.
        unet_storage: of `UNET_STORAGES`; `fp8` keeps most of the UNet's weights in eight bits, which changes the picture a little
            (`hp_core.weights.fp8.check_fp8` tells whether the device it will run on can do so).
        loras: merged into the UNet one after another; they change the fingerprint.
        to_be_trained: an untrained set is expected, so that it is one is not said.

    Raises:
        WeightsError: see `load_module`, or a LoRA does not fit the UNet.
        OptionError: a configuration file in the folder is wrong, or an unknown ``unet_storage``.
    """
    from hp_core.unet.temporal import is_still, set_spatial_only
    from hp_core.weights.lora import lora_fingerprint, merge_loras

    check_choice("unet_storage", unet_storage, UNET_STORAGES)
    if unet_storage == "fp8":
        from hp_core.weights.fp8 import store_in_fp8

    config = read_config(folder)
    if not config.trained and not to_be_trained:
        yield Notice(f"The weights in {folder} are untrained: the video shows that every stage runs, not a likeness.")
    modules: dict[str, Any] = {}
    for done, name in enumerate(MODULES, 1):
        precision = torch.float32 if name in FLOAT32_MODULES else dtype
        module = load_module(name, folder, config)
        if name == "unet":
            merge_loras(module, loras, precision)
        if name in ("unet", "vae") and is_still(module):  # of a set trained on single frames: the same result in half the time
            set_spatial_only(module, True)
        if name == "unet" and unet_storage == "fp8":
            store_in_fp8(module)  # from the numbers of the file, where no LoRA has changed them
        modules[name] = nn.Module.to(module, device, precision)  # past diffusers' own `to`, which warns
        yield Progress("load", done, len(MODULES))
    arcface, encoder = identity or CATALOG["arcface"].find(folder), None
    if arcface is None:
        yield Notice(
            f"No {CATALOG['arcface'].path} in {folder}: the ID embedding is zeros, and the likeness weaker. "
            f"`hp-portrait download {folder} --for identity` fetches it."
        )
    elif importlib.util.find_spec("onnxruntime") is None:
        yield Notice(f"onnxruntime is not installed, so {arcface} is not used: the ID embedding is zeros. pip install onnxruntime")
    else:
        from hp_core.appearance.identity import ArcFaceOnnx

        encoder = ArcFaceOnnx(arcface)
    return PortraitModels(
        config=config,
        identity=encoder,
        fingerprint=lora_fingerprint(fingerprint(folder), loras),
        motion_fingerprint=sign_fingerprint({name: modules[name] for name in FLOAT32_MODULES}),
        **modules,
    )


def sign_fingerprint(networks: Mapping[str, nn.Module]) -> str:
    """Twelve hex digits that tell networks from others by the signs of their weights: the same in every file format and dtype."""
    digest = hashlib.sha256()
    for name, network in networks.items():
        for key, tensor in sorted(network.state_dict().items()):
            if tensor.is_floating_point():
                digest.update(f"{name}.{key}:{tuple(tensor.shape)}:".encode())
                digest.update(np.packbits(torch.signbit(tensor).cpu().numpy()).tobytes())
    return digest.hexdigest()[:12]


def fingerprint(folder: Path, names: tuple[str, ...] = MODULES) -> str:
    """Twelve hex digits that tell one set of weights from another: names, sizes and 64 KiB from each end of the files ``names``."""
    digest = hashlib.sha256()
    for name in names:
        path = CATALOG[name].find(folder)
        if path is not None:
            _add_file(digest, name, path)
    return digest.hexdigest()[:12]


def set_fingerprint(folder: Path, beside: Iterable[Path | None] = ()) -> str:
    """Twelve hex digits that change with any file of the set in ``folder``, with its settings, and with the files ``beside`` it."""
    digest = hashlib.sha256(fingerprint(folder, tuple(CATALOG)).encode())
    for path in (folder / PORTRAIT_FILE, *beside):
        if path is not None and path.is_file():
            _add_file(digest, str(path), path)
    return digest.hexdigest()[:12]


def file_fingerprint(path: Path) -> str:
    """Twelve hex digits that tell a file from others whatever it is called: its size and 64 KiB from each end."""
    digest = hashlib.sha256()
    _add_file(digest, "", path)
    return digest.hexdigest()[:12]


def _add_file(digest: Any, name: str, path: Path) -> None:
    size = path.stat().st_size
    digest.update(f"{name}:{size}:".encode())
    with path.open("rb") as file:
        digest.update(file.read(1 << 16))
        file.seek(max(0, size - (1 << 16)))
        digest.update(file.read())
