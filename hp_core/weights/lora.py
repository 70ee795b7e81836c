"""LoRA files for the UNet (Hu et al. 2022): read, matched to layers by name, and merged into the weights.

`W + strength * alpha / rank * up @ down`, in float32. Three layouts of names are known: diffusers' and peft's (`lora_A`, `lora_B`),
older diffusers' (`lora.down`, `lora.up`, and its attention processors' `to_q_lora.down`), and kohya's (`lora_unet_…`, with `alpha`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hp_core.checks import check_range
from hp_core.errors import WeightsError

MAX_STRENGTH = 10.0

_PREFIX = re.compile(r"^(base_model\.model\.)?(unet\.)?")
_KOHYA = "lora_unet_"
_PARTS = {"lora_A": "down", "lora_B": "up", "lora_down": "down", "lora_up": "up", "lora.down": "down", "lora.up": "up"}
_FACTOR = re.compile(rf"^(?P<layer>.+)\.(?P<part>{'|'.join(map(re.escape, _PARTS))})(\.default)?\.weight$")
_PROCESSOR = re.compile(r"^(?P<layer>.+)\.processor\.(?P<projection>to_q|to_k|to_v|to_out)_lora\.(?P<part>down|up)\.weight$")
_ALPHA = re.compile(r"^(?P<layer>.+)\.alpha$")


class Factors(NamedTuple):
    """What a LoRA adds to one weight: `alpha / rank * up @ down`.

    Attributes:
        up: (out, rank), with sides of 1 where the layer is a convolution.
        down: (rank, in) or (rank, in, *kernel).
    """

    up: Tensor
    down: Tensor
    alpha: float

    def delta(self) -> Tensor:
        """(out, in * kernel) float32."""
        return (self.alpha / len(self.down)) * (self.up.flatten(1).float() @ self.down.flatten(1).float())


@dataclass(frozen=True)
class Lora:
    """A LoRA file, and how much of it is wanted.

    Attributes:
        path: `.safetensors`.
        strength: -10..10; 1 as trained, 0 leaves the weights as they are to the last bit.
    """

    path: Path
    strength: float = 1.0

    def __post_init__(self) -> None:
        check_range(f"The strength of {self.path.name}", self.strength, -MAX_STRENGTH, MAX_STRENGTH)
        if self.path.suffix != ".safetensors" or not self.path.is_file():
            what = "is not there" if self.path.suffix == ".safetensors" else "is no .safetensors file"
            raise WeightsError(f"The LoRA {self.path} {what}. Name a LoRA of SVD's UNet in that format.")


def read_lora(path: Path, unet: nn.Module) -> dict[str, Factors]:
    """What the file adds to each weight of ``unet``, by the weight's name.

    Raises:
        WeightsError: the file is damaged, a key finds no layer, a factor is missing, or shapes do not fit.
    """
    from hp_core.weights.load import non_finite, read_state_dict

    tensors = read_state_dict(path)
    bad = non_finite(tensors)
    if bad is not None:
        raise WeightsError(f"{path} holds NaN or infinity in '{bad}'. Fetch it again.")
    parameters = dict(unet.named_parameters())
    names = [name.removesuffix(".weight") for name, weight in parameters.items() if name.endswith(".weight") and weight.ndim > 1]
    known = {name: name for name in names} | {_KOHYA + name.replace(".", "_"): name for name in names}
    found: dict[str, dict[str, Tensor]] = {}
    strangers = []
    for key, tensor in tensors.items():
        layer, part = _split(key)
        name = known.get(layer) or known.get(f"{layer}.0")  # `to_out` is a sequence of the projection and its dropout
        if name is None or not part or part in found.get(name, {}):
            strangers.append(key)
        else:
            found.setdefault(name, {})[part] = tensor
    if strangers:
        raise WeightsError(
            f"{path} does not fit the UNet: {len(strangers)} of its {len(tensors)} keys find no layer, first '{strangers[0]}'. "
            "It belongs to another model, or is no plain LoRA; take one of SVD's UNet."
        )
    if not found:
        raise WeightsError(f"{path} is empty. Fetch it again.")
    alphas = _Alphas.of(path)
    return {f"{name}.weight": _factors(path, name, parts, parameters[f"{name}.weight"], alphas) for name, parts in found.items()}


def _split(key: str) -> tuple[str, str]:
    """The layer that a key names, and which part of it: `up`, `down`, `alpha`; empty where it is none."""
    bare = _PREFIX.sub("", key)
    match = _PROCESSOR.match(bare)
    if match:
        return f"{match['layer']}.{match['projection']}", match["part"]
    match = _FACTOR.match(bare)
    if match:
        return match["layer"], _PARTS[match["part"]]
    match = _ALPHA.match(bare)
    return (match["layer"], "alpha") if match else (bare, "")


def _factors(path: Path, name: str, parts: Mapping[str, Tensor], weight: Tensor, alphas: _Alphas) -> Factors:
    for part in ("down", "up"):
        if part not in parts:
            raise WeightsError(f"{path} lacks the factor {part} of '{name}'. Fetch it again.")
    up, down = parts["up"], parts["down"]
    wanted = (len(weight), *_sides(weight[0]))
    rank = len(down) if down.ndim else 0
    if up.ndim < 2 or down.ndim < 2 or up.shape[1] != rank or rank == 0 or (*_sides(up[:, 0]), *_sides(down[0])) != wanted:
        raise WeightsError(
            f"{path} does not fit the UNet: '{name}' is {list(weight.shape)}, and its factors are {list(up.shape)} and "
            f"{list(down.shape)}. It belongs to another model."
        )
    if "alpha" in parts:
        if parts["alpha"].numel() != 1:
            raise WeightsError(f"{path} has an alpha of the shape {list(parts['alpha'].shape)} for '{name}', not a number. Fetch it again.")
        return Factors(up, down, float(parts["alpha"]))
    return Factors(up, down, alphas.of_layer(name, rank))


def _sides(tensor: Tensor) -> tuple[int, ...]:
    """The shape without the ones at its end: a 1x1 kernel is a linear layer's."""
    shape = list(tensor.shape)
    while len(shape) > 1 and shape[-1] == 1:
        shape.pop()
    return tuple(shape)


@dataclass(frozen=True)
class _Alphas:
    """Alphas that diffusers writes into the file's header; a file that says nothing means alpha = rank."""

    usual: float | None = None
    special: Mapping[str, float] | None = None

    @staticmethod
    def of(path: Path) -> _Alphas:
        """Those of a file.

        Raises:
            WeightsError: it asks for what is not a plain LoRA.
        """
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        try:
            content: dict[str, Any] = json.loads(header.get("lora_adapter_metadata") or "{}")
            said = {key.removeprefix("unet."): value for key, value in content.items()}
            for option in ("use_dora", "use_rslora"):
                if said.get(option):
                    raise WeightsError(f"{path} was made with {option}, which is not supported. Take a plain LoRA.")
            usual, special = said.get("lora_alpha"), said.get("alpha_pattern") or {}
            return _Alphas(None if usual is None else float(usual), {name: float(alpha) for name, alpha in special.items()})
        except (ValueError, TypeError, AttributeError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"{path} has a header 'lora_adapter_metadata' that cannot be read ({error}). Fetch it again.") from error

    def of_layer(self, name: str, rank: int) -> float:
        """The alpha of a layer; patterns name the ends of layers' names, as peft's do."""
        for pattern, alpha in (self.special or {}).items():
            if name == pattern or name.endswith(f".{pattern}"):
                return alpha
        return rank if self.usual is None else self.usual


def merge_loras(unet: nn.Module, loras: Sequence[Lora], dtype: torch.dtype) -> None:
    """Add LoRAs to the weights of ``unet``, in float32; those they touch have ``dtype`` afterwards.

    Raises:
        WeightsError: see `read_lora`; nothing is changed then.
    """
    changes: dict[str, list[tuple[float, Factors]]] = {}
    for lora in loras:
        for name, factors in read_lora(lora.path, unet).items():
            if lora.strength != 0:
                changes.setdefault(name, []).append((lora.strength, factors))
    for name, added in changes.items():
        weight = unet.get_parameter(name)
        merged = weight.detach().float()
        for strength, factors in added:
            merged = merged + strength * factors.delta().reshape(weight.shape).to(weight.device)
        unet.get_submodule(name.removesuffix(".weight")).weight = nn.Parameter(merged.to(dtype), requires_grad=False)


def lora_fingerprint(base: str, loras: Sequence[Lora]) -> str:
    """Twelve hex digits that tell weights with ``loras`` merged in from others; ``base`` where they change nothing."""
    from hp_core.weights.load import file_fingerprint

    for lora in loras:
        if lora.strength != 0:
            base = hashlib.sha256(f"{base} {file_fingerprint(lora.path)} {lora.strength!r}".encode()).hexdigest()[:12]
    return base
