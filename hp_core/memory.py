"""Where the networks of a set are: on the device while their stage runs, and in between.

The modes differ in where weights lie, not in what is computed, so the picture is the same in all of them:

- `resident`: everything stays on the device.
- `frugal`: a network is there while its stage runs, otherwise at home, in the host's memory.
- `streamed`: frugal, and of the UNet one block is there at a time, the next one on its way from pinned memory (diffusers' group
  offloading).
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from hp_core.checks import check_choice
from hp_core.config import MEMORY_MODES
from hp_core.errors import OptionError, PortraitError
from hp_core.progress import Notice, Stage
from hp_core.unet.compiled import is_compiled
from hp_core.weights.catalog import MODULES
from hp_core.weights.load import first_line

if TYPE_CHECKING:
    from hp_core.weights.load import PortraitModels

HOME = torch.device("cpu")
_Value = TypeVar("_Value")


class Placement:
    """The networks of one set on their way between ``home`` and ``device``.

    Args:
        mode: one of `MEMORY_MODES`.
        device: where networks run.
        home: where they wait.

    Attributes:
        settle: called before the mode is changed because memory ran out; whoever uses the networks in another thread waits for it there.

    Raises:
        OptionError: an unknown mode, or one that cannot be had here.
    """

    def __init__(self, models: PortraitModels, *, device: torch.device | str, mode: str = "resident", home: torch.device = HOME) -> None:
        self.models, self.device, self.home = models, torch.device(device), home
        self.settle: Callable[[], None] = lambda: None
        self._running: Counter[str] = Counter()
        self._hooked = False
        self.mode = ""
        self.use(mode)

    def use(self, mode: str) -> None:
        """Go over to ``mode``; no stage may be running.

        A UNet that is streamed once stays so.

        Raises:
            OptionError: see `Placement`.
        """
        check_memory(mode)
        if mode == "streamed" and is_compiled(self.models.unet):
            raise OptionError(
                "memory is 'streamed', which takes the UNet apart, and it is compiled whole. Use 'frugal', or do not compile."
            )
        if self._hooked and mode != "streamed":
            raise OptionError(f"memory is '{mode}', and this UNet is streamed already. Load the weights again.")
        self.mode = mode
        for name in MODULES:
            self._move(name, self.device if mode == "resident" else self.home)
        if mode == "streamed" and not self._hooked and self.device != self.home:
            stream_blocks(self.models.unet, device=self.device, home=self.home)
            self._hooked = True
        self._give_back()

    @contextmanager
    def on_device(self, *names: str) -> Iterator[torch.device]:
        """The networks ``names`` ready to run on the device that is given, while the block runs.

        A network that several blocks have asked for leaves with the last of them.
        """
        if self.mode == "resident":
            yield self.device
            return
        self._running.update(names)
        try:
            for name in names:
                if name != "unet" or not self._hooked:
                    self._move(name, self.device)
            yield self.device
        finally:
            self._wait()
            self._running.subtract(names)
            for name in names:
                if not self._running[name]:
                    self._move(name, self.home)  # a streamed UNet too: a pass that broke off has left a block on the device
            self._give_back()

    def run(self, names: tuple[str, ...], stage: Callable[[torch.device], Stage[_Value]]) -> Stage[_Value]:
        """``stage`` with the networks ``names`` on the device; where memory runs out, again in the next cheaper mode, which is said.

        Raises:
            PortraitError: memory runs out in the cheapest mode too.
        """
        while True:
            try:
                with self.on_device(*names) as device:
                    return (yield from stage(device))
            except torch.OutOfMemoryError as error:
                cheaper = self._cheaper()
                if cheaper is None:
                    raise PortraitError(
                        f"The memory of '{self.device}' ran out with memory = {self.mode}, the cheapest there is here "
                        f"({first_line(error)}). {_REMEDY}"
                    ) from error
            # Out here nothing holds on to the tensors of the pass that failed.
            yield Notice(
                f"The memory of '{self.device}' ran out with memory = {self.mode}; once more with {cheaper}. The picture is the same."
            )
            self.settle()
            self.use(cheaper)

    def _cheaper(self) -> str | None:
        """The mode after this one, None where there is none."""
        following = MEMORY_MODES[MEMORY_MODES.index(self.mode) + 1 :]
        streams = _can_stream() and not is_compiled(self.models.unet)
        return next((mode for mode in following if mode != "streamed" or streams), None)

    def _move(self, name: str, device: torch.device) -> None:
        nn.Module.to(getattr(self.models, name), device)  # past diffusers' own `to`, which warns

    def _wait(self) -> None:
        """Until nothing is on its way to the device any more."""
        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None and accelerator.type == self.device.type:
            torch.accelerator.synchronize(self.device.index)

    def _give_back(self) -> None:
        """Let other programs have the memory that torch keeps for later."""
        empty = getattr(_backend(self.device), "empty_cache", None)
        if empty is not None:
            empty()


_REMEDY = "Lower window, which changes the picture, use unet_storage = fp8, or close what else uses the card."


def check_memory(mode: str) -> None:
    """Raise `OptionError` unless ``mode`` is one of `MEMORY_MODES` that can be had here."""
    check_choice("memory", mode, MEMORY_MODES)
    if mode == "streamed" and not _can_stream():
        raise OptionError("memory is 'streamed', which needs the package accelerate. pip install accelerate, or use 'frugal'.")


def _backend(device: torch.device) -> Any:
    """torch's module of this kind of device, None where it has none."""
    return getattr(torch, device.type, None)


def _can_stream() -> bool:
    return importlib.util.find_spec("accelerate") is not None  # diffusers' hooks move their arguments with it


def stream_blocks(unet: nn.Module, *, device: torch.device, home: torch.device) -> None:
    """Let the blocks of ``unet`` come to ``device`` one at a time while it runs; its weights lie at ``home`` otherwise.

    Where the device has streams, the next block is copied from pinned memory while one runs.
    """
    from diffusers.hooks import apply_group_offloading

    streams = device.type != HOME.type and hasattr(_backend(device), "Stream")
    apply_group_offloading(
        unet, onload_device=device, offload_device=home, offload_type="block_level", num_blocks_per_group=1, use_stream=streams
    )
