"""Figures on their way: averaged over the steps between two lines, written to TensorBoard and `metrics.jsonl`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hp_core.errors import PortraitError
from hp_core.files import whole_lines

COUNT = "/count"
"""Ends the name of a metric that says how many things the one of the name before it sums up."""


def means_of(sums: dict[str, float], steps: int) -> dict[str, float]:
    """Metrics of ``steps`` steps from their sums; one with a `COUNT` beside it by that, and left out where that is 0."""
    plain = {name: value / steps for name, value in sums.items() if not name.endswith(COUNT) and name + COUNT not in sums}
    return plain | {name: value / sums[name + COUNT] for name, value in sums.items() if sums.get(name + COUNT)}


def _tensorboard(folder: Path, step: int) -> Any:
    """TensorBoard's writer, or None where it is not installed."""
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)


@contextmanager
def curves(folder: Path, step: int, *, silent: bool) -> Iterator[Callable[[int, dict[str, float], str], None]]:
    """A function that writes scalars: a step, values by name, and of what kind they are.

    Args:
        folder: where ``metrics.jsonl`` and ``tensorboard`` lie.
        step: the last one done; what TensorBoard shows of later ones is of a run that was cut off.
        silent: write nothing, in all processes but the first.

    Raises:
        PortraitError: they cannot be written.
    """
    if silent:
        yield lambda *_: None
        return
    place = folder / "metrics.jsonl"

    @contextmanager
    def told() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PortraitError(
                f"The curves beside {place} cannot be written ({error}). Free some space; the checkpoints are whole."
            ) from error

    with told():
        whole_lines(place)  # one that a kill cut off would join the next
        place.open("a").close()
        board = _tensorboard(folder, step)

    def write(step: int, values: dict[str, float], kind: str) -> None:
        with told():
            for name, value in values.items() if board is not None else ():
                board.add_scalar(f"{kind}/{name}", value, step)
            if values:
                with place.open("a", encoding="utf-8") as lines:  # closed at once: what could not be written is not tried again later
                    lines.write(json.dumps({"step": step, "kind": kind, "time": round(time.time(), 1), **values}) + "\n")

    try:
        yield write
    finally:
        if board is not None:
            with told():
                board.close()
