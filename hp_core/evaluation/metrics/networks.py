"""Network files of the metrics: TorchScript and state dicts, loaded from a path and never from the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hp_core.errors import WeightsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def named(path: Path) -> str:
    """``path`` by name and content, as many files are called `arcface.onnx`."""
    from hp_core.weights.load import file_fingerprint

    return f"{path.name} {file_fingerprint(path)}"


def load_script(path: Path, device: torch.device) -> Any:
    """A TorchScript module in evaluation mode.

    Raises:
        WeightsError: the file is not one.
    """
    import warnings

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the published networks come in no other form
            return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise WeightsError(f"{path} is not a TorchScript file that torch can load ({_short(error)}). Fetch it again.") from error


def load_state(path: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors, out of `state_dict` if it has one.

    Raises:
        WeightsError: it holds anything but tensors, or is damaged.
    """
    import pickle

    import torch

    from hp_core.weights.load import DAMAGE, load_pth

    try:
        state = load_pth(path)
    except (*DAMAGE, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} is not a checkpoint of plain tensors ({_short(error)}). Fetch it again.") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds a {type(state).__name__}, not named tensors. Fetch it again.")
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def fill(net: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load ``state`` into ``net``, every tensor of it, and set it to evaluation mode.

    Raises:
        WeightsError: a tensor is absent, too many, or of another shape; the first is named.
    """
    wanted = net.state_dict()
    for name, tensor in wanted.items():
        if name not in state:
            raise WeightsError(f"{path} has no tensor {name} ({len(wanted)} are needed); it is of another model.")
        if state[name].shape != tensor.shape:
            raise WeightsError(f"{path}: {name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}; it is of another model.")
    if len(state) > len(wanted):
        extra = next(name for name in state if name not in wanted)
        raise WeightsError(f"{path} has {len(state)} tensors instead of {len(wanted)}, {extra} among them; it is of another model.")
    net.load_state_dict(state)
    net.eval()


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160].rstrip(".")
