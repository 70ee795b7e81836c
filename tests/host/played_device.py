"""A second device that the CPU plays, to see on any machine what lies where.

Tensors there hold their numbers in an ordinary tensor and say that they are elsewhere. An operation on tensors of both places is
refused, as a card refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("lazy", 0)  # of the names torch knows, one that needs no driver
_MOVES = ("aten::to", "aten::_to_copy", "aten::copy_")


class Elsewhere(Tensor):
    """A tensor on the played device; `numbers` is where its values really are."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(
            cls, numbers.size(), strides=numbers.stride(), storage_offset=numbers.storage_offset(), dtype=numbers.dtype, device=DEVICE
        )
        made.numbers = numbers
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.numbers!r})"

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})


class _Machine(TorchDispatchMode):
    """Sees what names the played device without holding a tensor of it: `torch.zeros(device=...)`, `tensor.to(device)`."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})


@contextmanager
def played_device() -> Iterator[torch.device]:
    """The device, as long as the block runs."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(..., device=...)` makes it here, then moves it
    try:
        with _Machine():
            yield DEVICE
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


def _run(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere) and tensor.ndim > 0]  # a card takes single numbers
    name = operation._schema.name
    if name == "aten::_has_compatible_shallow_copy_type":
        return False  # a module that moves gets new parameters
    if there and here and name not in _MOVES:
        raise RuntimeError(f"{operation} got tensors on different devices: {DEVICE} and cpu")
    if name == "aten::_fused_sdp_choice":
        return 0  # math: the only kernel that is made of operations of every device
    wanted = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.device)]
    elsewhere = wanted[0] == DEVICE if wanted else bool(there)
    if name == "aten::copy_" or operation is torch.ops.aten.to.other:  # where the one tensor lies that says so
        elsewhere = isinstance(args[operation is torch.ops.aten.to.other], Elsewhere)
    owners = {id(tensor.numbers): tensor for tensor in there}
    result = operation(*tree_map(_numbers, args), **tree_map(_numbers, kwargs))
    return tree_map(_wrapper(owners), result) if elsewhere else result


def _numbers(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.numbers if isinstance(value, Elsewhere) else value


def _wrapper(owners: dict[int, Elsewhere]) -> Callable[[Any], Any]:
    """Results as tensors of the played device; one that an operation changed and gave back stays the tensor it was."""

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        owner = owners.get(id(value))
        return Elsewhere(value) if owner is None else owner

    return wrap
