"""Values that overpower their group norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hp_core.training.spikes import spikes_of, spikes_seen


def with_spike(height: float) -> torch.Tensor:
    x = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    x[0, 1, 5, 7] = height
    return x


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e3])
def test_a_spike_counts_by_what_it_stands_out_and_at_any_scale(scale: float) -> None:
    assert float(spikes_of(with_spike(0.0) * scale, 2, 10.0)) == 0
    low, high = (float(spikes_of(with_spike(height) * scale, 2, 10.0)) for height in (20.0, 40.0))
    assert 0 < low < high
    # One of four groups has it: 2048 values of deviation 1 and one of 40 have a deviation of 1.335.
    assert high == pytest.approx((40 / 1.335 - 10) / 4, rel=0.03)
    assert spikes_of(with_spike(20.0).half() * min(scale, 1.0), 2, 10.0).dtype == torch.float32


def test_an_even_picture_has_none() -> None:
    x = torch.full((1, 4, 8, 8), 3.0, requires_grad=True)
    value = spikes_of(x, 2, 10.0)
    value.backward()
    assert float(value.detach()) == 0
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_each_norm_is_looked_at_once_and_only_inside() -> None:
    network = nn.Sequential(nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 1), nn.GroupNorm(1, 4))
    with spikes_seen(network, 10.0) as seen:
        network(with_spike(20.0))
    assert len(seen) == 2
    assert float(seen[0].detach()) == pytest.approx(float(spikes_of(with_spike(20.0), 2, 10.0)))
    network(with_spike(20.0))
    assert len(seen) == 2


def test_training_against_them_lowers_them() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 1), nn.SiLU(), nn.Conv2d(8, 4, 1), nn.GroupNorm(2, 4))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    values = []
    for _ in range(60):
        with spikes_seen(network, 10.0) as seen:
            network(with_spike(60.0))
        optimizer.zero_grad()
        seen[0].backward()
        optimizer.step()
        values.append(float(seen[0].detach()))
    assert values[0] > 1
    assert values[-1] < values[0] / 2
