"""The memory gauge that the claim about clip length rests on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from hp_core.bench.memory import PeakMemory

MIB = 1 << 20


def megabyte() -> torch.Tensor:
    return torch.zeros(MIB // 4)


def keep_fifty() -> None:
    kept = [megabyte().view(2, -1)[0] for _ in range(50)]  # a view keeps its whole storage
    megabyte()
    del kept


def drop_fifty() -> None:
    for _ in range(50):
        megabyte()


def change_one() -> None:
    tensor = megabyte()
    for _ in range(20):
        tensor = tensor.add_(1).view(-1)


@pytest.mark.parametrize(("run", "peak"), [(keep_fifty, 51), (drop_fifty, 1), (change_one, 1)])
def test_it_counts_what_is_held_at_once(run: Callable[[], None], peak: int) -> None:
    before = megabyte()
    with PeakMemory() as memory:
        before.add_(1)  # made outside: not counted
        run()
    assert memory.peak == peak * MIB
    assert memory.live == 0
